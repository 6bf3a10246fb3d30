"""The engine's own tests once more, with a Site of twisted.web in front of it: whatever is not lost there holds there.

What is lost is listed here, test by test, and in docs/how-to/embedding.md.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit import test_edge_cases, test_go_facts
from tests.unit.exchange import test_exchange
from tests.unit.server.support import STOCK, STREAMING, ResourceTestCase
from tests.unit.support import ProxyTestCase

LOST_ANYWHERE = {
    "test_05_trailersIsNotTrailer": "Trailer is not announced where no trailers come",
    "test_aWholeExchange": "trailers",
    "test_unannouncedTrailers": "trailers",
    "test_20_conflicts": "twisted.web itself refuses a coding before chunked, by a 400",
    "test_24_badTargets": "twisted.web itself refuses a target of more than 16 KiB, by a 400",
}
LOST_UNDER_A_STOCK_SITE = {
    "test_24_defaultPorts": "targets in absolute form",
    "test_24_theTargetNeverChoosesWhereToGo": "targets in absolute form",
    "test_25_anAnswerAndTheRestOfTheUpload": "the upstream is asked when the body is complete",
    "test_25_anAnswerDuringTheUpload": "the upstream is asked when the body is complete",
    "test_25_the100IsTheUpstreams": "twisted.web sends its own 100",
    "test_25_theFinalAnswerInsteadOf100": "twisted.web sends its own 100",
}


def through(makeSite: Any, name: str, modules: list[ModuleType], lost: dict[str, str]) -> dict[str, Any]:
    """The test cases of some modules, with the proxy started as a resource under C{makeSite}."""
    made: dict[str, Any] = {}
    for module in modules:
        for case in vars(module).values():
            if isinstance(case, type) and issubclass(case, ProxyTestCase) and case.__module__ == module.__name__:
                parts: dict[str, Any] = {}
                for each in reversed(case.__mro__):
                    if each.__module__ == module.__name__:
                        parts.update(vars(each))
                kept = {key: value for key, value in parts.items() if key not in lost and key not in ("__dict__", "__weakref__")}
                title = f"{case.__name__}{name}"
                kept.update(makeSite=staticmethod(makeSite), __module__=__name__, __qualname__=title)
                made[title] = type(title, (ResourceTestCase,), kept)
    return made


_MODULES = [test_edge_cases, test_exchange, test_go_facts]
globals().update(through(STREAMING, "UnderAStreamingSite", _MODULES, LOST_ANYWHERE))
globals().update(through(STOCK, "UnderAStockSite", _MODULES, LOST_ANYWHERE | LOST_UNDER_A_STOCK_SITE))


class TestTheList(SynchronousTestCase):
    def test_whatIsLostIsATest(self) -> None:
        for name in LOST_ANYWHERE | LOST_UNDER_A_STOCK_SITE:
            cases = [case for module in _MODULES for case in vars(module).values() if isinstance(case, type)]
            self.assertTrue(any(hasattr(case, name) for case in cases), f"{name} is no test any more")

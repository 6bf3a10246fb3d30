"""
The scenarios that tests/integration/test_network_contract.py plays on real sockets, on the in-memory network.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.testing.scenarios import SCENARIOS
from tests.unit.testing.worlds import MemoryWorld


class TestContract(SynchronousTestCase):
    """One test for each scenario and kind of socket, added below."""


def _test(name: str, isUNIX: bool) -> Callable[[TestContract], None]:
    scenario, onTCP, onUNIX = SCENARIOS[name]

    def test(self: TestContract) -> None:
        happened = self.successResultOf(Deferred.fromCoroutine(scenario(MemoryWorld(isUNIX))))
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(happened, onUNIX if isUNIX else onTCP)

    return test


for _name in SCENARIOS:
    for _kind in ("TCP", "UNIX"):
        setattr(TestContract, f"test_{_name}On{_kind}", _test(_name, _kind == "UNIX"))

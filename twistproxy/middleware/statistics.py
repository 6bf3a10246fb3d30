"""What comes through: counts, rates, failures and times, over all and for each upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Outcome
from twistproxy.plugin import Duration
from twistproxy.statistics.figures import Figures

_log: Final = Logger(namespace="twistproxy.statistics")


@implementer(IMiddleware)
class Statistics(Service):
    """Count what comes this way, as statistics:name=shop:log=1m.

    Read C{snapshot()} of the object, or C{ProxyService.statistics()} for all of a proxy.

    @ivar title: for those who read.
    @ivar figures: what was counted.
    """

    def __init__(self, name: str = "", log: Duration = 0.0, context: Any = None) -> None:
        """
        @param name: what the figures are called; by default the place in the configuration. Those of the same name are summed.
        @param log: a line in the error log so often, when there is anything to tell; 0: never.
        """
        self.title: str = name or str(getattr(context, "place", "") or "statistics")
        self.figures = Figures()
        self._reactor: Any = context.reactor
        self._seconds: Callable[[], float] = context.reactor.seconds
        self._log = log
        self._loop: LoopingCall | None = None
        self._told = 0

    def takeOver(self, before: Statistics) -> None:
        """At a reload: counting goes on, and what is under way ends here too."""
        self.figures, self._told = before.figures, before._told
        before._hush()

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        self.figures.inFlight += 1
        request.whenFinished(self._finished)
        request.whenTried(self._tried)
        return proceed()

    def _finished(self, exchange: Any) -> None:
        self.figures.finished(self._seconds(), exchange)

    def _tried(self, outcome: Outcome) -> None:
        self.figures.tried(self._seconds(), outcome)

    def snapshot(self) -> dict[str, Any]:
        """Plain figures, as JSON can have them. Seconds and bytes."""
        return {"name": self.title, **self.figures.snapshot(self._seconds())}

    def startService(self) -> None:
        """Write lines from now on, if that is wanted."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._log and self._loop is None:
            self._loop = LoopingCall(self._tell)
            self._loop.clock = self._reactor
            self._loop.start(self._log, now=False)

    def stopService(self) -> Any:
        """Write no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._hush()

    def _hush(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _tell(self) -> None:
        inFlight, all = self.figures.inFlight, self.figures.all
        if all.requests == self._told and not inFlight:
            return
        since, self._told = all.requests - self._told, all.requests
        latency = all.latency
        _log.info(
            "{name}: {since} requests in {seconds:g} s, {inFlight} under way; of all {total}: {failed} failed, half within "
            "{p50:.3f} s, 99 % within {p99:.3f} s",
            name=self.title, since=since, seconds=self._log, inFlight=inFlight, total=all.requests,
            failed=all.failures.total(), p50=latency.quantile(0.5), p99=latency.quantile(0.99),
        )  # fmt: skip

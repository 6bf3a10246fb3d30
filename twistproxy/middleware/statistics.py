"""What comes through: counts, rates, failures and times, over all and for each upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest
from twistproxy.plugin import Duration
from twistproxy.statistics.counters import Counters

_log: Final = Logger(namespace="twistproxy.statistics")
_MAX_UPSTREAMS: Final = 1000
OTHERS: Final = "others"
"""Where upstreams are counted beyond the first thousand."""


@implementer(IMiddleware)
class Statistics(Service):
    """Count what comes this way, as statistics:name=shop:log=1m.

    Read C{snapshot()} of the object, or C{ProxyService.statistics()} for all of a proxy.

    @ivar name: for those who read.
    @ivar inFlight: exchanges under way.
    @ivar all: what has ended.
    @ivar upstreams: the same for each upstream that was asked last, by its key.
    """

    def __init__(self, name: str = "", log: Duration = 0.0, context: Any = None) -> None:
        """
        @param name: what the figures are called; by default the place in the configuration.
        @param log: a line in the error log so often, when there is anything to tell; 0: never.
        """
        self.name = name or str(getattr(context, "place", "") or "statistics")
        self.inFlight = 0
        self.all = Counters()
        self.upstreams: dict[str, Counters] = {}
        self._reactor: Any = context.reactor
        self._seconds: Callable[[], float] = context.reactor.seconds
        self._log = log
        self._loop: LoopingCall | None = None
        self._told = 0

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        self.inFlight += 1
        request.whenFinished(self._finished)
        return proceed()

    def _finished(self, exchange: Any) -> None:
        self.inFlight -= 1
        now = self._seconds()
        reason = exchange.error.kind.reason if exchange.error is not None else ""
        facts = (now, exchange.code, reason, now - exchange.started, exchange.inbound.body.size, exchange.bytesOut)
        self.all.add(*facts)
        if exchange.upstream is not None:
            self._upstream(exchange.upstream.key).add(*facts)

    def _upstream(self, key: str) -> Counters:
        found = self.upstreams.get(key)
        if found is None:
            if len(self.upstreams) >= _MAX_UPSTREAMS:
                key = OTHERS
            found = self.upstreams.setdefault(key, Counters())
        return found

    def snapshot(self) -> dict[str, Any]:
        """Plain figures, as JSON can have them. Seconds and bytes."""
        now = self._seconds()
        return {
            "name": self.name,
            "inFlight": self.inFlight,
            **self.all.snapshot(now),
            "upstreams": {key: each.snapshot(now) for key, each in self.upstreams.items()},
        }

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
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    def _tell(self) -> None:
        if self.all.requests == self._told and not self.inFlight:
            return
        since, self._told = self.all.requests - self._told, self.all.requests
        latency = self.all.latency
        _log.info(
            "{name}: {since} requests in {seconds:g} s, {inFlight} under way; of all {total}: {failed} failed, half within "
            "{p50:.3f} s, 99 % within {p99:.3f} s",
            name=self.name, since=since, seconds=self._log, inFlight=self.inFlight, total=self.all.requests,
            failed=self.all.failures.total(), p50=latency.quantile(0.5), p99=latency.quantile(0.99),
        )  # fmt: skip

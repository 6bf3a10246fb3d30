"""What comes through: counts, rates, failures and times, over all and for each upstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Outcome, Upstream
from twistproxy.plugin import Duration
from twistproxy.statistics.counters import Counters

_log: Final = Logger(namespace="twistproxy.statistics")
_MAX_UPSTREAMS: Final = 1000
OTHERS: Final = "others"
"""Where upstreams are counted beyond a thousand."""


@implementer(IMiddleware)
class Statistics(Service):
    """Count what comes this way, as statistics:name=shop:log=1m.

    Read C{snapshot()} of the object, or C{ProxyService.statistics()} for all of a proxy.

    @ivar title: for those who read.
    @ivar inFlight: exchanges under way.
    @ivar all: what has ended, as clients saw it.
    @ivar upstreams: the tries at each upstream, by its key, those that failed and were made good by another too. Of
        more than a thousand, those that were tried least recently are counted together as L{OTHERS}.
    """

    def __init__(self, name: str = "", log: Duration = 0.0, context: Any = None) -> None:
        """
        @param name: what the figures are called; by default the place in the configuration. Those of the same name are summed.
        @param log: a line in the error log so often, when there is anything to tell; 0: never.
        """
        self.title: str = name or str(getattr(context, "place", "") or "statistics")
        self.inFlight = 0
        self.all = Counters()
        self.upstreams: dict[str, Counters] = {}
        self._members: dict[str, Upstream] = {}
        self._context = context
        self._reactor: Any = context.reactor
        self._seconds: Callable[[], float] = context.reactor.seconds
        self._log = log
        self._loop: LoopingCall | None = None
        self._told = 0

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        self.inFlight += 1
        request.whenFinished(self._finished)
        request.whenTried(self._tried)
        return proceed()

    def _finished(self, exchange: Any) -> None:
        self.inFlight -= 1
        now, tunnel = self._seconds(), exchange.tunnel
        reason = exchange.error.kind.reason if exchange.error is not None else ""
        if tunnel is None:
            self.all.add(now, exchange.code, reason, now - exchange.started, exchange.inbound.body.size, exchange.bytesOut)
        else:
            self.all.tunnels += 1
            self._upstream(exchange.upstream).tunnels += 1
            self.all.add(now, exchange.code, reason, None, tunnel.client.received, exchange.bytesOut)

    def _tried(self, outcome: Outcome) -> None:
        self._upstream(outcome.upstream).add(
            self._seconds(), outcome.code, outcome.error, outcome.firstByteTime, outcome.bytesIn, outcome.bytesOut
        )  # fmt: skip

    def _upstream(self, upstream: Upstream) -> Counters:
        """Where an upstream is counted."""
        key, known = upstream.key, self.upstreams
        found = known.get(key)
        if found is None:
            if len(known) >= _MAX_UPSTREAMS:
                self._forget(next(each for each in known if each != OTHERS))
            found = known[key] = Counters()
        elif len(known) > _MAX_UPSTREAMS // 2:  # from then on the order says whom to forget
            known[key] = known.pop(key)
        self._members[key] = upstream
        return found

    def _forget(self, key: str) -> None:
        """Count one with those whom nobody asked about of late: what clients and sources name has no end."""
        self.upstreams.setdefault(OTHERS, Counters()).include(self.upstreams.pop(key))
        del self._members[key]

    @classmethod
    def summed(cls, several: Sequence[Statistics]) -> Statistics:
        """The sum of several, which goes on with none of them; of one, itself."""
        if len(several) == 1:
            return several[0]
        made = cls(several[0].title, context=several[0]._context)
        for other in several:
            made.inFlight += other.inFlight
            made.all.include(other.all)
            for key, each in other.upstreams.items():
                made.upstreams.setdefault(key, Counters()).include(each)
            made._members.update(other._members)
        return made

    def snapshot(self) -> dict[str, Any]:
        """Plain figures, as JSON can have them. Seconds and bytes."""
        now, members = self._seconds(), self._members
        return {
            "name": self.title,
            "inFlight": self.inFlight,
            **self.all.snapshot(now),
            "upstreams": {
                key: {"inFlight": members[key].inFlight if key in members else 0, **each.snapshot(now)}
                for key, each in self.upstreams.items()
            },
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
            name=self.title, since=since, seconds=self._log, inFlight=self.inFlight, total=self.all.requests,
            failed=self.all.failures.total(), p50=latency.quantile(0.5), p99=latency.quantile(0.99),
        )  # fmt: skip

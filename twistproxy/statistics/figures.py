"""What came through one place, over all and for each upstream. Time is passed in; it reads exchanges, and changes none."""

from __future__ import annotations

from typing import Any, Final

from twistproxy.messages import Outcome, Upstream
from twistproxy.statistics.counters import Counters

MAX_UPSTREAMS: Final = 1000
OTHERS: Final = "others"
"""Where upstreams are counted beyond a thousand."""


class Figures:
    """Figures of exchanges.

    @ivar inFlight: exchanges under way.
    @ivar all: what has ended, as clients saw it.
    @ivar upstreams: the tries at each upstream, by its key, those that failed and were made good by another too. Of
        more than a thousand, those that were tried least recently are counted together as L{OTHERS}.
    """

    def __init__(self) -> None:
        self.inFlight = 0
        self.all = Counters()
        self.upstreams: dict[str, Counters] = {}
        self._members: dict[str, Upstream] = {}

    def finished(self, now: float, exchange: Any) -> None:
        """One of those under way has ended.

        @param exchange: what L{twistproxy.messages.InboundRequest.whenFinished} tells.
        """
        self.inFlight -= 1
        tunnel = exchange.tunnel
        reason = exchange.error.kind.reason if exchange.error is not None else ""
        if tunnel is None:
            self.all.add(now, exchange.code, reason, now - exchange.started, exchange.inbound.body.size, exchange.bytesOut)
        else:
            self.all.tunnels += 1
            self.of(exchange.upstream).tunnels += 1
            self.all.add(now, exchange.code, reason, None, tunnel.client.received, exchange.bytesOut)

    def tried(self, now: float, outcome: Outcome) -> None:
        """One try at an upstream has ended."""
        self.of(outcome.upstream).add(
            now, outcome.code, outcome.error, outcome.firstByteTime, outcome.bytesIn, outcome.bytesOut
        )  # fmt: skip

    def of(self, upstream: Upstream) -> Counters:
        """Where an upstream is counted."""
        key, known = upstream.key, self.upstreams
        found = known.get(key)
        if found is None:
            if len(known) >= MAX_UPSTREAMS:
                self._forget(next(each for each in known if each != OTHERS))
            found = known[key] = Counters()
        elif len(known) > MAX_UPSTREAMS // 2:  # from then on the order says whom to forget
            known[key] = known.pop(key)
        self._members[key] = upstream
        return found

    def _forget(self, key: str) -> None:
        """Count one with those whom nobody asked about of late: what clients and sources name has no end."""
        self.upstreams.setdefault(OTHERS, Counters()).include(self.upstreams.pop(key))
        del self._members[key]

    def include(self, other: Figures) -> None:
        """Count all of another one's too."""
        self.inFlight += other.inFlight
        self.all.include(other.all)
        for key, each in other.upstreams.items():
            self.upstreams.setdefault(key, Counters()).include(each)
        self._members.update(other._members)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain figures, as JSON can have them. Seconds and bytes."""
        members = self._members
        return {
            "inFlight": self.inFlight,
            **self.all.snapshot(now),
            "upstreams": {
                key: {"inFlight": members[key].inFlight if key in members else 0, **each.snapshot(now)}
                for key, each in self.upstreams.items()
            },
        }

"""How many bytes a second somebody gets or sends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zope.interface import implementer

from twistproxy.bodies.body import BodySink
from twistproxy.bodies.pacing import paced
from twistproxy.bodies.stages import BodyControl, Stage
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.bandwidth import Buckets
from twistproxy.limiting.keys import limitKey
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.units import Size


@implementer(IMiddleware)
class BandwidthLimit:
    """Let so many bytes of bodies through in a second, as bandwidth-limit:rate=1MiB:upload=256KiB:key=client; whoever sends them
    is paused meanwhile.

    A token bucket for each key and direction, of which all that go on at once get as much each. Tunnels are slowed too; heads
    are not counted. In memory is no more of a body than some 64 KiB and what was read at once.
    """

    def __init__(
        self,
        rate: Size | None = None,
        *,
        upload: Size | None = None,
        burst: Size | None = None,
        key: str = "connection",
        keys: int = 100_000,
        context: Any = None,
    ) -> None:
        """
        @param rate: bytes a second to clients.
        @param upload: bytes a second from clients; as many as they like where only C{rate} is given, and the other way round.
        @param burst: how many bytes may go at once after a rest, either way; by default a tenth of a second's.
        @param key: whose bytes are counted together: C{connection}, C{client}, C{user}, C{header:NAME}, C{cookie:NAME},
            C{query:NAME}, C{host}, C{path}, C{target}, C{route} for all of them, or C{module.function} of yours, which gets the
            request and returns bytes.
        @param keys: how many keys are remembered at most; the least recent are forgotten.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if rate is None and upload is None:
            raise ValueError("give a rate, an upload or both")
        for name, value in (("rate", rate), ("upload", upload), ("keys", keys)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is 1 or more")
        self._key = limitKey(key)
        self._down, self._up = (
            None if each is None else Buckets(each, each / 10 if burst is None else burst, keys) for each in (rate, upload)
        )
        self._reactor = context.reactor

    def takeOver(self, before: BandwidthLimit) -> None:
        """At a reload: those whose answers are under way get no more by it."""
        self._down, self._up = before._down, before._up

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if self._up is not None:
            request.addStage(partial(self._slowed, request, self._up))
        if self._down is None:
            return proceed()
        return proceed().addCallback(partial(self._answered, partial(self._slowed, request, self._down)))

    def _answered(self, stage: Stage, response: Response) -> Response:
        response.addStage(stage)
        return response

    def _slowed(self, request: InboundRequest, buckets: Buckets, sink: BodySink, control: BodyControl) -> BodySink:
        """A L{Stage}, made when there is a body: only then its key counts as used."""
        return paced(self._reactor, request, buckets.of(self._key(request)))(sink, control)

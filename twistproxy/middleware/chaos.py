"""Faults on purpose, for those who test what their clients do about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from random import SystemRandom
from typing import Any, Final, Literal

from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.bodies.delaying import delayed
from twistproxy.bodies.pacing import AtOnce, limited, paced
from twistproxy.bodies.stages import Stage
from twistproxy.errors import FAULT_INJECTED, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.bandwidth import Bucket
from twistproxy.limiting.fates import Delays, Fate, Fates, Slices
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.units import Duration, Share, Size, formatDuration

_log: Final = Logger(namespace="twistproxy.chaos")

_SHAPES: Final = "data-latency, limit-data, bandwidth, slicer or slow-close"


@implementer(IMiddleware)
class Chaos:
    """Make faults on purpose, as chaos:latency=200ms:share=10%:seed=1, in the words of toxiproxy; they can be combined.

    What happens to the n-th request that comes this way depends on the seed and n alone, so that a run can be repeated.
    What is done to bodies is done to the bytes of tunnels, too.

    @ivar hit: how many requests something was done to.
    @ivar spared: how many came through as they were.
    """

    def __init__(
        self,
        *,
        share: Share = 1.0,
        seed: int | None = None,
        latency: Duration = 0.0,
        jitter: Duration = 0.0,
        status: int | None = None,
        timeout: Duration = 0.0,
        reset: Duration | None = None,
        stream: Literal["downstream", "upstream", "both"] = "downstream",
        dataLatency: Duration = 0.0,
        dataJitter: Duration = 0.0,
        limitData: Size | None = None,
        bandwidth: Size = 0,
        slicer: Size = 0,
        slicerVariation: Size = 0,
        slicerDelay: Duration = 0.0,
        slowClose: Duration = 0.0,
        context: Any = None,
    ) -> None:
        """
        @param share: of the requests that are hit.
        @param seed: decides which are; by default another each time, which the error log tells.
        @param latency: before the upstream is asked.
        @param jitter: by which the latency differs, both ways.
        @param status: the upstream is not asked, and this is the answer.
        @param timeout: the upstream is not asked, and after so long the client's connection is closed.
        @param reset: the upstream is asked, but the client does not get its answer: its connection is reset so long after.
        @param stream: the bodies that the options below are about: those of answers, of requests, or both; and so with tunnels.
        @param dataLatency: by which every piece of a body comes later.
        @param dataJitter: by which that differs from one piece to the next, both ways.
        @param limitData: bytes of a body, after which both connections are closed.
        @param bandwidth: bytes a second of a body.
        @param slicer: bytes of the pieces in which a body goes out.
        @param slicerVariation: bytes by which those differ, both ways.
        @param slicerDelay: from one piece to the next.
        @param slowClose: by which the end of a body is late, after its last byte.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if status is not None and not 200 <= status <= 599:
            raise ValueError("status is 200 to 599")
        if jitter > latency:
            raise ValueError("jitter is no more than latency")
        if dataJitter > dataLatency:
            raise ValueError("data-jitter is no more than data-latency")
        if slicerVariation and slicerVariation >= slicer:
            raise ValueError("slicer-variation is less than slicer")
        if slicerDelay and not slicer:
            raise ValueError("slicer-delay needs slicer")
        if timeout and reset is not None:
            raise ValueError("timeout and reset: choose one")
        longest = max(latency + jitter, timeout, reset or 0.0)
        if longest >= context.settings.hookTimeout:
            limit = formatDuration(context.settings.hookTimeout)
            raise ValueError(f"{formatDuration(longest)} is not less than the setting hook-timeout, {limit}")
        shapes = bool(limitData is not None or bandwidth or slicer or slowClose or dataLatency)
        if stream != "downstream" and not shapes:
            raise ValueError(f"stream is for {_SHAPES}")
        if not (latency or status or timeout or reset is not None or shapes):
            raise ValueError(f"name a fault: latency, status, timeout, reset, {_SHAPES}")
        if seed is None:
            seed = SystemRandom().getrandbits(32)
            _log.info("{place}: chaos has the seed {seed}", place=context.place, seed=seed)
        self.seed = seed
        self.hit = self.spared = 0
        self._fates = Fates(seed, share, latency, jitter)
        self._reactor = context.reactor
        self._status = status
        self._timeout = timeout
        self._reset = reset
        self._isUp = shapes and stream != "downstream"
        self._isDown = shapes and stream != "upstream"
        self._dataLatency = (dataLatency, dataJitter)
        self._limit = limitData
        self._bandwidth = bandwidth
        self._slicer = (slicer, slicerVariation, slicerDelay) if slicer else None
        self._slowClose = slowClose

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        fate = self._fates.next()
        if not fate.isHit:
            self.spared += 1
            return proceed()
        self.hit += 1
        if fate.latency or self._status is not None or self._timeout or self._reset is not None:
            return self._suffer(request, proceed, fate)
        return self._proceed(request, proceed, fate)

    async def _suffer(self, request: InboundRequest, proceed: Callable[[], Any], fate: Fate) -> Response:
        if fate.latency:
            await deferLater(self._reactor, fate.latency)
        if self._status is not None:
            return Response(self._status, {"Content-Type": "text/plain"}, b"This answer was made on purpose.\n")
        if self._timeout:
            await deferLater(self._reactor, self._timeout)
            raise _fault("timeout")
        answering = self._proceed(request, proceed, fate)
        if self._reset is None:
            response: Response = await answering
            return response
        try:
            await answering
        except ProxyError:
            pass  # lost too
        await deferLater(self._reactor, self._reset)
        request.abort()
        raise _fault("reset")

    def _proceed(self, request: InboundRequest, proceed: Callable[[], Any], fate: Fate) -> Any:
        """Have bodies go on with what is done to them."""
        if self._isUp:
            for stage in self._stages(request, fate.seed + 1):
                request.addStage(stage)
        return proceed().addCallback(partial(self._shape, request, fate)) if self._isDown else proceed()

    def _shape(self, request: InboundRequest, fate: Fate, response: Response) -> Response:
        for stage in self._stages(request, fate.seed):
            response.addStage(stage)
        return response

    def _stages(self, request: InboundRequest, seed: int) -> Iterator[Stage]:
        """What is done to one body."""
        if self._dataLatency[0]:
            yield delayed(self._reactor, request, Delays(*self._dataLatency, seed).next)
        if self._slicer is not None:
            yield paced(self._reactor, request, Slices(*self._slicer, seed))
        if self._bandwidth:
            yield paced(self._reactor, request, Bucket(self._bandwidth, 0))
        if self._slowClose:
            yield paced(self._reactor, request, AtOnce(), self._slowClose)
        if self._limit is not None:
            yield limited(self._limit, _fault(f"limit-data {self._limit}"))


def _fault(what: str) -> ProxyError:
    """Whoever waits for an answer gets none."""
    made = ProxyError(FAULT_INJECTED, f"chaos {what}")
    made.isSilent = True
    return made

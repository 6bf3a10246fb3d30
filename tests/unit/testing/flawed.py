"""Plugins, each with one flaw that L{checkPlugin} has to find; and one without."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from zope.interface import implementer

from twistproxy.interfaces import (
    IAccessLog,
    IBodyFilter,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IMiddleware,
    IResponseModifier,
    IUpstreamSource,
)
from twistproxy.messages import Health, Response, Upstream


@implementer(IDirector)
class Good:
    """Adds a header.

    @param value: of it.
    """

    def __init__(self, value: str = "yes") -> None:
        self.value = value

    def direct(self, inbound: Any, outbound: Any) -> None:
        outbound.headers.setRawHeaders("X-Good", [self.value])


@implementer(IDirector)
class _Director:
    def __init__(self, context: Any = None) -> None:
        self.context = context

    def direct(self, inbound: Any, outbound: Any) -> Any:
        raise NotImplementedError


class Assuming(_Director):
    """Takes a header for granted."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        return {b"blue": None}[inbound.headers.get(b"X-Team")]


class Meddling(_Director):
    """Changes the request that came in."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        inbound.headers.items.append((b"x-mine", b"X-Mine", b"1"))


class Babbling(_Director):
    """Returns nonsense."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        return 404


class Littering(_Director):
    """Leaves a delayed call behind."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        self.context.reactor.callLater(1e6, print)


class Pondering(_Director):
    """Never answers."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        return Deferred()


class Bytewise(_Director):
    """Depends on how the bytes come."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        return Response(418) if self.context.reactor.segmentSize else None


@implementer(IDirector)
class Misnamed:
    """Has not the method."""

    def direct_request(self, inbound: Any, outbound: Any) -> Any:
        pass


class Undeclared:
    """Says nothing of an interface."""

    def direct(self, inbound: Any, outbound: Any) -> Any:
        pass


@implementer(IResponseModifier)
class Reading:
    """Takes every answer for a short one."""

    async def modify(self, request: Any, response: Any) -> None:
        try:
            await response.body.read(1000)
        except Exception as error:
            raise KeyError("too long") from error


@implementer(IMiddleware)
class Twice:
    """Proceeds twice."""

    async def around(self, request: Any, proceed: Any) -> Any:
        await proceed()
        return await proceed()


@implementer(IMiddleware)
class Holding:
    """Waits for what never comes, when there is a body."""

    async def around(self, request: Any, proceed: Any) -> Any:
        if request.headers.hasHeader(b"content-length"):
            await Deferred()
        return await proceed()


@implementer(IErrorHandler)
class Helpless:
    """Fails at failures."""

    def handle(self, request: Any, error: Any) -> Any:
        return error.page


@implementer(IAccessLog)
class Mumbling:
    """Fails to log."""

    def log(self, record: Any) -> None:
        raise OSError("full")


@implementer(IDirector)
class Restless(Service):
    """Has a service that does not really stop."""

    def __init__(self, context: Any = None) -> None:
        self.loop = LoopingCall(int)
        self.loop.clock = context.reactor

    def direct(self, inbound: Any, outbound: Any) -> Any:
        pass

    def startService(self) -> None:
        if not self.loop.running:
            self.loop.start(1)


@implementer(IHealthCheck)
class Checking:
    """Finds everybody well, after a while."""

    def __init__(self, context: Any = None) -> None:
        self.context = context

    async def check(self, upstream: Any) -> Health:
        if self.context is not None:
            await deferLater(self.context.reactor, 1)
        return Health(True)


@implementer(IHealthCheck)
class Ailing:
    """Returns nonsense."""

    def check(self, upstream: Any) -> Any:
        return "well"


@implementer(IUpstreamSource)
class Telling(Service):
    """Tells of one more upstream, where nobody is."""

    def subscribe(self, observer: Any) -> Any:
        observer([Upstream("http://10.9.9.9:1")])
        return lambda: None


@implementer(IBodyFilter)
class Filtering:
    """Is of a kind that is loaded only."""

    def data(self, chunk: bytes) -> bytes:
        return chunk

    def end(self) -> bytes:
        return b""


SHARED = Good()


def shared() -> Good:
    """Gives everybody the same."""
    return SHARED

"""What a plugin asks of a server by itself: small documents, never more than it can hold."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


def readLimited(response: Any, limit: int) -> Deferred[bytes]:
    """The body of an C{IResponse}. Whoever cancels this closes its connection, as what is wrong with the body does.

    @param limit: most bytes.
    @return: fails with a C{ValueError} when it is longer.
    """
    reader = _Reader(limit)
    response.deliverBody(reader)
    return reader.content


class _Reader(Protocol):
    """Collects a body. That of treq, and Twisted's C{readBody}, go on reading when nobody waits any more."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.content: Deferred[bytes] = Deferred(lambda _: self._close())

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.content.called:
            return
        self._size += len(data)
        if self._size > self._limit:
            self._pieces.clear()
            self._close()
            self.content.errback(ValueError(f"it is longer than {self._limit >> 20} MiB"))
            return
        self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        from twisted.web.client import ResponseDone  # here and not above: nobody else needs it, and it takes a while
        from twisted.web.http import PotentialDataLoss

        if self.content.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.content.callback(b"".join(self._pieces))
        else:
            self.content.errback(reason)


async def fetch(reactor: Any, url: str, timeout: float, limit: int) -> bytes:
    """The document at a URL; redirects are not followed.

    @param timeout: for the connection; that for all of it is the caller's.
    @raise ValueError: when the answer is not 200, or too long.
    @raise Exception: when there is none.
    """
    from twisted.web.client import Agent

    response = await Agent(reactor, connectTimeout=timeout).request(b"GET", url.encode("ascii"))
    content = await readLimited(response, limit)
    if response.code != 200:
        raise ValueError(f"the answer is {response.code}")
    return content


def isDocumentURL(url: str) -> bool:
    """Whether it can be fetched: C{http://} or C{https://}, over TCP."""
    from twistproxy.location import parseLocation

    try:
        return not parseLocation(url).socketPath
    except ValueError:
        return False

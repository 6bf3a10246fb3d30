"""What a plugin asks of a server by itself: small documents, never more than it can hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

T = TypeVar("T")

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


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


def within(asking: Coroutine[Any, Any, T], timeout: float, reactor: Any) -> Deferred[T]:
    """What a coroutine answers in time. Twisted's Agent has words of its own for what was cancelled while it asked, so that
    nobody could tell who left from who failed, nor what took too long.

    @param timeout: seconds; then it is cancelled.
    @return: fails with C{TimeoutError} after that, and with C{CancelledError} when it is cancelled.
    """
    isOver = False

    def settle(call: Callable[[Any], Any], result: Any) -> None:
        nonlocal isOver
        if not isOver:
            isOver = True
            if delayed.active():
                delayed.cancel()
            running.cancel()
            call(result)

    answer: Deferred[T] = Deferred(lambda _: settle(answer.errback, CancelledError()))
    delayed = reactor.callLater(timeout, lambda: settle(answer.errback, TimeoutError(f"no answer within {timeout:g} s")))
    running = Deferred.fromCoroutine(asking)
    running.addCallbacks(lambda result: settle(answer.callback, result), lambda failure: settle(answer.errback, failure))
    return answer


def described(error: BaseException) -> str:
    """What to say of it in a log; the Agent wraps what went wrong."""
    reasons = getattr(error, "reasons", ())
    if reasons:
        error = reasons[0].value
    return str(error) or type(error).__name__


@implementer(IAgentEndpointFactory)
class _Quietly:
    """Connects as Twisted's Agent does, without two lines in the log for each connection."""

    def __init__(self, reactor: Any, timeout: float, trust: Any) -> None:
        from twisted.web.client import BrowserLikePolicyForHTTPS

        self._reactor = reactor
        self._timeout = timeout
        self._policy = BrowserLikePolicyForHTTPS(trust)

    def endpointForURI(self, uri: Any) -> Any:
        endpoint: Any = HostnameEndpoint(self._reactor, uri.host, uri.port, timeout=self._timeout)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return _QuietEndpoint(endpoint)


@implementer(IStreamClientEndpoint)
class _QuietEndpoint:
    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: Any) -> Any:
        protocolFactory.noisy = False
        return self._endpoint.connect(protocolFactory)


def authoritiesIn(path: Path) -> Any:
    """Those whose certificates are in a PEM file, for L{agent}.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    from twisted.internet.ssl import Certificate, trustRootFromCertificates

    try:
        found = [Certificate.loadPEM(each) for each in _CERTIFICATE.findall(path.read_bytes())]
        if not found:
            raise ValueError
        return trustRootFromCertificates(found)
    except OSError as error:
        raise ValueError(f"ca: the file {path} cannot be read: {error.strerror}") from None
    except Exception:  # OpenSSL's, of several kinds
        raise ValueError(f"ca: the file {path} has no certificate, or one that is damaged") from None


def agent(reactor: Any, timeout: float, pool: Any = None, trust: Any = None) -> Any:
    """An C{IAgent} for http and https.

    @param timeout: for connections, in seconds.
    @param pool: an C{HTTPConnectionPool}; without one no connection is kept.
    @param trust: whom to believe who a server is, as of L{authoritiesIn}; None for the platform's authorities.
    """
    from twisted.web.client import Agent

    return Agent.usingEndpointFactory(reactor, _Quietly(reactor, timeout, trust), pool)


async def fetch(reactor: Any, url: str, timeout: float, limit: int, trust: Any = None) -> bytes:
    """The document at a URL; redirects are not followed.

    @param timeout: for the connection; that for all of it is the caller's.
    @param trust: as of L{agent}.
    @raise ValueError: when the answer is not 200, or too long.
    @raise Exception: when there is none.
    """
    response = await agent(reactor, timeout, trust=trust).request(b"GET", url.encode("ascii"))
    content = await readLimited(response, limit)
    if response.code != 200:
        raise ValueError(f"the answer is {response.code}")
    return content


def isDocumentURL(url: str) -> bool:
    """Whether it can be fetched: C{http://} or C{https://}, over TCP."""
    from twistproxy.text.location import parseLocation

    try:
        return not parseLocation(url).socketPath
    except ValueError:
        return False

"""The two sample upstreams of C{twist revproxy --demo}: what a newcomer sees first.

They are ordinary C{twisted.web} sites on 127.0.0.1 that tell what reached them, so that everything the proxy
changes can be looked at with curl or in a browser. They share nothing with the proxy but the reactor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from twistproxy.demopage import Echo

DEMO_PORTS = (2003, 2004)
"""Where the sample upstreams listen, unless something else does."""

SLOW_SECONDS = 6.0
"""How long C{/base/timeout} takes to answer."""

_LOOPBACK = "127.0.0.1"

_log = Logger()


class SampleUpstream(Resource):
    """Echoes every request; C{/base/error} answers 500, and C{/base/timeout} answers after L{SLOW_SECONDS}.

    The answer is a page when C{Accept} names C{text/html}, and plain text otherwise.
    """

    isLeaf = True

    def __init__(self, clock: IReactorTime, number: int = 1) -> None:
        """
        @param clock: times the slow answer.
        @param number: 1 for the first sample upstream, and so on: its page says so and has its own colour.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._number = number

    def render(self, request: Request) -> int:
        """Answer C{request}, whatever its method."""
        if request.path == b"/base/error":
            self._answer(request, 500, "error handler")
        elif request.path == b"/base/timeout":
            self._answerLater(request)
        else:
            self._answer(request, 200)
        return NOT_DONE_YET

    def _answerLater(self, request: Request) -> None:
        message = f"answered after {SLOW_SECONDS:g} s"
        call = self._clock.callLater(SLOW_SECONDS, self._answer, request, 200, message)
        # A client that leaves takes its answer with it.
        request.notifyFinish().addErrback(lambda _: call.cancel())

    def _answer(self, request: Request, code: int, message: str = "") -> None:
        echo = _echoOf(request)
        if _wantsPage(request):
            kind, body = b"text/html", echo.asPage(self._number, f"{code} {message or 'OK'}")
        else:
            kind, body = b"text/plain", f"{message}\n" if message else echo.asText()
        data = body.encode()
        request.setResponseCode(code)
        request.setHeader(b"content-type", kind + b"; charset=utf-8")
        request.setHeader(b"content-length", b"%d" % len(data))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"vary", b"Accept")
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.write(data)
        request.finish()


class DemoUpstreams(Service):
    """The sample upstreams as a service. They listen from construction on, so that their URLs are known;
    stopping the service closes the ports.

    @ivar urls: where they listen, for the proxy's configuration.
    """

    def __init__(self, reactor: Any, ports: Sequence[int] = DEMO_PORTS) -> None:
        """The parameters of L{startDemo}."""
        listening = startDemo(reactor, ports)
        self._ports = [port for port, _ in listening]
        self.urls = [url for _, url in listening]

    def stopService(self) -> Deferred[Any]:
        """Close the ports; a Deferred that fires when they are."""
        super().stopService()  # type: ignore[no-untyped-call]
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for port in ports])


def startDemo(reactor: Any, ports: Sequence[int] = DEMO_PORTS) -> list[tuple[IListeningPort, str]]:
    """Start a sample upstream on each of C{ports} of 127.0.0.1, or on a free one where that is taken.

    @param reactor: provides C{IReactorTCP} and C{IReactorTime}.
    @return: each listening port with the URL of its upstream, in the order of C{ports}.
    @raise CannotListenError: when not even a free port can be had.
    """
    started: list[tuple[IListeningPort, str]] = []
    for number, wanted in enumerate(ports, 1):
        upstream = SampleUpstream(reactor, number)
        site = _SampleSite(upstream, reactor=reactor)  # type: ignore[no-untyped-call]
        port = _listen(reactor, wanted, site)
        address: Any = port.getHost()  # an IPv4 address; the interface promises less
        url = f"http://{_LOOPBACK}:{address.port}"
        started.append((port, url))
        _log.info("sample upstream {number} on {url}", number=number, url=url)
    return started


def _listen(reactor: Any, port: int, site: Site) -> IListeningPort:
    try:
        listening: IListeningPort = reactor.listenTCP(port, site, interface=_LOOPBACK)
    except CannotListenError:
        listening = reactor.listenTCP(0, site, interface=_LOOPBACK)
    return listening


class _SampleSite(Site):
    """A Site that leaves the log to the proxy, so that a newcomer does not see every request twice."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        pass


def _echoOf(request: Request) -> Echo:
    """What C{request}, whose body has arrived, looks like from here."""
    headers = request.requestHeaders
    fields = [("RemoteAddr", _shown(request.getClientAddress()))]
    for name in ("X-Forwarded-For", "X-Real-Ip"):
        fields.append((name, ", ".join(headers.getRawHeaders(name, []))))
    if request.content is not None and (length := request.content.seek(0, 2)):
        fields.append(("Body", f"{length} bytes"))
    lines = [(_text(name), _text(value)) for name, values in headers.getAllRawHeaders() for value in values]
    return Echo(
        own=_shown(request.getHost()),
        method=_text(request.method),
        target=_text(request.uri),
        fields=tuple(fields),
        headers=tuple(lines),
    )


def _shown(address: Any) -> str:
    """The C{host:port} of an IPv4 address: the sample upstreams listen on no other."""
    return f"{address.host}:{address.port}"


def _text(wire: bytes) -> str:
    """C{wire} to be read by a person: what is not UTF-8 stays visible as escapes."""
    return wire.decode("utf-8", "backslashreplace")


def _wantsPage(request: Request) -> bool:
    return any(b"text/html" in value.lower() for value in request.requestHeaders.getRawHeaders(b"accept", []))

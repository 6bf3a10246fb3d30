"""What the tests of built-in plugins share: plugins built by the door that everybody's come in by, messages for them."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from twisted.plugins import twistproxy_plugin
from twistproxy.bodies.body import EMPTY, Body
from twistproxy.config import BuildContext
from twistproxy.configuring.reading import Reader
from twistproxy.errors import ConfigurationError, ErrorKind, ProxyError
from twistproxy.forwarding import identify, outboundItems
from twistproxy.interfaces import IDirector, IErrorHandler, IMiddleware, IResponseModifier
from twistproxy.loader.finder import PluginSet
from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest, OutboundRequest, Response, Upstream
from twistproxy.plugin import Plugin
from twistproxy.settings import Network
from twistproxy.trust import Trust

BUILT_IN = {each.tag: each for each in vars(twistproxy_plugin).values() if isinstance(each, Plugin)}
"""What the drop-in names, by tag."""

CLIENT = "203.0.113.9"


def built(
    interface: type[Interface], written: Any, directory: str = "", pools: tuple[str, ...] = (), reactor: Any = None
) -> Any:
    """The object of a plugin string or table.

    @raise ConfigurationError: as a person would see it.
    """
    reader = Reader(PluginSet(BUILT_IN), directory)
    use = reader.plugin("here", interface, written)
    if use is None:
        raise ConfigurationError(*reader.problems)
    return use.build(BuildContext(reactor, pools=pools))


def asked(
    target: bytes = b"/",
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    scheme: str = "http",
    peer: str = CLIENT,
    host: bytes = b"www.example",
    trusted: tuple[Network, ...] = (),
) -> InboundRequest:
    """A request, with the one that is to be sent on, as the first director gets them."""
    frozen = FrozenHeaders(Headers([(b"Host", host), *headers] if host else headers).items)
    address = Address(peer, 1234)
    items, client = outboundItems(frozen.items, (), identify(address, scheme, Trust(trusted)))
    inbound = InboundRequest(method, target, frozen, client, address, scheme)
    inbound.body = EMPTY
    inbound.outbound = OutboundRequest(method, target, Headers.fromItems(items), EMPTY, client, scheme)
    return inbound


def answered(
    code: int = 200, *headers: tuple[bytes, bytes], body: bytes = b"", upstream: str | None = "http://10.0.0.1:9000"
) -> Response:
    """An upstream's answer, as the first modifier gets it."""
    response = Response(code, headers)
    response.stream = Body.of(body)
    response.upstream = Upstream(upstream) if upstream is not None else None
    return response


def failed(kind: ErrorKind, detail: str = "") -> ProxyError:
    """A failure."""
    return ProxyError(kind, detail)


def items(headers: FrozenHeaders) -> list[tuple[bytes, bytes]]:
    """Names as on the wire, and values."""
    return [(name, value) for _, name, value in headers.items]


class PluginTestCase(SynchronousTestCase):
    """Tests of built-in plugins.

    @cvar interface: of the plugins.
    """

    interface: type[Interface]

    def build(self, written: Any, **options: Any) -> Any:
        """The object of a plugin string or table."""
        return built(self.interface, written, **options)

    def refuses(self, written: Any, *problems: str, **options: Any) -> None:
        """Each mistake is told, in these words."""
        error = self.assertRaises(ConfigurationError, self.build, written, **options)
        self.assertEqual(list(error.problems), [f"here: {each}" for each in problems])


class DirectorTestCase(PluginTestCase):
    """Tests of a director."""

    interface = IDirector

    def direct(self, written: Any, request: InboundRequest, **options: Any) -> Any:
        """What it says to C{request}; what it does there is in C{request.outbound}."""
        return self.build(written, **options).direct(request, request.outbound)

    def target(self, written: Any, target: bytes) -> bytes:
        """The target that is sent on."""
        request = asked(target)
        self.assertIs(self.direct(written, request), None)
        return request.outbound.target


class ModifierTestCase(PluginTestCase):
    """Tests of a modifier."""

    interface = IResponseModifier

    def modify(self, written: Any, request: InboundRequest, response: Response) -> Response:
        """C{response} as it makes it."""
        self.assertIs(self.build(written).modify(request, response), None)
        return response


class ErrorHandlerTestCase(PluginTestCase):
    """Tests of an error handler."""

    interface = IErrorHandler

    def handle(self, written: Any, error: ProxyError, request: InboundRequest | None = None, **options: Any) -> Any:
        """What it answers."""
        return self.build(written, **options).handle(request or asked(), error)


class MiddlewareTestCase(PluginTestCase):
    """Tests of middleware.

    @ivar answer: what is inside answers.
    @ivar proceeding: fires with it when C{isSlow}, and the test says so.
    """

    interface = IMiddleware
    isSlow = False

    def setUp(self) -> None:
        self.answer = answered()
        self.proceeding: Deferred[Response] = Deferred()
        self.proceeded = 0

    def proceed(self) -> Deferred[Response]:
        """What middleware calls."""
        self.proceeded += 1
        return self.proceeding if self.isSlow else succeed(self.answer)

    def around(self, written: Any, request: InboundRequest | None = None, **options: Any) -> Any:
        """What comes out of the middleware of a plugin string or table, or of an object that was made already: a Response,
        the kind of a failure, or a Deferred that has not fired.
        """
        middleware = written if hasattr(written, "around") else self.build(written, **options)
        found: list[Any] = []
        try:
            result = middleware.around(request or asked(), self.proceed)
        except ProxyError as error:
            self.error = error
            return error.kind
        if isinstance(result, Response):
            return result
        waiting = ensureDeferred(result) if isawaitable(result) and not isinstance(result, Deferred) else result

        def note(result: Any) -> Any:
            found.append(result)
            return result

        waiting.addBoth(note)
        if not found:
            return waiting
        waiting.addErrback(lambda failure: None)
        if isinstance(found[0], Failure):
            error = found[0].value
            if not isinstance(error, ProxyError):
                found[0].raiseException()
            self.error = error
            return error.kind
        return found[0]

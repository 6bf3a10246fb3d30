"""What the tests of built-in plugins share: plugins built by the door that everybody's come in by, messages for them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from twisted.plugins import twistproxy_plugin
from twistproxy.body import EMPTY, Body
from twistproxy.config import BuildContext
from twistproxy.configuring.reading import Reader
from twistproxy.errors import ConfigurationError, ErrorKind, ProxyError
from twistproxy.forwarding import identify, outboundItems
from twistproxy.interfaces import IDirector, IErrorHandler, IResponseModifier
from twistproxy.loader.finder import PluginSet
from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest, OutboundRequest, Response, Upstream
from twistproxy.plugin import Plugin
from twistproxy.settings import Network
from twistproxy.trust import Trust

BUILT_IN = {each.tag: each for each in vars(twistproxy_plugin).values() if isinstance(each, Plugin)}
"""What the drop-in names, by tag."""

CLIENT = "203.0.113.9"


def built(interface: type[Interface], written: Any, directory: str = "", pools: tuple[str, ...] = ()) -> Any:
    """The object of a plugin string or table.

    @raise ConfigurationError: as a person would see it.
    """
    reader = Reader(PluginSet(BUILT_IN), directory)
    use = reader.plugin("here", interface, written)
    if use is None:
        raise ConfigurationError(*reader.problems)
    return use.build(BuildContext(None, pools=pools))


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

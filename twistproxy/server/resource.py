"""The proxy as a resource of twisted.web: the successor of L{twisted.web.proxy.ReverseProxyResource}, and a Site that
streams request bodies to it.

Importing this module imports C{twisted.web.proxy}, which installs the default reactor: no other module here does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from warnings import catch_warnings, simplefilter

from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.vhost import NameVirtualHost

from twistproxy.errors import ProxyError
from twistproxy.interfaces import IBalancer, IDirector, IErrorHandler, IResponseModifier
from twistproxy.messages import Upstream
from twistproxy.proxy import ReverseProxy
from twistproxy.server._twisted import StreamingChannel, StreamingRequest
from twistproxy.server.webstream import WebStream
from twistproxy.settings import Settings
from twistproxy.text.location import parseLocation
from twistproxy.wire.guard import normaliseTarget

with catch_warnings():
    simplefilter("ignore", DeprecationWarning)  # of the client that it uses, and nobody here does
    from twisted.web import proxy

_reactor: Any = vars(proxy)["reactor"]


class _Timekeeper:
    """Runs the clock of a proxy's deadlines while there is anything to time: a resource has no start and no stop.

    @ivar deadline: always past, so that it is asked at every look; see L{twistproxy.sweep.Watched}.
    """

    deadline = float("-inf")

    def __init__(self, reverseProxy: ReverseProxy) -> None:
        self._proxy = reverseProxy

    def wake(self) -> None:
        """There is a request."""
        sweeper = self._proxy.engine.sweeper
        sweeper.start()
        sweeper.watch(self)

    def deadlinePassed(self) -> None:
        """Stop the clock when there is nothing left; a running service does that itself."""
        engine = self._proxy.engine
        if not engine.inFlight and not engine.channels and not any(pool.total for pool in engine.pools):
            engine.sweeper.forget(self)
            if not self._proxy.running:
                engine.sweeper.stop()


class ReverseProxyResource(proxy.ReverseProxyResource):
    """Everything at and below its place in the tree is asked of an upstream.

    It takes the place of L{twisted.web.proxy.ReverseProxyResource} in constructor, C{putChild} and C{isinstance}; what
    it does is the engine's, as in L{ReverseProxy}: streaming, connection pools, upgrades, plugins. A request's path
    below the resource is appended to C{path}, byte for byte as the client sent it. The Host of the client is kept.

    @ivar path: asked for at this very place: raw, already percent-encoded.
    @ivar proxy: does the work. Its C{setUpstreams} changes where requests go. It is a service: where it is made a child
        of the application's, it lets requests end when that stops.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: bytes | str,
        reactor: Any = _reactor,
        *,
        upstreams: Iterable[str | Upstream] = (),
        balancer: IBalancer | None = None,
        directors: Sequence[IDirector] = (),
        modifiers: Sequence[IResponseModifier] = (),
        errorHandlers: Sequence[IErrorHandler] = (),
        middleware: Sequence[Any] = (),
        accessLogs: Sequence[Any] = (),
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        """
        @param host: name or IP address of the upstream.
        @param port: its port; plain HTTP is spoken, whatever it is.
        @param path: base path there, without a slash at its end; empty for none.
        @param reactor: connects to upstreams and keeps time.
        @param upstreams: URLs, or L{Upstream}s, to be asked in place of C{host} and C{port}; see L{forURL}.
        @param balancer: picks among them; round robin by default.
        @param settings: limits and timeouts. What concerns heads and idle clients is the Site's.
        @raise ValueError: when host, port or path can't be understood.
        """
        super().__init__(host, port, path, reactor)  # type: ignore[no-untyped-call]
        base = path.encode("ascii") if isinstance(path, str) else path
        if base and (not base.startswith(b"/") or b"?" in base):
            raise ValueError(f"{base!r} is not a base path: it begins with a slash and has no query")
        parseLocation("http://path" + base.decode("latin-1"))
        self.path = base
        asked = list(upstreams)
        if not asked:
            shown = f"[{host}]" if ":" in host else host
            asked = [f"http://{shown}:{port}"]
            if not set(host).isdisjoint("/?"):
                raise ValueError(f"{host!r} is not a host: see forURL")
        self.proxy = ReverseProxy(
            reactor,
            asked,
            balancer=balancer,
            directors=directors,
            modifiers=modifiers,
            errorHandlers=errorHandlers,
            middleware=middleware,
            accessLogs=accessLogs,
            settings=settings,
        )
        self._timekeeper = _Timekeeper(self.proxy)

    @classmethod
    def forURL(cls, url: str, *others: str, reactor: Any = _reactor, **options: Any) -> ReverseProxyResource:
        """A resource for C{http://host:port/path}, C{https://...} or C{unix:/socket:/path}.

        @param others: more upstreams, for the balancer to choose from.
        @param options: as the constructor's.
        @raise ValueError: when a URL can't be understood, or the paths of several differ.
        """
        bases = {parseLocation(each).basePath.rstrip(b"/") for each in (url, *others)}
        if len(bases) > 1:
            raise ValueError("the upstreams of one resource have one path")
        location = parseLocation(url)
        upstreams = [_withoutPath(each) for each in (url, *others)]
        return cls(location.host, location.port, bases.pop(), reactor, upstreams=upstreams, **options)

    def getChild(self, path: bytes, request: Any) -> ReverseProxyResource:
        """The resource one segment further down: the same proxy, and that segment appended as the client sent it."""
        child = copy(self)
        child.children = {}
        child.path = self.path + b"/" + _rawSegment(path, request)
        return child

    def render(self, request: Any) -> Any:
        """Ask the upstream; the answer goes to C{request} as it comes."""
        if request.channel is not None:  # else the client left while somebody thought about its request
            self._timekeeper.wake()
            WebStream(self.proxy.engine, request, self.path or b"/").start()
        return NOT_DONE_YET


def _withoutPath(url: str) -> str:
    head, mark, query = url.partition("?")
    return head.removesuffix(parseLocation(url).basePath.decode("ascii")).removesuffix(":") + mark + query


def _rawSegment(segment: bytes, request: Any) -> bytes:
    """A segment as it stands in the request's path; where that was rewritten on the way here, encoded anew."""
    raw = request.path[1:].split(b"/")
    at = len(raw) - len(request.postpath) - 1
    if at >= 0 and unquote_to_bytes(raw[at]) == segment:
        return bytes(raw[at])
    return quote(segment, safe=b"!$&'()*+,;=:@").encode("ascii")


def _streams(resource: Any) -> bool:
    """Whether a resource is a proxy in all that matters here."""
    kind = type(resource)
    return isinstance(resource, ReverseProxyResource) and (
        kind.render is ReverseProxyResource.render
        and kind.getChild is ReverseProxyResource.getChild
        and kind.getChildWithDefault is Resource.getChildWithDefault
    )


def leadsToProxy(root: IResource, path: bytes, host: bytes) -> bool:
    """Whether a request will come to a L{ReverseProxyResource}, as far as that can be told without asking anybody.

    Only children that were put are looked at, and the hosts of a L{NameVirtualHost}. What a resource's own C{getChild}
    would say is not known before the request is complete; so behind such a resource bodies are not streamed.

    @param path: in origin form, without its query.
    @param host: as the request's Host says.
    """
    resource: Any = root
    segments = [unquote_to_bytes(each) for each in path[1:].split(b"/")]
    while True:
        if type(resource) is NameVirtualHost:
            if segments and segments[0] in resource.children:
                resource = resource.children[segments.pop(0)]
                continue
            resource = resource.hosts.get(host.lower().split(b":", 1)[0], resource.default)
            continue
        if not segments or getattr(resource, "isLeaf", True):
            return _streams(resource)
        if _streams(resource):
            child = resource.children.get(segments.pop(0))
            if child is None:
                return True
            resource = child
            continue
        if not isinstance(resource, Resource) or type(resource).getChildWithDefault is not Resource.getChildWithDefault:
            return False
        child = resource.children.get(segments.pop(0))
        if child is None:
            return False
        resource = child


class StreamingSite(Site):
    """A L{Site} where a request that leads to a L{ReverseProxyResource} is passed on while its body arrives, at the speed
    at which the upstream takes it. All other requests are served as by any Site. It speaks HTTP/1.1 only."""

    protocol = StreamingChannel  # type: ignore[assignment]
    requestFactory = StreamingRequest

    def proxiedTarget(self, method: bytes, target: bytes, host: bytes) -> bytes | None:
        """Asked for every request when its head is complete.

        @return: the target in origin form if it leads to a proxy; else None.
        """
        try:
            target = normaliseTarget(method, target)[0]
        except ProxyError:
            return None
        return target if leadsToProxy(self.resource, target.partition(b"?")[0], host) else None

    def acceptableProtocols(self) -> list[bytes]:
        """For ALPN: HTTP/2 requests cannot be streamed here."""
        return [b"http/1.1"]


def site(root: IResource, **options: Any) -> StreamingSite:
    """A L{StreamingSite} for a tree of resources.

    @param options: as L{Site}'s, such as C{timeout} (seconds), C{logPath} and C{reactor}.
    """
    return StreamingSite(root, **options)  # type: ignore[no-untyped-call]

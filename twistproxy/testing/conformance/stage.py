"""Where a plugin is tried: harnesses around it, and what has to hold at the end of each conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from twistproxy.calling.hooks import nameOf
from twistproxy.config import BuildContext
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import Headers, HeadersLike, InboundRequest, Item
from twistproxy.settings import Settings
from twistproxy.testing.client import Client
from twistproxy.testing.composing import withHost
from twistproxy.testing.conformance.subject import Subject
from twistproxy.testing.harness import ProxyHarness
from twistproxy.testing.network import MemoryNetwork
from twistproxy.testing.recorded import RecordedRequest
from twistproxy.testing.upstream import FakeUpstream

PATIENCE: Final = 400.0
"""Seconds of virtual time after which every conversation has ended; longer than any time limit of the proxy but that of
idle tunnels."""

_HOP_BY_HOP: Final = (b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"connection")


class Stage:
    """One conversation with one plugin.

    @ivar harness: the proxy with the plugin in it.
    @ivar headers: what each request has, besides its own.
    """

    harness: ProxyHarness

    def __init__(
        self,
        subject: Subject,
        path: str,
        headers: HeadersLike,
        pools: Sequence[str],
        settings: Settings | Mapping[str, Any] | None,
        directory: str,
        segmentSize: int | None,
    ) -> None:
        self.subject = subject
        self.path = path
        self.headers = Headers(headers)
        self._pools = pools
        self._settings = settings
        self._directory = directory
        self._segmentSize = segmentSize
        self._inbound: list[tuple[InboundRequest, list[Item]]] = []
        self._around: list[_Watching] = []
        self._asksItself = False

    def play(self, *upstreams: FakeUpstream) -> ProxyHarness:
        """Put the plugin into a proxy in front of these upstreams; the pools that it may name have the same."""
        pools = {name: FakeUpstream().play(lambda request: upstreams[0].nextScript()(request)) for name in self._pools}
        network = MemoryNetwork()
        network.segmentSize = self._segmentSize
        made = self.subject.make(BuildContext(network, place="checkPlugin", directory=self._directory, pools=("default", *pools)))
        plugins: dict[str, Any] = {kind: made for kind in self.subject.kinds(made)}
        self._asksItself = "health" in plugins
        if "middleware" in plugins:
            self._around = [_Watching(made, self._look)]
            plugins["middleware"] = self._around
        if "director" in plugins:
            plugins["director"] = [self._look, made]
        else:
            plugins["director"] = self._look
        self.harness = ProxyHarness(
            **plugins, upstreams=upstreams, pools=pools, settings=self._settings, network=network, directory=self._directory
        )
        return self.harness

    def _look(self, inbound: InboundRequest, outbound: object) -> None:
        """Note the request as it came, in the place of the first director."""
        if all(each is not inbound for each, _ in self._inbound):
            self._inbound.append((inbound, list(inbound.headers.items)))

    # What conversations do.

    def all(self, headers: HeadersLike = ()) -> Headers:
        """The headers of a request: those that every one has, and these; with a Host."""
        fields = self.headers.copy()
        for _, name, value in Headers(headers).items:
            fields.setRawHeaders(name, [value])
        return withHost(fields)

    def waitUntil(self, isDone: Callable[[], bool], what: str) -> None:
        """Let time pass until something is so.

        @raise AssertionError: when it is not so after L{PATIENCE}.
        """
        for seconds in (0.0, 1.0, 9.0, 50.0, 100.0, PATIENCE - 160.0):
            if isDone():
                return
            self.harness.advance(seconds)
        if not isDone():
            raise AssertionError(f"{what}, after {PATIENCE:.0f} s")

    def end(self, client: Client) -> None:
        """Wait until all answers of a client have come, or its connection has ended."""

        def isDone() -> bool:
            return client.isEnded or all(each.isComplete for each in client.answers)

        self.waitUntil(isDone, "a client still waits for its answer")

    def close(self) -> None:
        """Check what holds at the end of every conversation."""
        self.harness.close()
        if self.harness.engine.accessLogErrors:
            raise AssertionError("log raised an exception; it was swallowed")
        for each in self._around:
            each.check()
        for inbound, items in self._inbound:
            if inbound.headers.items != items:
                raise AssertionError(f"the headers of {inbound!r} were changed: only those of outbound may be")
        for upstream in (each for pool in self.harness.pools.values() for each in pool):
            for request in upstream.requests:
                if not (self._asksItself and request.headers.get(b"connection") == b"close"):
                    _checkSent(request)
        for member in (each for group in self.harness.engine.groups.values() for each in group.members):
            if member.state.endswith("not a Health"):
                raise AssertionError(f"{member!r} is {member.state}")
            if member.inFlight:
                raise AssertionError(f"{member!r} has {member.inFlight} exchanges in flight at the end")


def _checkSent(request: RecordedRequest) -> None:
    """What an upstream gets is a proper request, whatever a plugin did to it."""
    if len(request.headers.getRawHeaders(b"host", [])) != 1:
        raise AssertionError(f"the upstream got {request.start!r} without a single Host: {request.headers!r}")
    isUpgrade = request.headers.get(b"connection", b"").lower() == b"upgrade"
    for name in _HOP_BY_HOP:
        if request.headers.hasHeader(name) and not (isUpgrade and name in (b"connection", b"upgrade")):
            if name == b"te" and request.headers.get(name) == b"trailers":
                continue
            raise AssertionError(f"the upstream got {request.start!r} with a {name.decode()}: {request.headers!r}")


@implementer(IMiddleware)
class _Watching:
    """Middleware around the one that is checked: looks whether each of its calls ends."""

    def __init__(self, checked: Any, look: Callable[[InboundRequest, object], None]) -> None:
        self._checked = checked
        self._look = look
        self._running: list[Deferred[Any]] = []
        self.pluginName = nameOf(checked)

    def around(self, request: InboundRequest, proceed: Any) -> Any:
        """The other's. What it just hands on is not its own, and ends with the exchange."""
        self._look(request, None)
        inner: list[Any] = []

        def proceedAndKeep() -> Any:
            inner.append(proceed())
            return inner[0]

        result = maybeDeferred(self._checked.around, request, proceedAndKeep)
        if not result.called and not (inner and inner[0] is result):
            self._running.append(result)
        return result

    def check(self) -> None:
        """All calls have ended.

        @raise AssertionError: when they have not.
        """
        running = [each for each in self._running if not each.called]
        if running:
            raise AssertionError(f"{len(running)} calls of around have not ended")

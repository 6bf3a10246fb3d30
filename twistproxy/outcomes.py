"""Upstreams, and what became of asking them: plain data for balancers, health checks and retry policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import frozen

from twistproxy.text.location import parseLocation
from twistproxy.tls.config import BY_DEFAULT, UpstreamTLS

if TYPE_CHECKING:
    from twistproxy.messages import InboundRequest, Response
    from twistproxy.upstream.guard import Guard
    from twistproxy.wire.proxyprotocol import Version


class Upstream:
    """A server that requests are sent to.

    @ivar url: as configured, without weight: C{http://127.0.0.1:9000/base}, C{unix:/run/app.sock}.
    @ivar weight: a positive share for balancers that have shares.
    @ivar backup: whether it is asked only when no other is left.
    @ivar maxConnections: most connections to it at once; 0: as many as the settings say.
    @ivar metadata: what its source tells about it.
    @ivar guard: stands before its connections, where it is a client's own choice; None: it is not.
    @ivar inFlight: exchanges that run there now, tunnels included. Read-only for plugins, as all below.
    @ivar latency: seconds to the first byte, a moving average; None before the first answer.
    @ivar state: C{"up"}, or why it gets no requests, or fewer: a word of L{twistproxy.upstream.standing.TABLE} and, after
        a colon, the reason.
    @ivar tls: what holds for TLS to it.
    @ivar proxyProtocol: the version of the PROXY protocol by which it is told who a connection is for; None: by none. Then a
        connection serves one client only.
    """

    __slots__ = (
        "backup", "guard", "inFlight", "key", "latency", "location", "maxConnections", "metadata", "proxyProtocol", "state",
        "tls", "url",
        "weight",
    )  # fmt: skip

    def __init__(self, url: str, weight: int = 1, metadata: Mapping[str, Any] | None = None, *, backup: bool = False,
                 maxConnections: int = 0, tls: UpstreamTLS = BY_DEFAULT, proxyProtocol: Version | None = None) -> None:
        """@raise ValueError: when the URL can't be understood, or has no TLS that something is said of."""
        self.location = parseLocation(url)
        self.url = url
        self.key = self.location.key
        self.tls = tls
        if tls != BY_DEFAULT:
            if not self.location.isSecure:
                raise ValueError(f"{url!r} is no https URL: there is no TLS to it")
            self.key = ",".join((self.key, *(f"{name}={value}" for name, value in tls.words.items())))
        self.proxyProtocol = proxyProtocol
        if proxyProtocol is not None:
            self.key += f",proxy-protocol={proxyProtocol}"
        if weight < 0:
            raise ValueError("a weight is not negative")
        self.weight = weight
        self.metadata: Mapping[str, Any] = metadata or {}
        self.backup = backup
        self.maxConnections = maxConnections
        self.guard: Guard | None = None
        self.inFlight = 0
        self.latency: float | None = None
        self.state = "up"

    def __repr__(self) -> str:
        return f"<Upstream {self.key}>"

    def secured(self, tls: UpstreamTLS) -> Upstream:
        """The same with C{tls}, when it is an https upstream of which nothing was said."""
        if tls == BY_DEFAULT or self.tls != BY_DEFAULT or not self.location.isSecure:
            return self
        return self._with(tls, self.proxyProtocol)

    def announced(self, version: Version | None) -> Upstream:
        """The same with the PROXY protocol in C{version}, when nothing was said of it."""
        return self if version is None or self.proxyProtocol is not None else self._with(self.tls, version)

    def _with(self, tls: UpstreamTLS, version: Version | None) -> Upstream:
        limit = self.maxConnections
        made = Upstream(
            self.url, self.weight, self.metadata, backup=self.backup, maxConnections=limit, tls=tls, proxyProtocol=version
        )
        made.guard = self.guard
        return made


class Outcome(NamedTuple):
    """How one attempt at an upstream ended. Times are seconds, None when that point was not reached.

    C{error} is the word of L{twistproxy.errors.ErrorKind.reason}, empty for a complete answer; C{code} the upstream's
    status, 0 without one; C{bytesIn} counts body bytes sent to the upstream and C{bytesOut} those that came from it, a
    tunnel's included; C{reused} says whether the connection had served before.
    """

    upstream: Upstream
    error: str
    code: int
    connectTime: float | None
    firstByteTime: float | None
    duration: float
    bytesIn: int
    bytesOut: int
    reused: bool


@frozen
class Health:
    """What a health check found.

    @ivar detail: why, for people; it stands in L{Upstream.state}.
    @ivar latency: of the check, in seconds.
    @ivar share: of its weight that the upstream wants from now on, 1.0 for all; None: as before.
    @ivar maxConnections: most connections that it wants from now on; None: as before.
    @ivar advice: what the upstream asks for until it asks for something else: C{"ready"}, C{"drain"}, C{"maint"}; empty: as
        before.
    @ivar isInconclusive: nothing was learnt of whether it is well: C{ok} does not count.
    """

    ok: bool
    detail: str = ""
    latency: float | None = None
    share: float | None = None
    maxConnections: int | None = None
    advice: str = ""
    isInconclusive: bool = False


@frozen
class Attempt:
    """What a retry policy decides about.

    @ivar request: the inbound request.
    @ivar upstream: who was asked.
    @ivar number: 1 for the first.
    @ivar error: what went wrong; None when C{response} came.
    @ivar sent: whether any byte of the request may have reached the upstream.
    @ivar replayable: whether the body can be sent again.
    @ivar idempotent: whether sending it twice has no other effect than sending it once: by its method (RFC 9110, section
        9.2.2), or because the client says so by C{Idempotency-Key}.
    """

    request: InboundRequest
    upstream: Upstream
    number: int
    error: Exception | None
    response: Response | None
    sent: bool
    replayable: bool
    idempotent: bool = False


@frozen
class Retry:
    """Ask another upstream, after C{delay} seconds.

    @ivar because: for those who read the record of the attempt, as of the two others.
    """

    delay: float = 0.0
    because: str = ""


@frozen
class Commit:
    """Give the client what there is."""

    because: str = ""


@frozen
class GiveUp:
    """Fail with the attempt's error."""

    because: str = ""


class Choice(NamedTuple):
    """Why an upstream was picked.

    @ivar pool: whose balancer picked; empty when a director chose.
    @ivar balancer: what it is called; C{a director} when one chose.
    @ivar candidates: the key of each, and its score where the balancer tells it (L{twistproxy.interfaces.IExplainingBalancer}).
    @ivar leftOut: the key of each other member, and why it was none.
    """

    pool: str
    balancer: str
    candidates: tuple[tuple[str, float | None], ...]
    leftOut: tuple[tuple[str, str], ...]


class Try(NamedTuple):
    """One attempt at an upstream, and what was decided about it.

    @ivar started: seconds from the beginning of the exchange.
    @ivar waited: seconds in the queue before it.
    @ivar decision: what followed: C{retry}, C{commit} or C{give up}; empty where there was nothing to decide, for the answer
        was the answer.
    @ivar because: the reason for it.
    @ivar choice: why this upstream; None unless explanations are on.
    """

    outcome: Outcome
    started: float
    waited: float
    decision: str
    because: str
    choice: Choice | None

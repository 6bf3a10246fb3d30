"""Every interface of twistproxy, small enough to be stated in one line each.

Unless marked I{sync}, a hook returns a value, a Deferred or a coroutine. What an exception in it does is said with each.
This module imports nothing heavy: C{twistd} and C{trial} import it whenever they look for plugins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twistproxy.errors import ProxyError
    from twistproxy.messages import (
        Attempt,
        Commit,
        GiveUp,
        Health,
        InboundRequest,
        OutboundRequest,
        Outcome,
        Response,
        Retry,
        Upstream,
    )


class IDirector(Interface):
    """Decides where a request goes, and changes what is sent there."""

    def direct(
        inbound: InboundRequest, outbound: OutboundRequest
    ) -> Awaitable[None | Upstream | str | Response] | None | Upstream | str | Response:
        """Called once per request, after hop-by-hop and client-sent forwarding headers were removed from C{outbound}.

        @param inbound: the request as it came, frozen.
        @param outbound: the request that will be sent; change its method, path, query, headers, host and body.
        @return: None for the next director; an Upstream, which skips the balancer; the name of a pool, whose balancer
            picks; or a Response, which answers now. The first that is not None ends the chain.

        An exception answers 500.
        """


class IBalancer(Interface):
    """Picks an upstream among those that may be asked. I{Sync}."""

    def pick(request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """Called for each attempt.

        @param candidates: healthy, not yet tried and not full, in the order of the configuration; the same immutable object
            until health, members or the tried set change, with a fast C{in}. Its C{draining} are upstreams that may be
            picked too, for requests of sessions that they have.
        @return: one of the candidates, or None when none will do: 503.

        An exception answers 503 and is logged.
        """

    def report(upstream: Upstream, outcome: Outcome) -> None:
        """Called exactly once for each pick, when that attempt has ended, tunnels included. Exceptions are logged.

        A balancer that learns nothing from it may have an attribute C{ignoresOutcomes} that is true: then no outcome is
        made up for it, and this is not called.
        """

    def upstreamsChanged(upstreams: Sequence[Upstream]) -> None:
        """Called with all members, once before the first pick and at every change. Exceptions are logged."""


class IExplainingBalancer(IBalancer):
    """A balancer that can say what its pick is made by. I{Sync}."""

    def scores(request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """Called right before C{pick}, with the same arguments, and only while explanations are switched on.

        @return: what each candidate weighs in this pick, in whatever measure; some may be missing. It must not change what
            C{pick} will do.

        An exception is logged.
        """


class IResponseModifier(Interface):
    """Changes or refuses an upstream's answer, a 101 included."""

    def modify(request: InboundRequest, response: Response) -> Awaitable[None | Response] | None | Response:
        """Called with the answer's head at hand and its body streaming behind.

        @return: None to go on with C{response} as it is now, or another Response in its place.

        An exception goes to the error handlers as a 502, and the upstream's connection is aborted.
        """


class IErrorHandler(Interface):
    """Answers failures."""

    def handle(request: InboundRequest, error: ProxyError) -> Awaitable[Response | None] | Response | None:
        """Called when an exchange failed before anything of an answer reached the client.

        @return: a Response, or None for the next handler; after the last comes the built-in page.

        An exception is logged, and counts as None.
        """


class IMiddleware(Interface):
    """Wraps an exchange: before, around and after everything else.

    It may also have a method C{takeOver(before)}: after a reload that leaves its route as it was written, it gets the object
    whose place it takes, before it is called for the first request.
    """

    def around(request: InboundRequest, proceed: Callable[[], Awaitable[Response]]) -> Awaitable[Response] | Response:
        """Called once per request.

        @param proceed: runs the rest of the exchange, once at most; gives the Response at its head.
        @return: the Response for the client.

        An exception answers 500; a ProxyError that C{proceed} raised keeps its own status.
        """


class IUpstreamSource(Interface):
    """A service that finds upstreams."""

    def subscribe(observer: Callable[[Sequence[Upstream]], None]) -> Callable[[], None]:
        """Called after C{startService}: tell C{observer} the full set of upstreams, now or later, and at every change, in
        the reactor's thread.

        @param observer: leaves out what is no L{Upstream}, and may refuse a set that is empty or much smaller than the last.
        @return: a callable that ends it.

        When it fails, the last good set is kept, and it is asked again with a growing delay.
        """


class IHealthCheck(Interface):
    """Asks an upstream whether it is well."""

    def check(upstream: Upstream) -> Awaitable[Health] | Health:
        """One check. An exception counts as failed."""


class IPassiveCheck(Interface):
    """Learns from the traffic whether an upstream is well. I{Sync}."""

    def judge(outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        """Called with the outcome of each attempt at an upstream that gets requests, but for those that tell nothing about
        it: the client left, or the proxy gave up by itself.

        @param memory: a dict for this check and this upstream, kept as long as the upstream is known, over snapshots too.
        @param now: in seconds of the proxy's clock.
        @return: for how many seconds the upstream is to be left out, 0 for not at all. It is asked nevertheless when nobody
            else is left, and the only one that is well stays.

        An exception is logged and counts as 0. A check may have an attribute C{hasTrial}: whether an upstream that was left
        out then gets one request at a time until one goes well, not counting those that last longer than it was left out; and
        C{maxEjected}: the share of the pool, up to 1.0, that may be left out at once; one upstream always may.
        """


class IRetryPolicy(Interface):
    """Decides after each attempt. I{Sync}.

    It may also have a method C{keepsBody(request)}, which says whether the body of an outbound request is to be kept, up to
    C{max-replay-bytes}, so that it can be sent again; without it, the bodies of idempotent requests are. And an attribute
    C{seesAnswers} that is false: then it is asked about failures only, and answers go to the client without it.
    """

    def decide(attempt: Attempt) -> Retry | Commit | GiveUp:
        """Called before anything reached the client. An exception counts as GiveUp."""


class IBodyFilter(Interface):
    """Changes a body piece by piece. I{Sync}.

    One that changes only how the same thing is written, as a compression does, may have C{keepsMeaning = True}: a weak ETag
    is kept then. One that only looks, and returns what it got, may have C{keepsBytes = True}: then all headers are.
    """

    def data(chunk: bytes) -> bytes:
        """One piece; may return nothing yet. An exception aborts the client's connection."""

    def end() -> bytes:
        """What is left at the end."""


class IRoundTripper(Interface):
    """Gets an answer in another way than by HTTP/1.1 to an upstream."""

    def roundTrip(outbound: OutboundRequest, upstream: Upstream) -> Awaitable[Response]:
        """Fires with the Response at its head; cancelled when the client leaves. Failures go to the retry policy."""


class IAccessLog(Interface):
    """Takes a record of each exchange. I{Sync}."""

    def log(record: Any) -> None:
        """Called once at the end of each exchange, and for what could not be read as a request, whose C{method} is empty.
        Exceptions are swallowed and counted."""


class IPluginFactory(Interface):
    """What a drop-in in C{twisted/plugins} offers, beside L{twisted.plugin.IPlugin}."""

    tag: str = Attribute("""The name by which a configuration asks for it; without dots.""")
    provides: Sequence[type[Interface]] = Attribute("""The interfaces that its objects implement.""")
    summary: str = Attribute("""One line for C{--list-plugins}.""")

    def build(context: Any, /, *args: Any, **options: Any) -> Any:
        """Make the object.

        @raise twistproxy.errors.ConfigurationError: when it cannot be made of these options; refused at start, by name.
        """

"""The two ends of a forward proxy's chain of directors: who asks, before all others, and where it goes, after them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.answers.errorpage import errorPage
from twistproxy.errors import BAD_REQUEST, DESTINATION_REFUSED, LOGIN_REQUIRED, METHOD_NOT_ALLOWED, ProxyError
from twistproxy.forward.policy import ForwardPolicy
from twistproxy.forward.transparent import redirectedTo
from twistproxy.interfaces import IDirector
from twistproxy.limiting.networks import clientNetwork
from twistproxy.messages import USER, InboundRequest, OutboundRequest, Response, Upstream
from twistproxy.permissions.users import Users, credentialsOf
from twistproxy.upstream.guard import Guard

_log: Final = Logger(namespace="twistproxy.error")


@implementer(IDirector)
class LoginDirector:
    """Lets those pass who give a name and its password; others get 407 (RFC 9110 section 11.7)."""

    def __init__(self, users: Users, realm: str = "proxy") -> None:
        self._users = users
        self._challenge = f'Basic realm="{realm}", charset="UTF-8"'

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Response | Deferred[Response | None] | None:
        """L{IDirector.direct}."""
        if redirectedTo(inbound) is not None:
            return None  # such a client knows of no proxy that could ask it
        headers = inbound.headers.getRawHeaders(b"proxy-authorization") or []
        given = credentialsOf(headers[0]) if len(headers) == 1 else None
        if given is None:
            return self._ask(inbound)
        name, password = given

        def checked(isRight: bool) -> Response | None:
            if isRight:
                inbound.state[USER] = name
                return None
            _log.info("A wrong name or password from {client} for {name!r}", client=inbound.client, name=name)
            return self._ask(inbound)

        return self._users.check(name, password, clientNetwork(inbound.client.host)).addCallback(checked)

    def _ask(self, inbound: InboundRequest) -> Response:
        response = errorPage(LOGIN_REQUIRED, inbound.headers.get("accept", ""), inbound.id)
        response.headers.setRawHeaders("Proxy-Authenticate", [self._challenge])
        return response


def _upstreams(guard: Guard) -> Callable[[str, str, int], Upstream]:
    """Makes the upstreams of one policy; each is the same object as long as it is remembered."""

    @lru_cache(maxsize=1024)
    def upstream(scheme: str, host: str, port: int) -> Upstream:
        shown = f"[{host}]" if ":" in host else host
        try:
            made = Upstream(f"{scheme}://{shown}:{port}")
        except ValueError as error:
            raise ProxyError(BAD_REQUEST, str(error)) from None
        made.guard = guard
        made.key = f"forward {made.key}"  # never the connections of one that the configuration names
        return made

    return upstream


def _forwardsLeft(inbound: InboundRequest, outbound: OutboundRequest) -> Response | None:
    """Count Max-Forwards down; at 0 the answer is ours (RFC 9110 section 7.6.2).

    TRACE is not answered with the request: what proxies before us have added is not for everybody.
    """
    values = inbound.headers.getRawHeaders(b"max-forwards") or []
    text = values[0] if len(values) == 1 else b""
    if not text.isdigit() or len(text) > 9:
        raise ProxyError(BAD_REQUEST, "Max-Forwards is not a number")
    if int(text):
        outbound.headers.setRawHeaders(b"Max-Forwards", [b"%d" % (int(text) - 1)])
        return None
    if inbound.method == b"TRACE":
        raise ProxyError(METHOD_NOT_ALLOWED, "TRACE to the proxy itself")
    return Response(204, [("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT")])


@implementer(IDirector)
class ForwardDirector:
    """Goes where the client says, if the policy lets it."""

    def __init__(self, policy: ForwardPolicy) -> None:
        self._policy = policy
        self._guard = Guard(policy.permits)
        self._upstream = _upstreams(self._guard)

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Upstream | Response:
        """L{IDirector.direct}.

        @raise ProxyError: 400 without a destination, 403 for one that is refused.
        """
        goal = inbound.destination
        if goal is None:
            raise ProxyError(BAD_REQUEST, "no destination: this is a forward proxy")
        detail = self._policy.refusal(goal.host, goal.port, not goal.scheme)
        if not detail and self._guard.isOurs(inbound.peer.host, inbound.peer.port):
            detail = "it would go round in a circle"
        if detail:
            raise ProxyError(DESTINATION_REFUSED, detail)
        if inbound.method in (b"OPTIONS", b"TRACE") and inbound.headers.hasHeader(b"max-forwards"):
            answer = _forwardsLeft(inbound, outbound)
            if answer is not None:
                return answer
        for name in (b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"):
            outbound.headers.removeHeader(name)  # they say nothing that the target does not know
        return self._upstream(goal.scheme or "http", goal.host, goal.port)

"""The same upstream for the same browser, kept in a cookie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Literal

from zope.interface import implementer

from twistproxy.balancers.leastconnections import LeastConnections
from twistproxy.balancers.poweroftwo import PowerOfTwoChoices
from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.balancers.weighted import WeightedRoundRobin
from twistproxy.headers import isToken
from twistproxy.interfaces import IBalancer, IResponseModifier
from twistproxy.keys import cookieValues
from twistproxy.messages import InboundRequest, Outcome, Response, Upstream
from twistproxy.runsecret import runSecret
from twistproxy.text.secret import Secret
from twistproxy.text.units import Duration

_AV: Final = re.compile(r"[\x20-\x3a\x3c-\x7e]*\Z")
"""What may stand in an attribute of a cookie (RFC 6265 section 4.1.1)."""

_CHOICES: Final = {
    "least-connections": LeastConnections,
    "power-of-two-choices": PowerOfTwoChoices,
    "random": RandomChoice,
    "round-robin": RoundRobin,
    "weighted-round-robin": WeightedRoundRobin,
}


@implementer(IBalancer, IResponseModifier)
class StickyCookie:
    """Pick the upstream that a cookie names; where there is none, another balancer picks, and the answer sets the cookie.

    The cookie's value tells nothing about the upstream. When that one is down, or fails to connect, another is picked and
    the cookie set anew. The cookie is C{HttpOnly}.
    """

    def __init__(
        self,
        cookie: str = "lb",
        secret: Secret | None = None,
        maxAge: Duration | None = None,
        path: str = "/",
        domain: str = "",
        secure: Literal["auto", "yes", "no"] = "auto",
        sameSite: Literal["lax", "strict", "none"] = "lax",
        balancer: Literal[
            "least-connections", "power-of-two-choices", "random", "round-robin", "weighted-round-robin"
        ] = "least-connections",
    ) -> None:
        """
        @param cookie: its name.
        @param secret: what values are made with. Give one, the same everywhere, when cookies have to outlive a restart or
            to be understood by several proxies; without one they hold for this run.
        @param maxAge: how long browsers keep the cookie; none: until they are closed.
        @param path: the cookie's Path.
        @param domain: the cookie's Domain; empty: the host that answered.
        @param secure: whether the cookie is sent over TLS only; C{auto}: if the request came over TLS.
        @param sameSite: the cookie's SameSite; C{none} needs C{Secure}.
        @param balancer: who picks for those that come without a cookie.
        """
        if not isToken(cookie.encode()):
            raise ValueError(f"cookie: {cookie!r} is not the name of a cookie")
        if secret is not None and not secret:
            raise ValueError("secret: is empty")
        for name, value in (("path", path), ("domain", domain)):
            if not _AV.match(value):
                raise ValueError(f"{name}: {value!r} cannot stand in a cookie")
        if sameSite == "none" and secure == "no":
            raise ValueError("same-site=none needs secure: browsers refuse such a cookie")
        self._cookie = cookie.encode()
        self._secret = blake2b((secret or "").encode()).digest() if secret is not None else runSecret()
        self._secure = secure
        self._sameSite = sameSite
        attributes = [f"Path={path}", *([f"Domain={domain}"] if domain else [])]
        attributes += [f"Max-Age={round(maxAge)}"] if maxAge is not None else []
        self._attributes = "; ".join([*attributes, "HttpOnly", f"SameSite={sameSite.capitalize()}"]).encode()
        self._others: IBalancer = _CHOICES[balancer]()
        self._values: dict[Upstream, bytes] = {}
        self._upstreams: dict[bytes, Upstream] = {}
        self._reported = balancer == "weighted-round-robin"
        self.ignoresOutcomes = not self._reported

    def _valueOf(self, upstream: Upstream) -> bytes:
        key = upstream.key.encode(errors="surrogateescape")
        return blake2b(key, key=self._secret[:64], digest_size=16).hexdigest().encode()

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The one that the cookie names, if it may be asked; one that is draining may, for those who have its cookie."""
        for value in cookieValues(request, self._cookie):
            known = self._upstreams.get(value)
            if known is not None and (known in candidates or known in getattr(candidates, "draining", ())):
                return known
        picked = self._others.pick(request, candidates)
        if picked is not None:
            request.state[self] = picked
        return picked

    def modify(self, request: InboundRequest, response: Response) -> None:
        """Set the cookie, when the upstream that answered was picked without one."""
        picked: Upstream | None = request.state.get(self)
        if picked is None or response.upstream is not picked:
            return  # it had the cookie, or was answered by somebody else than who was picked
        value = self._values.get(picked) or self._valueOf(picked)
        secure = self._secure == "yes" or (self._secure == "auto" and (request.scheme == "https" or self._sameSite == "none"))
        line = b"%s=%s; %s%s" % (self._cookie, value, self._attributes, b"; Secure" if secure else b"")
        response.headers.addRawHeader(b"Set-Cookie", line)

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """For the balancer that picks without a cookie."""
        if self._reported:
            self._others.report(upstream, outcome)

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Know the cookies of these, and of no others."""
        self._values = {each: self._valueOf(each) for each in upstreams}
        self._upstreams = {value: each for each, value in self._values.items()}
        self._others.upstreamsChanged(upstreams)

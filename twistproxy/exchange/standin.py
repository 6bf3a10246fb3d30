"""What stands in for upstreams that fail, as far as those who ask upstreams have to know of it. Plain data."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twistproxy.errors import ProxyError


class StandIn:
    """Of one request, for which somebody takes the place of upstreams that fail.

    @ivar pool: who else is asked once, when all who were asked first have failed; empty for nobody.
    @ivar statuses: for which failures and answers.
    @ivar refusal: what the request is to fail with when it comes to the upstreams, rather than that they are asked. Middleware
        that spares upstreams sets it and proceeds: whatever decides who may do what inside of it is asked nevertheless, so
        that nobody gets from a stand-in what they would not get from an upstream.
    @ivar asked: whom the request came to: a pool's name or an upstream's key; empty before.
    @ivar insteadOf: what those have failed with, or the status that they answered, once C{pool} was asked instead.
    """

    __slots__ = ("asked", "insteadOf", "pool", "refusal", "statuses")

    def __init__(self) -> None:
        self.pool = ""
        self.statuses: Container[int] = ()
        self.refusal: ProxyError | None = None
        self.asked = ""
        self.insteadOf: ProxyError | int | None = None

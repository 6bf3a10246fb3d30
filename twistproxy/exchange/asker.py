"""Who has upstreams asked: an exchange, or a copy of a request."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.python.failure import Failure

from twistproxy.errors import ErrorKind, ProxyError
from twistproxy.exchange.attempt import ResponseOwner
from twistproxy.messages import InboundRequest, OutboundRequest, Response, Try, Upstream
from twistproxy.settings import Settings


class Asker(ResponseOwner, Protocol):
    """The exchange for which upstreams are asked."""

    inbound: InboundRequest
    outbound: OutboundRequest
    settings: Settings
    started: float
    upstream: Upstream | None
    attempts: int
    tries: tuple[Try, ...]

    def uploadPaused(self) -> None:
        """Nobody takes more of the request for now."""

    def uploadResumed(self) -> None:
        """Somebody takes more."""

    def fail(self, error: ProxyError) -> None:
        """Nobody answered, or nobody could be asked."""

    def hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """The balancer failed."""

    def roundTripped(self, response: Response) -> None:
        """A round tripper has the answer."""

"""The body of one request, for one attempt after another: as it comes, through stages, or kept to be sent again."""

from __future__ import annotations

from typing import Any, Protocol

from twistproxy.bodies.replay import Replay, Uploader
from twistproxy.bodies.uploading import BodyOutlet, StagedUpload
from twistproxy.errors import ProxyError
from twistproxy.exchange.retrying import keepsBody
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.settings import Settings


class BodyOwner(Uploader, Protocol):
    """The exchange whose client sends it."""

    inbound: InboundRequest
    outbound: OutboundRequest
    settings: Settings

    def fail(self, error: ProxyError) -> None:
        """It breaks off."""


class RequestBody:
    """It is what stops and starts the client for attempts, too."""

    _replay: Replay | None = None
    _staged: StagedUpload | None = None

    def __init__(self, owner: BodyOwner, policy: Any) -> None:
        """@param policy: that for retries; None for none."""
        self._owner = owner
        self._policy = policy

    def outlet(self) -> BodyOutlet | Replay:
        """Where the next attempt gets it from."""
        owner = self._owner
        body, stages = owner.outbound.body, owner.inbound.stages
        contents = body.contents
        if stages and self._staged is None:
            self._staged = StagedUpload(body, owner.inbound, stages, owner)
        if contents is not None and not stages:
            return body
        if self._replay is None and (contents is not None or keepsBody(self._policy, owner.outbound)):
            limit = owner.settings.maxReplayBytes if contents is None else len(contents)
            self._replay = Replay(self._staged or body, limit, self._staged or owner)
        return self._replay or self._staged or body

    @property
    def isKept(self) -> bool:
        """Whether it can be sent again, though it streams."""
        return self._replay is not None and self._replay.isKept

    def hold(self) -> None:
        """There will be another attempt: hold back what comes until then."""
        if self._replay is not None:
            self._replay.hold()

    def close(self) -> None:
        """It goes nowhere any more."""
        replay, self._replay = self._replay, None
        if replay is not None:
            replay.close()

    def uploadPaused(self) -> None:
        """The upstream takes no more for now."""
        (self._staged or self._owner).uploadPaused()

    def uploadResumed(self) -> None:
        """It takes more."""
        (self._staged or self._owner).uploadResumed()

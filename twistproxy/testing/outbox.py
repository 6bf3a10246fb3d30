"""Sending piece after piece, each when the one before has left: whoever plays a peer holds little in memory, and knows
when something is really gone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

PIECE = 1 << 16
"""Bytes that are handed to the transport at once, at most."""


@implementer(IPullProducer)
class Outbox:
    """What is still to be sent over a transport, and to be done in between."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._waiting: deque[bytes | Callable[[], object]] = deque()
        self._isRegistered = False

    def add(self, *items: bytes | Callable[[], object]) -> None:
        """Send bytes, and call functions once everything before them has left."""
        for item in items:
            if isinstance(item, bytes):
                self._waiting += (item[at : at + PIECE] for at in range(0, len(item), PIECE))
            else:
                self._waiting.append(item)
        if self._waiting and not self._isRegistered:
            self._isRegistered = True
            self._transport.registerProducer(self, False)

    def clear(self) -> None:
        """Forget what has not left."""
        self._waiting.clear()

    def resumeProducing(self) -> None:
        """Everything so far has left."""
        while self._waiting and self._isRegistered:
            item = self._waiting.popleft()
            if isinstance(item, bytes):
                self._transport.write(item)
                return
            item()
        if self._isRegistered:
            self._isRegistered = False
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._isRegistered = False
        self.clear()

"""The request that twisted.web has taken in, as the engine wants it: a head that the guard has seen, and a body in pieces."""

from __future__ import annotations

from collections.abc import Callable
from io import SEEK_END
from typing import TYPE_CHECKING, Any, Final

from twistproxy.bodies.body import Body
from twistproxy.server._twisted import speaksHttp1
from twistproxy.wire.guard import bad
from twistproxy.wire.http1 import RequestHead, parseRequestHead

if TYPE_CHECKING:
    from twistproxy.settings import Settings

PIECE: Final = 64 << 10
"""Bytes of a spooled body that are read at once."""


def headOf(request: Any, settings: Settings) -> RequestHead:
    """The checked head of a request: from its bytes where there are any, else from what twisted.web made of them.

    @raise ProxyError: with the status that the client gets.
    """
    raw: bytes = getattr(request, "rawHead", b"")
    if raw:
        return parseRequestHead(raw, settings)
    if request.uri[:1] != b"/" and request.method != b"CONNECT":
        # The Site looked for its resource by what it took for a path.
        raise bad("a target in absolute form")
    fields = {name: list(values) for name, values in request.requestHeaders.getAllRawHeaders()}
    minor = b"0" if request.clientproto == b"HTTP/1.0" else b"1"
    if not speaksHttp1(request):
        _asHttp1(fields)
    lines = [name + b": " + value for name, values in fields.items() for value in values]
    start = request.method + b" " + request.uri + b" HTTP/1." + minor
    return parseRequestHead(b"\r\n".join([start, *lines, b"", b""]), settings)


def _asHttp1(fields: dict[bytes, list[bytes]]) -> None:
    """What differs under HTTP/2 (RFC 9113 section 8): cookies in pieces, and an authority beside an equal Host."""
    for name, values in fields.items():
        if name.lower() == b"cookie":
            fields[name] = [b"; ".join(values)]
        elif name.lower() == b"host" and len(set(values)) == 1:
            fields[name] = values[:1]


class SpooledBody:
    """A body that the Site has taken in to its end, in pieces of L{PIECE} bytes: one in each turn of the reactor."""

    def __init__(self, content: Any, clock: Any, failed: Callable[[], None]) -> None:
        """
        @param content: the file with all of it.
        @param failed: told when the file has less than it had.
        @ivar left: bytes that were not read yet.
        """
        content.seek(0, SEEK_END)
        self.left: int = content.tell()
        content.seek(0)
        self._content = content
        self._clock = clock
        self._failed = failed
        self._call: Any = None
        self._paused = False

    def begin(self, body: Body) -> None:
        """Give C{body} its first piece now, and the others as it takes them."""
        self._body = body
        self._next()

    def _next(self) -> None:
        self._call = None
        data = self._content.read(PIECE)
        if not data:
            self._failed()
            return
        self.left -= len(data)
        self._body.dataReceived(data)
        if not self.left:
            self._body.allReceived([])
        else:
            self._schedule()

    def _schedule(self) -> None:
        if self._call is None and self.left > 0 and not self._paused:
            self._call = self._clock.callLater(0, self._next)

    def pause(self) -> None:
        """Read no more for now."""
        self._paused = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        self._schedule()

    def stop(self) -> None:
        """Read no more: the file may be closed."""
        self.left = 0
        self.pause()

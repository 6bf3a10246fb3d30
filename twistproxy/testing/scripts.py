"""What a scripted upstream does with a request: a script, one step after another.

A script is a function that is called with the request when its head is there, and yields: bytes, which are sent, and
when they have left the script goes on; a number, that many seconds of virtual time to wait; or a L{Do}::

    def slow(request):
        yield Do.AWAIT_REQUEST
        yield b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nab"
        yield 30.0
        yield b"cd"
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from hashlib import sha1
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twistproxy.messages import Headers, HeadersLike
from twistproxy.testing.composing import BodyLike, answer, chunk
from twistproxy.testing.outbox import Outbox
from twistproxy.testing.peers import RawPeer
from twistproxy.testing.recorded import RecordedRequest


class Do(Enum):
    """What a script may yield, besides bytes and seconds."""

    AWAIT_REQUEST = auto()
    """Wait until the request is complete."""
    CLOSE = auto()
    """Close the connection."""
    RESET = auto()
    """Reset it."""
    STOP_READING = auto()
    """Take nothing more of what the proxy sends."""
    ECHO = auto()
    """From now on send back what comes."""


Script = Callable[[RecordedRequest], Iterable[bytes | float | Do]]
"""See the module."""

_WEBSOCKET: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Turn:
    """A script that runs, for one request."""

    def __init__(
        self, peer: RawPeer, clock: IReactorTime, outbox: Outbox, request: RecordedRequest, echo: Callable[[], None]
    ) -> None:
        """
        @param echo: makes an echo of the connection.
        """
        self._peer = peer
        self._clock = clock
        self._outbox = outbox
        self._request = request
        self._echo = echo
        self._isAwaiting = False
        self._call: IDelayedCall | None = None
        self._steps: Iterator[bytes | float | Do] = iter(())

    def start(self, script: Script) -> None:
        """Go."""
        self._steps = iter(script(self._request))
        self._proceed()

    def requestEnded(self) -> None:
        """The request is complete."""
        if self._isAwaiting:
            self._isAwaiting = False
            self._proceed()

    def stop(self) -> None:
        """The connection is gone: what the script wanted to do then is not done."""
        self._steps = iter(())
        self._isAwaiting = False
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _proceed(self) -> None:
        for step in self._steps:
            if isinstance(step, bytes):
                self._outbox.add(step, self._proceed)
                return
            if isinstance(step, Do):
                if not self._do(step):
                    return
            else:
                self._call = self._clock.callLater(step, self._proceed)
                return

    def _do(self, what: Do) -> bool:
        """Do it; whether the script goes on at once."""
        if what is Do.AWAIT_REQUEST:
            self._isAwaiting = not self._request.isComplete
            return not self._isAwaiting
        if what is Do.CLOSE:
            self._peer.close()
        elif what is Do.RESET:
            self._peer.abort()
        elif what is Do.STOP_READING:
            self._peer.pause()
        else:
            self._echo()
        return True


def responding(code: int, headers: HeadersLike, body: BodyLike, trailers: HeadersLike = ()) -> Script:
    """Answers."""
    kept, after = Headers(headers), Headers(trailers)

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        yield Do.AWAIT_REQUEST
        yield answer(code, kept, body, after, request.method == b"HEAD")

    return script


def informing(code: int, headers: HeadersLike) -> Script:
    """Sends a 1xx, at once."""
    kept = Headers(headers)
    return lambda request: [answer(code, kept)]


def waiting(seconds: float) -> Script:
    """Lets time pass."""
    return lambda request: [seconds]


def stalling(reading: bool) -> Script:
    """Never answers."""
    return lambda request: [] if reading else [Do.STOP_READING]


def cutting(whole: Script, count: int, how: Do) -> Script:
    """Plays C{whole}, but ends the connection after so many bytes."""

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        left = count
        for step in whole(request):
            if isinstance(step, bytes):
                yield step[:left]
                left -= len(step)
                if left <= 0:
                    break
            else:
                yield step
        yield how

    return script


def closingMidChunk(headers: HeadersLike, pieces: Sequence[bytes]) -> Script:
    """Sends whole chunks and half of one more."""
    kept = Headers(headers)

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        yield Do.AWAIT_REQUEST
        yield answer(200, kept, pieces).removesuffix(b"0\r\n\r\n") + b"ff\r\nnot all of it"
        yield Do.CLOSE

    return script


def sendingEvents(events: Sequence[bytes | str], every: float, headers: HeadersLike) -> Script:
    """Server-sent events, one in so many seconds."""
    fields = Headers({"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    for _, name, value in Headers(headers).items:
        fields.setRawHeaders(name, [value])

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        yield Do.AWAIT_REQUEST
        yield answer(200, fields, []).removesuffix(b"0\r\n\r\n")
        for event in events:
            yield every
            data = event.encode() if isinstance(event, str) else event
            yield chunk(b"".join(b"data: %b\n" % line for line in data.split(b"\n")) + b"\n")
        yield b"0\r\n\r\n"

    return script


def upgrading(protocol: str, greeting: bytes, headers: HeadersLike) -> Script:
    """Agrees to an upgrade, and echoes; a request for none gets a 426."""

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        yield Do.AWAIT_REQUEST
        if not request.headers.hasHeader("upgrade"):
            yield answer(426, {"Upgrade": protocol, "Connection": "Upgrade"})
            return
        fields = Headers({"Connection": "Upgrade", "Upgrade": protocol})
        key = request.headers.get(b"sec-websocket-key")
        if key:
            fields.addRawHeader("Sec-WebSocket-Accept", b64encode(sha1(key + _WEBSOCKET).digest()))
        for _, name, value in Headers(headers).items:
            fields.setRawHeaders(name, [value])
        yield answer(101, fields) + greeting
        yield Do.ECHO

    return script


def sending(data: bytes, close: bool) -> Script:
    """Sends these bytes, whatever they are."""
    return lambda request: [Do.AWAIT_REQUEST, data, *([Do.CLOSE] if close else [])]


def following(scripts: Sequence[Script]) -> Script:
    """One after the other."""

    def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
        for each in scripts:
            yield from each(request)

    return script

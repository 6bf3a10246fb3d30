"""Messages as they were on the wire: the requests that a scripted upstream got, the answers that a client got.

They grow while their bytes come in; L{twistproxy.testing.reading} fills them.
"""

from __future__ import annotations

from twistproxy.messages import FrozenHeaders, Item, splitTarget


class Message:
    """What requests and answers have in common."""

    start: bytes
    """The first line, without its end; empty as long as there is no head."""

    headers: FrozenHeaders
    """The header lines, as they were written and in their order."""

    trailers: FrozenHeaders
    """The lines after a chunked body."""

    isComplete: bool
    """Whether all of it came."""

    isChunked: bool
    """Whether the body came in the chunked coding."""

    def __init__(self) -> None:
        self.start = b""
        self.headers = FrozenHeaders([])
        self.trailers = FrozenHeaders([])
        self.isComplete = False
        self.isChunked = False
        self._body = bytearray()
        self._raw = bytearray()

    @property
    def body(self) -> bytes:
        """What has come of the body, the chunked coding undone."""
        return bytes(self._body)

    @property
    def raw(self) -> bytes:
        """What has come of the whole message, byte for byte."""
        return bytes(self._raw)

    @property
    def version(self) -> bytes:
        """Of HTTP, such as C{b"1.1"}."""
        raise NotImplementedError

    # For the readers.

    def headReceived(self, start: bytes, items: list[Item]) -> None:
        """The head is there."""
        self.start = start
        self.headers = FrozenHeaders(items)

    def bytesReceived(self, data: bytes) -> None:
        """This much belongs to it, in whatever coding."""
        self._raw += data

    def bodyReceived(self, data: bytes) -> None:
        """A piece of the body."""
        self._body += data

    def __repr__(self) -> str:
        line = self.start.decode("latin-1") or "nothing yet"
        return f"<{type(self).__name__} {line!r}, {len(self._body)} bytes of body{'' if self.isComplete else ', not complete'}>"


class RecordedRequest(Message):
    """A request that a scripted upstream got."""

    @property
    def method(self) -> bytes:
        """Such as C{b"GET"}."""
        return self.start.split(b" ")[0]

    @property
    def target(self) -> bytes:
        """What stood in the request line: path and query."""
        return self.start.split(b" ")[1] if b" " in self.start else b""

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return splitTarget(self.target)[0]

    @property
    def query(self) -> bytes | None:
        """What follows the target's first C{?}; None without one."""
        return splitTarget(self.target)[1]

    @property
    def version(self) -> bytes:
        """Of HTTP, such as C{b"1.1"}."""
        return self.start.rpartition(b" HTTP/")[2]


class Answer(Message):
    """An answer that a client got, or that it still waits for."""

    informational: list[Answer]
    """The 1xx answers that came before, oldest first."""

    isTruncated: bool
    """Whether the connection ended before the answer was complete."""

    def __init__(self, method: bytes = b"GET") -> None:
        """
        @param method: of the request.
        """
        super().__init__()
        self.requestMethod = method
        self.informational = []
        self.isTruncated = False

    @property
    def status(self) -> int:
        """Such as 200; 0 as long as there is no head."""
        return int(self.start.split(b" ")[1]) if self.start else 0

    @property
    def phrase(self) -> bytes:
        """The reason phrase, such as C{b"OK"}."""
        return b" ".join(self.start.split(b" ")[2:])

    @property
    def version(self) -> bytes:
        """Of HTTP, such as C{b"1.1"}."""
        return self.start.partition(b" ")[0].removeprefix(b"HTTP/")

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8", "replace")

"""Taking streams of HTTP/1.1 requests, or answers, apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from twistproxy.messages import Item
from twistproxy.testing.framing import Malformed, MessageReader
from twistproxy.testing.recorded import Answer, Message, RecordedRequest

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP/1\.[01]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [1-9]\d\d (?:[^\x00-\x08\x0a-\x1f\x7f]*)")


class RequestReader(MessageReader):
    """Reads what a client sends.

    @ivar onHead: called with each request when its head is there.
    @ivar onEnd: called with each request when it is complete.
    """

    def __init__(
        self, onHead: Callable[[RecordedRequest], object], onEnd: Callable[[RecordedRequest], object] | None = None
    ) -> None:
        super().__init__()
        self.onHead = onHead
        self.onEnd = onEnd

    def began(self, start: bytes, items: list[Item]) -> Message:
        """A request."""
        if not _REQUEST_LINE.fullmatch(start):
            raise Malformed(f"{start!r} is not a request line")
        request = RecordedRequest()
        request.headReceived(start, items)
        return request

    def headTaken(self, message: Message) -> None:
        """Tell."""
        if isinstance(message, RecordedRequest):
            self.onHead(message)

    def hasBody(self, message: Message) -> bool | None:
        """Without framing there is none."""
        return None

    def ended(self, message: Message) -> None:
        """Tell."""
        if self.onEnd is not None and isinstance(message, RecordedRequest):
            self.onEnd(message)


class AnswerReader(MessageReader):
    """Reads what a server sends.

    @ivar next: gives the answer to be filled in.
    """

    def __init__(self, next: Callable[[], Answer]) -> None:
        super().__init__()
        self.next = next
        self._final: Answer | None = None

    def began(self, start: bytes, items: list[Item]) -> Message:
        """A 1xx, or the final answer of the request whose turn it is."""
        if not _STATUS_LINE.fullmatch(start):
            raise Malformed(f"{start!r} is not a status line")
        final = self._final = self._final or self.next()
        status = int(start.split(b" ")[1])
        answer = final
        if 100 <= status < 200 and status != 101:
            answer = Answer(final.requestMethod)
            final.informational.append(answer)
        answer.headReceived(start, items)
        return answer

    def hasBody(self, message: Message) -> bool | None:
        """It depends on the request and on the status (RFC 9112 section 6.3)."""
        assert isinstance(message, Answer)
        return not (message.requestMethod == b"HEAD" or message.status < 200 or message.status in (204, 304))

    def ended(self, message: Message) -> None:
        """After the final one comes the next request's."""
        if message is self._final:
            self._final = None
            assert isinstance(message, Answer)
            if message.status == 101:
                self.tunnel()

"""An answer on its way to the client: what a client's stream is, and how a plugin's Response becomes one.

Framing is decided here and in the stream, after all modifiers: what a Response says about its own length is not
believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from twistproxy.answers.errorpage import statusPhrase
from twistproxy.bodies.body import EMPTY, Body, BodySink
from twistproxy.bodies.stages import StagedBody, chained
from twistproxy.forwarding import HOP_BY_HOP
from twistproxy.messages import Item, Response
from twistproxy.transports.splicing import Flow, FlowSource
from twistproxy.tunnels.tunnel import TunnelEnd
from twistproxy.wire.guard import UNTIL_CLOSE

_FRAMING: Final = HOP_BY_HOP | {b"content-length"}
_CHALLENGE: Final = b"proxy-authenticate"
"""Of a 407 that a plugin made; an upstream's is between it and us, and was removed before."""

_OF_EXACT_BYTES: Final = frozenset(
    {b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges", b"content-range"}
)


class ClientStream(Protocol):
    """The client's side of one exchange. Nothing is written before C{flush}, but the end flushes by itself.

    @ivar takesEncoded: whether it sends C{encoded} lines of a head as they are, and does not look at its C{items} then.
    """

    takesEncoded: bool

    def sendInformation(self, code: int, phrase: bytes, items: list[Item]) -> None:
        """Send a 1xx at once, if the client can take one."""

    def sendHead(
        self, code: int, phrase: bytes, items: Sequence[Item], length: int, announced: bytes = b"", encoded: bytes | None = None
    ) -> None:
        """The head of the answer.

        @param items: end-to-end lines, with a Content-Length if C{length} is not negative and there is to be one.
        @param length: of the body; negative when it is not known.
        @param announced: what Trailer says.
        @param encoded: C{items} as they are sent, where that is known.
        """

    def sendData(self, data: bytes) -> None:
        """A piece of the body; dropped where the answer has none."""

    def sendEnd(self, trailers: list[Item]) -> None:
        """The answer is complete, and the exchange over; another may begin before this returns."""

    def flush(self) -> None:
        """Write what was sent."""

    def spliceAnswer(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel send so much of the answer's body from C{transport}, if that can be, in the place of C{sendData}.
        All that was sent before is flushed."""

    def truncate(self) -> None:
        """The answer will not become complete: end the connection so that the client can tell."""

    def pauseBody(self) -> None:
        """Take no more of the request's body for now."""

    def resumeBody(self) -> None:
        """Take more."""

    def splice(self, end: TunnelEnd) -> bytes:
        """HTTP is over: everything is C{end}'s now.

        @return: what the client sent behind its request.
        """

    @property
    def transport(self) -> Any:
        """The client's transport, for the tunnel."""


class _Filtered:
    """A sink that passes everything through the filters of a Response."""

    def __init__(self, filters: list[Any], sink: BodySink) -> None:
        self._filters = filters
        self._sink = sink

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        pass  # all goes through the filters

    def bodySpliced(self, size: int) -> None:
        pass

    def bodyReceived(self, data: bytes) -> None:
        for each in self._filters:
            data = _checked(each.data(data)) if data else b""
        if data:
            self._sink.bodyReceived(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        rest = b""
        for each in self._filters:
            if rest:
                rest = _checked(each.data(rest))
            rest += _checked(each.end())
        if rest:
            self._sink.bodyReceived(rest)
        self._sink.bodyEnded(trueOfOutput(trailers, self._filters) if trailers else trailers)


def _checked(data: Any) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"a body filter returned {type(data).__name__}, not bytes")
    return data


def hasNoBody(code: int, toHead: bool) -> bool:
    """Whether an answer never has a body (RFC 9110 section 6.4.1)."""
    return toHead or code == 204 or code == 304 or code < 200


def deliver(response: Response, client: ClientStream, toHead: bool, streamLength: int, announced: bytes) -> Body:
    """Send a Response's head, and say which body goes after it.

    @param streamLength: length of C{response.stream}, negative when not known.
    @return: the body to send.
    """
    code = response.code
    phrase = response.phrase or statusPhrase(code)
    if hasNoBody(code, toHead):
        kept = HOP_BY_HOP if code != 204 and (response.holder is not None or code == 304) else _FRAMING
        items = [item for item in response.items if item[0] not in kept or (code == 407 and item[0] == _CHALLENGE)]
        replaced = response.replacedBody
        if response.changesBytes:
            items = [item for item in trueOfOutput(items, response.filters) if item[0] != b"content-length"]
        elif response.holder is None and replaced is not None and replaced.contents is not None and code not in (204, 304):
            items.append((b"content-length", b"Content-Length", b"%d" % len(replaced.contents)))
        client.sendHead(code, phrase, items, 0)
        return EMPTY
    body = response.body
    length = len(body.contents) if body.contents is not None else streamLength
    dropped = _FRAMING if code != 407 else _FRAMING - {_CHALLENGE}
    items = [item for item in response.items if item[0] not in dropped]
    if response.changesBytes:
        items = trueOfOutput(items, response.filters)
        length = UNTIL_CLOSE
    if length >= 0:
        items.append((b"content-length", b"Content-Length", b"%d" % length))
    client.sendHead(code, phrase, items, length, announced)
    return body


def trueOfOutput(items: list[Item], filters: list[Any]) -> list[Item]:
    """The lines that are true of what comes out of C{filters}, too. A weak ETag is (RFC 9110 section 8.8.1) where all that
    change bytes keep the meaning. A Content-Length is not looked at."""
    changing = [each for each in filters if not getattr(each, "keepsBytes", False)]
    if not changing:
        return items
    keepsWeak = all(getattr(each, "keepsMeaning", False) for each in changing)
    return [
        item
        for item in items
        if item[0] not in _OF_EXACT_BYTES or (keepsWeak and item[0] == b"etag" and item[2].startswith(b"W/"))
    ]


def throughFilters(response: Response, sink: BodySink, body: StagedBody) -> BodySink:
    """The sink for a Response's body: C{sink} behind the response's filters and stages, if it has any."""
    if response.stages:
        sink = chained(response.stages, sink, body)
    return _Filtered(response.filters, sink) if response.filters else sink

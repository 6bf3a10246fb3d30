"""The answer as plugins and the engine see it. L{twistproxy.messages} has it too, with the other messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twistproxy.headers import BAD_VALUE, Headers, HeadersLike, Item

if TYPE_CHECKING:
    from twistproxy.bodies.body import Body
    from twistproxy.bodies.stages import Stage
    from twistproxy.outcomes import Upstream


class BodyHolder(Protocol):
    """Where an upstream's body waits until somebody asks for it.

    @ivar length: of the body; negative when it is not known, as L{twistproxy.wire.guard} has it.
    """

    length: int

    def openBody(self) -> Body:
        """The body, to be read or sent."""


class Response:
    """An answer: an upstream's, for modifiers to change, or one that a plugin makes.

    @ivar upstream: who answered; None when a plugin did.
    @ivar holder: has the upstream's body; None for an answer of a plugin's.
    @ivar items: the lines of C{headers}, for whoever only reads them.
    @ivar stages: what the body passes behind all filters, first to last; None for nothing.
    @ivar buffer: bytes of the body that are taken from the upstream while the client takes none.
    """

    __slots__ = ("_body", "_code", "_headers", "_phrase", "_stream", "buffer", "filters", "holder", "items", "stages", "upstream")

    _headers: Headers | None
    items: list[Item]

    def __init__(self, code: int, headers: HeadersLike = (), body: bytes = b"", phrase: bytes = b"") -> None:
        self.code = code
        self.phrase = phrase
        self.headers = headers
        self.upstream: Upstream | None = None
        self.holder: BodyHolder | None = None
        self.filters: list[Any] = []
        self.stages: list[Stage] | None = None
        self.buffer = 0
        self._stream: Body | None = None
        self._body: Body | None = None
        if body:
            self.body = body

    @classmethod
    def received(cls, code: int, phrase: bytes, items: list[Item], upstream: Upstream | None) -> Response:
        """An upstream's, as it was parsed: nothing is checked again, and no Headers made before a plugin wants them.

        @param items: which may be other messages' too.
        """
        made = cls.__new__(cls)
        made._code = code
        made._phrase = phrase
        made.items = items
        made.upstream = upstream
        made.filters = []
        made.buffer = 0
        made.holder = made._headers = made._stream = made._body = made.stages = None
        return made

    @property
    def isUnseen(self) -> bool:
        """Whether it is an upstream's whose headers and body nobody has asked for."""
        isAsItCame = self._headers is None and self._body is None and self._stream is None
        return isAsItCame and not (self.filters or self.stages or self.buffer)

    @property
    def headers(self) -> Headers:
        """End-to-end headers. Framing is written after the modifiers."""
        if self._headers is None:
            self.items = list(self.items)
            self._headers = Headers.fromItems(self.items)
        return self._headers

    @headers.setter
    def headers(self, headers: HeadersLike) -> None:
        given = headers if type(headers) is Headers else Headers(headers)
        self._headers = given
        self.items = given.items

    @property
    def stream(self) -> Body | None:
        """The upstream's body; None for an answer of a plugin's."""
        if self._stream is None and self.holder is not None:
            self._stream = self.holder.openBody()
        return self._stream

    @stream.setter
    def stream(self, stream: Body | None) -> None:
        self._stream = stream

    @property
    def code(self) -> int:
        """The status.

        @raise ValueError: when set to what is no final status.
        """
        return self._code

    @code.setter
    def code(self, code: int) -> None:
        if not (200 <= code <= 999 or code == 101):
            raise ValueError(f"{code} is not a final status")
        self._code = code

    @property
    def phrase(self) -> bytes:
        """The reason phrase as on the wire; empty: the usual one of the code.

        @raise ValueError: when set to one with a control character.
        """
        return self._phrase

    @phrase.setter
    def phrase(self, phrase: bytes) -> None:
        if BAD_VALUE.search(phrase):
            raise ValueError("the reason phrase has a control character")
        self._phrase = phrase

    def filterBody(self, bodyFilter: Any) -> None:
        """Pass the body through an L{twistproxy.interfaces.IBodyFilter}, piece by piece as it comes; the first added comes first.

        What depends on the body's exact bytes (Content-Length, ETag, digests) is taken from the headers.
        """
        self.filters.append(bodyFilter)

    @property
    def changesBytes(self) -> bool:
        """Whether any filter does: not all only look."""
        return bool(self.filters) and not all(getattr(each, "keepsBytes", False) for each in self.filters)

    def addStage(self, stage: Stage) -> None:
        """Have the body pass through what C{stage} makes, which may hold it back, as those of L{twistproxy.bodies.pacing} do.
        They come after all filters, the first added first, and leave the bytes as they are. Those of a 101, or of what answers
        a CONNECT, have what comes to the client in the tunnel.
        """
        if self.stages is None:
            self.stages = []
        self.stages.append(stage)

    @property
    def body(self) -> Body:
        """The body that will be sent: the upstream's, or, once bytes were assigned, those."""
        body = self._body or self.stream
        if body is None:
            from twistproxy.bodies.body import EMPTY

            return EMPTY
        return body

    @body.setter
    def body(self, body: bytes) -> None:
        from twistproxy.bodies.body import Body

        self._body = Body.of(body)

    @property
    def replacedBody(self) -> Body | None:
        """The body that was assigned, if any."""
        return self._body

    def __repr__(self) -> str:
        return f"<Response {self.code}>"

"""Good answers of upstreams, kept for when they fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen

from twistproxy.caching.conditions import isKnown, updated, withoutBody
from twistproxy.caching.copying import Copying
from twistproxy.caching.rules import Terms, address, mayGive, selectors, termsOf
from twistproxy.caching.store import Store
from twistproxy.delivery import trueOfOutput
from twistproxy.forwarding import HOP_BY_HOP
from twistproxy.headeredits import checkedNames
from twistproxy.messages import FrozenHeaders, Headers, InboundRequest, Item, Response
from twistproxy.wire.guard import UNTIL_CLOSE

_NOT_KEPT: Final = HOP_BY_HOP | {
    b"content-length", b"age", b"warning", b"proxy-authentication-info", b"via",
}  # fmt: skip
"""Of one connection, written anew, or obsolete (RFC 9111 sections 3.1 and 5.5)."""

_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
_OVERHEAD: Final = 1000
"""Bytes of an entry beside its texts, about."""
_LINE_OVERHEAD: Final = 200
"""Bytes of a header line beside its text, about."""


@frozen(eq=False)
class KeptAnswer:
    """One answer.

    @ivar key: what the client asked for.
    @ivar variant: who was asked for what, and what the request said of what the answer depends on.
    @ivar items: its header lines.
    @ivar since: when it came, in seconds.
    @ivar size: bytes that it takes, about.
    @ivar until: when it is of no use any more, in seconds.
    """

    key: tuple[str, str, bytes]
    variant: tuple[Any, ...]
    code: int
    items: list[Item]
    body: bytes
    terms: Terms
    since: float
    size: int
    until: float

    def age(self, now: float) -> float:
        """In seconds (RFC 9111 section 4.2.3)."""
        return self.terms.age + now - self.since


class StaleAnswers:
    """Keeps a bounded number of answers, and gives them in the place of failures.

    @ivar store: what is kept.
    @ivar kept: how many answers were kept so far.
    @ivar given: how many requests got one.
    @ivar missed: how many failed and would have, but there was none for them.
    @ivar passed: why answers to GET were not kept, in a word, and how often.
    """

    def __init__(
        self,
        maxAge: float,
        maxBytes: int,
        maxBody: int,
        maxEntries: int,
        seconds: Callable[[], float],
        cookies: bool = False,
        vary: Sequence[str] = (),
    ) -> None:
        """
        @param maxAge: seconds.
        @param cookies: whether requests with cookies are like those without.
        @param vary: names of headers of requests on which all answers depend.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        self.store: Store[KeptAnswer] = Store(maxBytes, maxEntries)
        self.kept = self.given = self.missed = 0
        self.passed: Counter[str] = Counter()
        self._maxAge = maxAge
        self._maxBody = min(maxBody, maxBytes // 2)
        self._seconds = seconds
        self._cookies = cookies
        self._vary = tuple(sorted(each.lower() for each in checkedNames("stale-vary", vary)))

    # What comes through.

    def answered(self, request: InboundRequest, response: Response, started: float) -> None:
        """An upstream has answered well: keep it once all of it went by, if it may be kept.

        @param started: when the request came.
        """
        key = _keyOf(request)
        if request.method not in _SAFE and response.code < 400:
            self.store.forget(key)  # RFC 9111 section 4.4
        if not _mayConcern(request) or request.method != b"GET":
            return
        now = self._seconds()
        if response.code == 304:
            self._confirmed(request, response, key, started, now)
            return
        asked, answer = request.headers, FrozenHeaders(response.items)
        terms = termsOf(response.code, asked, answer, self._hasCredentials(request), now - started, self._maxAge)
        why = terms if isinstance(terms, str) else self._streamed(request, response, key, terms, now)
        if why is not None:
            self.passed[why] += 1

    def _streamed(
        self, request: InboundRequest, response: Response, key: tuple[str, str, bytes], terms: Terms, now: float
    ) -> str | None:
        """Have the body copied.

        @return: or, in a word, why not.
        """
        length = FrozenHeaders(response.items).get(b"content-length", b"").strip()
        if length.isdigit() and int(length) > self._maxBody and response.replacedBody is None:
            return "size"
        if response.holder is not None and response.holder.length == UNTIL_CLOSE:
            return "length"  # all of it looks the same as the beginning
        terms = evolve(terms, vary=tuple(sorted({*terms.vary, *self._vary})))
        items = [item for item in trueOfOutput(response.items, response.filters) if item[0] not in _NOT_KEPT]
        variant = (_wayOf(request), terms.vary, _selectors(request, terms.vary))
        size = _OVERHEAD + _textSize(items)
        size += sum(map(len, key)) + sum(map(len, variant[0])) + sum(len(each) for both in variant[2] for each in both)
        until = now + terms.limit - terms.age
        whole = KeptAnswer(key, variant, response.code, items, b"", terms, now, size, until)
        # Whoever assigns another body later has other bytes pass here, to which these lines do not belong.
        complete = partial(self._complete, whole, response, response.replacedBody)
        copying = Copying(self.store, self._maxBody, self._seconds, complete)
        response.filterBody(copying)
        request.whenFinished(copying.drop)
        return None

    def _complete(self, answer: KeptAnswer, response: Response, replaced: Any, body: bytes) -> None:
        if response.replacedBody is not replaced or response.code != answer.code:
            return
        if self.store.add(evolve(answer, body=body, size=answer.size + len(body)), self._seconds()):
            self.kept += 1

    def _confirmed(
        self, request: InboundRequest, response: Response, key: tuple[str, str, bytes], started: float, now: float
    ) -> None:
        """The client has already what the upstream would send; if that is what is kept, it is as good as new, with what is
        said of it now (RFC 9111 section 4.3.4)."""
        answer = FrozenHeaders(response.items)
        tag, hasCredentials = answer.get(b"etag"), self._hasCredentials(request)

        def isMeant(kept: KeptAnswer) -> bool:
            mayKnow = kept.terms.isShared or not hasCredentials
            return mayKnow and self._isFor(request, kept) and FrozenHeaders(kept.items).get(b"etag") == tag

        kept = None if tag is None else self.store.find(key, isMeant, now)
        if kept is None:
            return
        items = updated(kept.items, [item for item in response.items if item[0] not in _NOT_KEPT])
        age = [item for item in response.items if item[0] == b"age"]
        terms = termsOf(kept.code, request.headers, FrozenHeaders(items + age), False, now - started, self._maxAge)
        if isinstance(terms, str):
            self.store.forget(key)
            return
        terms = evolve(terms, vary=kept.terms.vary)
        size = kept.size + _textSize(items) - _textSize(kept.items)
        until = now + terms.limit - terms.age
        self.store.add(evolve(kept, items=items, terms=terms, since=now, size=size, until=until), now)

    # What fails.

    def insteadOf(self, request: InboundRequest, why: str) -> Response | None:
        """The answer to a request that has failed, if there is one.

        @param why: a word, for the answer's Cache-Status.
        """
        if not _mayConcern(request) or request.method not in (b"GET", b"HEAD"):
            return None
        now = self._seconds()
        found = self.store.find(_keyOf(request), partial(self._fits, request, now), now)
        if found is None:
            self.missed += 1
            return None
        self.given += 1
        return self._response(request, found, now, why)

    def _fits(self, request: InboundRequest, now: float, answer: KeptAnswer) -> bool:
        mayHave = mayGive(answer.terms, answer.age(now), request.headers, self._hasCredentials(request))
        return mayHave and self._isFor(request, answer)

    def _isFor(self, request: InboundRequest, answer: KeptAnswer) -> bool:
        """Whether an upstream would be asked for the same thing."""
        way, names, values = answer.variant
        return bool(way == _wayOf(request) and values == _selectors(request, names))

    def _response(self, request: InboundRequest, answer: KeptAnswer, now: float, why: str) -> Response:
        code, items, body = answer.code, answer.items, answer.body
        if code == 200 and isKnown(request.headers, FrozenHeaders(items)):
            code, items, body = 304, withoutBody(items), b""
        response = Response(code, Headers.fromItems(list(items)), body)
        age = answer.age(now)
        response.headers.setRawHeaders(b"Age", [b"%d" % age])
        status = f"twistproxy; hit; ttl={int(answer.terms.lifetime - age)}; detail={why}"  # RFC 9211
        response.headers.addRawHeader(b"Cache-Status", status.encode())
        return response

    def _hasCredentials(self, request: InboundRequest) -> bool:
        """Whether a request says who it is from."""
        headers = request.headers
        return (
            headers.hasHeader(b"authorization")
            or (not self._cookies and headers.hasHeader(b"cookie"))
            or bool(request.user)
            or request.clientCertificate is not None
        )

    def snapshot(self) -> dict[str, Any]:
        """Plain figures, as JSON can have them."""
        store = self.store
        return {
            "entries": len(store), "bytes": store.bytes, "copying": store.copying, "evicted": store.evicted,
            "kept": self.kept, "given": self.given, "missed": self.missed, "passed": dict(self.passed),
        }  # fmt: skip


def _textSize(items: Sequence[Item]) -> int:
    """Bytes that header lines take in memory, about."""
    return sum(len(item[1]) + len(item[2]) + _LINE_OVERHEAD for item in items)


def _keyOf(request: InboundRequest) -> tuple[str, str, bytes]:
    return request.scheme, request.host.lower(), request.target


def _wayOf(request: InboundRequest) -> tuple[str | bytes, ...]:
    """Who was to be asked for what, as directors wanted it: what one tenant's upstream said is not another's."""
    standIn, outbound = request.standIn, request.outbound
    assert standIn is not None
    host = outbound.host.lower() if outbound.hostSet else ""
    return standIn.asked, host, outbound.target, *address(FrozenHeaders(outbound.items))


def _selectors(request: InboundRequest, names: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    return selectors(names, request.headers, FrozenHeaders(request.outbound.items)) if names else ()


def _mayConcern(request: InboundRequest) -> bool:
    """Whether it came as far as an upstream, the same as it was, and without a body, on which its answer could depend."""
    standIn, body = request.standIn, request.body
    isPlain = body.ended and not body.size and request.outbound.replacedBody is None
    return standIn is not None and bool(standIn.asked) and isPlain and request.outbound.method == request.method

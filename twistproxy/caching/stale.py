"""Good answers of upstreams, kept for when they fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from twistproxy.caching.conditions import isKnown, updated, withoutBody
from twistproxy.caching.copying import Copying
from twistproxy.caching.rules import ANSWERED, ASKED, Fields, Terms, address, fieldsOf, mayGive, selectors, termsOf
from twistproxy.caching.store import Store
from twistproxy.exchange.delivery import trueOfOutput
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

_RECENT: Final = 1.0
"""Seconds within which an answer takes no other's place."""

Key = tuple[str, str, bytes]
Variant = tuple[tuple[Any, ...], tuple[bytes, ...], tuple[tuple[bytes, ...], ...]]


class KeptAnswer:
    """One answer.

    @ivar key: what the client asked for.
    @ivar variant: who was asked for what, and what the request said of what the answer depends on.
    @ivar items: its header lines.
    @ivar since: when it came, in seconds.
    @ivar size: bytes that it takes, about.
    @ivar until: when it is of no use any more, in seconds.
    """

    __slots__ = ("body", "code", "items", "key", "since", "size", "terms", "until", "variant")

    def __init__(self, key: Key, variant: Variant, code: int, items: list[Item], terms: Terms, since: float, body: bytes) -> None:
        self.key = key
        self.variant = variant
        self.code = code
        self.items = items
        self.terms = terms
        self.since = since
        self.body = body
        self.until = since + terms.limit - terms.age
        self.size = _OVERHEAD + len(body) + sum(map(len, key)) + sum(len(each) for both in variant[2] for each in both)
        for item in items:
            self.size += _LINE_OVERHEAD + len(item[1]) + len(item[2])

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
        """An upstream has answered well: keep it once all of it went by, if it may be kept. Not what another pool said instead
        of the first.

        @param started: when the request came.
        """
        key = _keyOf(request)
        if request.method not in _SAFE and response.code < 400:
            self.store.forget(key)  # RFC 9111 section 4.4
        isStandIns = request.standIn is not None and request.standIn.insteadOf is not None
        if request.method != b"GET" or isStandIns or not _mayConcern(request):
            return
        now = self._seconds()
        asked, answer = fieldsOf(request.headers.items, ASKED), fieldsOf(response.items, ANSWERED)
        hasCredentials = self._hasCredentials(request, asked)
        if response.code == 304:
            self._confirmed(request, response, hasCredentials, now - started, now)
            return
        if self.store.find(key, partial(self._isRecent, request, hasCredentials, now), now) is not None:
            return
        terms = termsOf(response.code, asked, answer, hasCredentials, now - started, self._maxAge)
        why = terms if isinstance(terms, str) else self._streamed(request, response, answer, terms, now)
        if why is not None:
            self.passed[why] += 1

    def _isRecent(self, request: InboundRequest, hasCredentials: bool, now: float, kept: KeptAnswer) -> bool:
        """Whether it is so new that another need not be kept: what is asked for all the time would be copied all the time."""
        return kept.since > now - _RECENT and (kept.terms.isShared or not hasCredentials) and self._isFor(request, kept)

    def _streamed(self, request: InboundRequest, response: Response, answer: Fields, terms: Terms, now: float) -> str | None:
        """Have the body copied.

        @return: or, in a word, why not.
        """
        length = answer.get(b"content-length", (b"",))[0].strip()
        if length.isdigit() and int(length) > self._maxBody and response.replacedBody is None:
            return "size"
        if response.holder is not None and response.holder.length == UNTIL_CLOSE:
            return "length"  # all of it looks the same as the beginning
        names = tuple(sorted({*terms.vary, *self._vary})) if self._vary else terms.vary
        items = [item for item in trueOfOutput(response.items, response.filters) if item[0] not in _NOT_KEPT]
        variant = (_wayOf(request), names, _selectors(request, names))
        make = partial(KeptAnswer, _keyOf(request), variant, response.code, items, terms, now)
        # Whoever assigns another body later has other bytes pass here, to which these lines do not belong.
        complete = partial(self._complete, make, response, response.code, response.replacedBody)
        copying = Copying(self.store, self._maxBody, self._seconds, complete)
        response.filterBody(copying)
        request.whenFinished(copying.drop)
        return None

    def _complete(self, make: Callable[[bytes], KeptAnswer], response: Response, code: int, replaced: Any, body: bytes) -> None:
        if response.replacedBody is replaced and response.code == code and self.store.add(make(body), self._seconds()):
            self.kept += 1

    def _confirmed(self, request: InboundRequest, response: Response, hasCredentials: bool, delay: float, now: float) -> None:
        """The client has already what the upstream would send; if that is what is kept, it is as good as new, with what is
        said of it now (RFC 9111 section 4.3.4)."""
        tag = FrozenHeaders(response.items).get(b"etag")

        def isMeant(kept: KeptAnswer) -> bool:
            mayKnow = kept.terms.isShared or not hasCredentials
            return mayKnow and self._isFor(request, kept) and FrozenHeaders(kept.items).get(b"etag") == tag

        kept = None if tag is None else self.store.find(_keyOf(request), isMeant, now)
        if kept is None:
            return
        items = updated(kept.items, [item for item in response.items if item[0] not in _NOT_KEPT])
        age = [item for item in response.items if item[0] == b"age"]
        asked = fieldsOf(request.headers.items, ASKED)
        terms = termsOf(kept.code, asked, fieldsOf(items + age, ANSWERED), False, delay, self._maxAge)
        if isinstance(terms, str):
            self.store.forget(kept.key)
        else:
            self.store.add(KeptAnswer(kept.key, kept.variant, kept.code, items, terms, now, kept.body), now)

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
        asked = fieldsOf(request.headers.items, ASKED)
        mayHave = mayGive(answer.terms, answer.age(now), asked, self._hasCredentials(request, asked))
        return mayHave and self._isFor(request, answer)

    def _isFor(self, request: InboundRequest, answer: KeptAnswer) -> bool:
        """Whether an upstream would be asked for the same thing."""
        way, names, values = answer.variant
        return way == _wayOf(request) and values == _selectors(request, names)

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

    def _hasCredentials(self, request: InboundRequest, asked: Fields) -> bool:
        """Whether a request says who it is from."""
        return (
            b"authorization" in asked
            or (not self._cookies and b"cookie" in asked)
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


def _keyOf(request: InboundRequest) -> Key:
    return request.scheme, request.host.lower(), request.target


def _wayOf(request: InboundRequest) -> tuple[Any, ...]:
    """Who was to be asked for what, as directors wanted it: what one tenant's upstream said is not another's."""
    standIn, outbound = request.standIn, request.outbound
    assert standIn is not None
    host = outbound.host.lower() if outbound.hostSet else ""
    return standIn.asked, host, outbound.target, *address(outbound.items)


def _selectors(request: InboundRequest, names: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    return selectors(names, request.headers, FrozenHeaders(request.outbound.items)) if names else ()


def _mayConcern(request: InboundRequest) -> bool:
    """Whether it came as far as an upstream, the same as it was, and without a body, on which its answer could depend."""
    standIn, body = request.standIn, request.body
    isPlain = body.ended and not body.size and request.outbound.replacedBody is None
    return standIn is not None and bool(standIn.asked) and isPlain and request.outbound.method == request.method

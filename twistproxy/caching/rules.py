"""Which answers may be kept, how old they may get, and who may have them: RFC 9111, and RFC 5861 for those that are given in
the place of a failure. Pure.

Where the RFC leaves a choice, the one is made that keeps less: somebody else's answer is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import mktime_tz, parsedate_tz
from typing import Final

from attrs import frozen

from twistproxy.caching.control import CacheControl, cacheControl
from twistproxy.messages import FrozenHeaders, Item
from twistproxy.wire.guard import tokens

KEPT_STATUSES: Final = frozenset({200, 203, 301, 308})
"""Good answers that may be kept though nothing says how long they stay fresh (RFC 9110 section 15.1). Not 404 and its like,
which may be a sign of the very failure, nor 206, which is a part."""

Fields = Mapping[bytes, Sequence[bytes]]
"""Values of headers by their names in lower case."""

ASKED: Final = frozenset({b"authorization", b"cookie", b"cache-control", b"if-match", b"if-unmodified-since"})
"""What is looked at of a request."""

ANSWERED: Final = frozenset(
    {
        b"cache-control", b"set-cookie", b"content-range", b"content-type", b"vary", b"expires", b"date", b"age",
        b"content-length", b"etag",
    }
)  # fmt: skip
"""What is looked at of an answer."""

_ADDRESS: Final = frozenset({b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"forwarded"})
_WHO: Final = re.compile(rb'(?:for|by)=(?:"[^"]*"|[^;,"]*)', re.IGNORECASE)
"""In a Forwarded (RFC 7239)."""

_EVENTS: Final = b"text/event-stream"


def fieldsOf(items: Iterable[Item], names: frozenset[bytes]) -> dict[bytes, list[bytes]]:
    """Those of C{names} that are there."""
    found: dict[bytes, list[bytes]] = {}
    for name, _, value in items:
        if name in names:
            found.setdefault(name, []).append(value)
    return found


@frozen
class Terms:
    """On which an answer is kept.

    @ivar age: in seconds, when it came (RFC 9111 section 4.2.3).
    @ivar lifetime: seconds of age up to which it is fresh.
    @ivar limit: seconds of age up to which it may be given at all; more than C{age}.
    @ivar isShared: whether it says itself that it is for everybody, those with credentials included.
    @ivar vary: names of the request's headers that it depends on, in lower case.
    """

    age: float
    lifetime: float
    limit: float
    isShared: bool
    vary: tuple[bytes, ...]


def termsOf(code: int, asked: Fields, answer: Fields, hasCredentials: bool, delay: float, maxAge: float) -> Terms | str:
    """Whether an answer to a GET may be kept, and on which terms.

    @param asked: the request's headers, as far as L{ASKED} names them.
    @param answer: its own, as far as L{ANSWERED} does.
    @param hasCredentials: whether the request said who it is from.
    @param delay: seconds from the request to the answer.
    @param maxAge: seconds that it may get old, if it does not want less.
    @return: or, in a word, why not.
    """
    if code not in KEPT_STATUSES:
        return "status"
    control = cacheControl(answer.get(b"cache-control", ()))
    for name in (b"no-store", b"private", b"no-cache"):
        if name in control:
            return name.decode()
    if b"no-store" in cacheControl(asked.get(b"cache-control", ())):
        return "no-store"
    if b"set-cookie" in answer:
        return "set-cookie"
    if b"content-range" in answer:
        return "status"
    if answer.get(b"content-type", (b"",))[0].partition(b";")[0].strip().lower() == _EVENTS:
        return "stream"
    isShared = b"public" in control or b"s-maxage" in control
    if hasCredentials and not isShared:
        return "credentials"
    vary = tokens(answer.get(b"vary", ()))
    if b"*" in vary:
        return "vary"
    lifetime = float(_lifetime(control, answer))
    age = _ageOf(answer) + max(0.0, delay)
    limit = _limit(control, lifetime, maxAge)
    if limit <= age:
        return "age"
    return Terms(age, lifetime, limit, isShared, tuple(sorted(vary)))


def _limit(control: CacheControl, lifetime: float, maxAge: float) -> float:
    """Seconds of age up to which it may be given (RFC 9111 section 4.2.4, RFC 5861 section 4)."""
    if any(name in control for name in (b"must-revalidate", b"proxy-revalidate", b"s-maxage")):
        return min(maxAge, lifetime)
    onError = control.seconds(b"stale-if-error")
    return maxAge if onError is None else min(maxAge, lifetime + onError)


def _lifetime(control: CacheControl, answer: Fields) -> int:
    """Seconds for which it says that it is fresh, 0 without a word: none are guessed (RFC 9111 section 4.2.1)."""
    for name in (b"s-maxage", b"max-age"):
        seconds = control.seconds(name)
        if seconds is not None:
            return seconds
    expires, date = answer.get(b"expires", ()), answer.get(b"date", ())
    if len(expires) != 1 or len(date) != 1:
        return 0
    until, since = instant(expires[0]), instant(date[0])
    return max(0, until - since) if until is not None and since is not None else 0


def _ageOf(answer: Fields) -> float:
    """What Age says; for ever, where that is no number."""
    values = answer.get(b"age", ())
    if not values:
        return 0.0
    age = CacheControl([b"age=" + values[0]]).seconds(b"age") if values[0].strip().isdigit() else None
    return float("inf") if age is None else float(age)


def instant(value: bytes) -> int | None:
    """Of an HTTP-date (RFC 9110 section 5.6.7), in seconds since 1970; None for what is none."""
    try:
        parsed = parsedate_tz(value.decode("ascii"))
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError):
        return None


def mayGive(terms: Terms, age: float, asked: Fields, hasCredentials: bool) -> bool:
    """Whether a kept answer may be given in the place of a failure.

    What a request says of the age that it would like (max-age) is not looked at: each reload in a browser says so, and the
    alternative is no answer. That it wants no kept one, or how stale one may be, counts.

    @param age: of the answer now, in seconds.
    @param asked: the headers of the request that it is to be given to, whose Vary was seen to.
    """
    if age >= terms.limit or (hasCredentials and not terms.isShared):
        return False
    if b"if-match" in asked or b"if-unmodified-since" in asked:
        return False  # for the origin only (RFC 9110 sections 13.1.1 and 13.1.4)
    control = cacheControl(asked.get(b"cache-control", ()))
    if b"no-store" in control or b"no-cache" in control:
        return False
    stale = age - terms.lifetime
    fresh = control.seconds(b"min-fresh")
    if fresh is not None and stale > -fresh:
        return False
    for name in (b"max-stale", b"stale-if-error"):
        limit = control.seconds(name)
        if limit is not None and not control.isBare(name) and stale > limit:
            return False
    return True


def address(sent: Iterable[Item]) -> tuple[tuple[bytes, bytes], ...]:
    """What a request that is sent on says of the URL that the client asked for: applications make links and choose tenants by
    it, and do not name it in Vary. Who the client is is left out."""
    found = []
    for name, _, value in sent:
        if name in _ADDRESS:
            if name == b"forwarded":
                value = _WHO.sub(b"", value)
            found.append((name, value if name == b"x-forwarded-prefix" else value.lower()))
    return tuple(found)


def selectors(names: Sequence[bytes], *messages: FrozenHeaders) -> tuple[tuple[bytes, ...], ...]:
    """What a request says in the headers that an answer depends on, to be compared (RFC 9111 section 4.1).

    @param messages: the request as it came, and as it was sent on: an upstream knows only this.
    """
    return tuple(
        tuple(b",".join(each.strip() for each in message.getRawHeaders(name, (b"\x00",))) for message in messages)
        for name in names
    )

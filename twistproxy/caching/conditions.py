"""Whether a client has already what it would get: conditional requests for a kept answer (RFC 9110 section 13). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from twistproxy.caching.rules import instant
from twistproxy.messages import FrozenHeaders, Item

_TAG: Final = re.compile(rb'(?:W/)?"[^"]*"')
_LEFT_OUT: Final = frozenset({b"content-type", b"content-encoding", b"content-language", b"content-length", b"content-range"})
"""What describes a body, and has no place in a 304 (RFC 9110 section 15.4.5)."""


def isKnown(asked: FrozenHeaders, answer: FrozenHeaders) -> bool:
    """Whether a 304 does in the place of C{answer}, a good one (RFC 9110 section 13.2.2)."""
    known = asked.getRawHeaders(b"if-none-match", ())
    if known:
        if any(each.strip() == b"*" for each in known):
            return True
        tag = _TAG.fullmatch(answer.get(b"etag", b"").strip())
        return tag is not None and _opaque(tag[0]) in map(_opaque, entityTags(known))
    since = asked.getRawHeaders(b"if-modified-since", ())
    modified = answer.getRawHeaders(b"last-modified", ())
    if len(since) != 1 or len(modified) != 1:
        return False
    then, changed = instant(since[0]), instant(modified[0])
    return then is not None and changed is not None and changed <= then


def entityTags(values: Sequence[bytes]) -> list[bytes]:
    """Those of a list over several lines, as they are written (RFC 9110 section 8.8.3)."""
    return _TAG.findall(b",".join(values))


def _opaque(tag: bytes) -> bytes:
    """For the weak comparison (RFC 9110 section 8.8.3.2)."""
    return tag.removeprefix(b"W/")


def updated(items: list[Item], by: list[Item]) -> list[Item]:
    """The lines of an answer with those of a 304 in the place of its own of the same names (RFC 9111 section 3.2)."""
    newer = [item for item in by if item[0] not in _LEFT_OUT]
    names = {item[0] for item in newer}
    return [item for item in items if item[0] not in names] + newer


def withoutBody(items: list[Item]) -> list[Item]:
    """The lines of an answer that go with a 304."""
    return [item for item in items if item[0] not in _LEFT_OUT]

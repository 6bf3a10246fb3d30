"""Prefixes of paths, compared as routes compare paths: no spelling of a path gets past one, or out of one. Pure."""

from __future__ import annotations

import re
from typing import Final

from twistproxy.publicurl import isBelow
from twistproxy.routing import segmentsOf

_DOTS: Final = re.compile(rb"/(?:\.|%2[eE]){1,2}(?=/|\Z)")


def withoutDots(path: bytes) -> bytes:
    """C{path} with its dot segments resolved (RFC 3986 section 5.2.4), since behind a prefix they could lead out of it."""
    return _joined(segmentsOf(path), path) if _DOTS.search(path) else path


class PathPrefix:
    """A prefix, by whole segments.

    @ivar path: as written, without a slash at its end.
    """

    def __init__(self, written: str) -> None:
        """@raise ValueError: with a sentence for the person who wrote it."""
        self.path = path = written.rstrip("/").encode()
        if not path.startswith(b"/"):
            raise ValueError(f"prefix: {written!r} is not a path such as /api")
        if _DOTS.search(path) or any(each in b"?#" or not 0x21 <= each <= 0x7E for each in path):
            raise ValueError(f"prefix: {written!r} has what a path cannot have; percent-encode it")
        self._segments = segmentsOf(path)

    def rest(self, path: bytes) -> bytes | None:
        """What of C{path} is below the prefix; None when it is elsewhere.

        The bytes stay as they are where the client wrote the prefix as we do, and no dot segments.
        """
        if not _DOTS.search(path) and isBelow(path, self.path):
            return path[len(self.path) :] or b"/"
        segments = segmentsOf(path)
        count = len(self._segments)
        return _joined(segments[count:], path) if segments[:count] == self._segments else None


def _joined(segments: list[bytes], path: bytes) -> bytes:
    """A path of C{segments} that ends in a slash if C{path} does in effect."""
    isOpen = path.endswith(b"/") or _DOTS.search(path[path.rfind(b"/") :]) is not None
    return b"/" + b"/".join(segments) + (b"/" if segments and isOpen else b"")

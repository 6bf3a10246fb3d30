"""Edits of headers as a configuration writes them: remove, rename, set and add. Pure, for either direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from twistproxy.forwarding import HOP_BY_HOP
from twistproxy.messages import WITHHELD, Headers, InboundRequest, headerItem, isToken
from twistproxy.wire.guard import tokens

HeaderValues = Mapping[str, str | list[str]]
"""The annotation of an option that gives headers: each name's value, or its values."""

FRAMING: Final = HOP_BY_HOP | {b"content-length"}
"""What is written after all plugins: it frames the message, or belongs to one connection."""


_HYPHENS: Final = bytes(byte if chr(byte).isalnum() and byte < 128 else 45 for byte in range(256))


def _folded(name: bytes) -> bytes:
    """Equal for names that CGI and WSGI programs cannot tell apart: most make an underscore of a hyphen, lighttpd of all
    that is neither letter nor digit, PHP of dots too."""
    return name.lower().translate(_HYPHENS)


def checkedNames(option: str, names: Iterable[str]) -> list[bytes]:
    """Names of headers that may be edited.

    @param option: who asks, for the message.
    @raise ValueError: with a sentence for the person who wrote it.
    """
    made = [name.encode() for name in names]
    for name in made:
        if not isToken(name):
            raise ValueError(f"{option}: {name.decode()!r} is not the name of a header")
        if _folded(name) in FRAMING:
            raise ValueError(f"{option}: {name.decode()} is the proxy's own: it frames the message or belongs to one connection")
    return made


def checkedValues(option: str, headers: HeaderValues | None) -> list[tuple[bytes, list[bytes]]]:
    """Headers to be set, in order.

    @raise ValueError: as L{checkedNames}.
    """
    given = headers or {}
    made: list[tuple[bytes, list[bytes]]] = []
    for name, values in zip(checkedNames(option, given), given.values(), strict=True):
        try:
            made.append((name, [headerItem(name, each)[2] for each in ([values] if isinstance(values, str) else values)]))
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
    return made


def replaceHeader(headers: Headers, name: str | bytes, value: str | bytes) -> None:
    """Have one header with C{value}, or none when that is empty, whatever spelling of its name programs take for the same."""
    folded = _folded(name.encode() if isinstance(name, str) else name)
    for each in [each for each, _ in headers.getAllRawHeaders() if _folded(each) == folded]:
        headers.removeHeader(each)
    if value:
        headers.setRawHeaders(name, [value])


def addVary(headers: Headers, name: bytes) -> None:
    """Have Vary name a header, if it does not yet."""
    present = tokens(headers.getRawHeaders(b"vary", ()))
    if name.lower() not in present and b"*" not in present:
        headers.addRawHeader(b"Vary", name)


class OwnHeaders:
    """Headers that the proxy alone may say: what a client says in them, in whatever spelling, or in trailers, goes no
    further."""

    def __init__(self, names: Sequence[str]) -> None:
        """
        @param names: with a star at its end, all that begin so.
        @raise ValueError: as L{HeaderEdits}.
        """
        self._edits = HeaderEdits(remove=names) if names else None

    def has(self, name: bytes) -> bool:
        """Whether this is one."""
        return self._edits is not None and self._edits.removes(name)

    def take(self, request: InboundRequest) -> None:
        """Nobody has said anything in them yet."""
        if self._edits is not None:
            self._edits.apply(request.outbound.headers)
            request.state.setdefault(WITHHELD, []).append(self._edits.removes)


class HeaderEdits:
    """Edits in the order of the parameters: what is removed can be set anew, what was renamed is not set away.

    An underscore in a name counts as a hyphen, since many programs read X_User as X-User, and so does all else that is neither
    letter nor digit: no other spelling gets past.
    """

    def __init__(
        self,
        remove: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        set: HeaderValues | None = None,
        add: HeaderValues | None = None,
    ) -> None:
        """
        @param remove: names; with a star at its end, all that begin so.
        @param rename: new names by old ones. Lines that have the new name give way.
        @param set: the only lines of these names from then on.
        @param add: lines beside those there are.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        self._prefixes = tuple(_folded(each[:-1].encode()) for each in remove if each.endswith("*"))
        if b"" in self._prefixes:
            raise ValueError("remove: a star alone would remove all headers")
        self._removed = {_folded(each) for each in checkedNames("remove", (each for each in remove if not each.endswith("*")))}
        renamed = rename or {}
        old, new = checkedNames("rename", renamed), checkedNames("rename", renamed.values())
        self._renamed = [(_folded(each), name) for each, name in zip(old, new, strict=True)]
        self._set = checkedValues("set", set)
        self._added = checkedValues("add", add)
        if not (remove or renamed or self._set or self._added):
            raise ValueError("needs one of the options remove, rename, set, add")

    def removes(self, name: bytes) -> bool:
        """Whether lines of this name are removed."""
        folded = _folded(name)
        return folded in self._removed or folded.startswith(self._prefixes)

    def apply(self, headers: Headers) -> None:
        """Edit C{headers}."""
        if self._removed or self._prefixes:
            for lower in {item[0] for item in headers.items}:
                if self.removes(lower):
                    headers.removeHeader(lower)
        for old, new in self._renamed:
            values = [item[2] for item in headers.items if _folded(item[0]) == old]
            if values:
                _remove(headers, old)
                _remove(headers, _folded(new))
                headers.setRawHeaders(new, values)
        for name, values in self._set:
            _remove(headers, _folded(name), but=name.lower())
            headers.setRawHeaders(name, values)
        for name, values in self._added:
            for value in values:
                headers.addRawHeader(name, value)


def _remove(headers: Headers, folded: bytes, but: bytes = b"") -> None:
    """Remove the lines of a name in all spellings, except one."""
    for lower in {item[0] for item in headers.items}:
        if lower != but and _folded(lower) == folded:
            headers.removeHeader(lower)

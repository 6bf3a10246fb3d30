"""Upstreams from a file that may change: lines, TOML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.subject import Observer, Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.plugin import Duration

_log: Final = Logger(namespace="twistproxy.discovery")
_MAX_BYTES: Final = 4 << 20
"""Longest file that is read."""
_SYNTAXES: Final = {".toml": "toml", ".json": "json"}
_KEY: Final = "upstreams"


def parseEntries(content: bytes, syntax: str) -> Sequence[object]:
    """The entries of a file.

    Lines have one each; empty ones, and what follows a C{#} at a line's start or after a space, are comments. TOML and
    JSON have a list C{upstreams}; JSON may be the list itself.

    @param syntax: C{lines}, C{toml} or C{json}.
    @raise ValueError: when the file as a whole cannot be understood.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if syntax == "lines":
        lines = (f" {line}".partition(" #")[0].strip() for line in text.splitlines())
        return [line for line in lines if line]
    try:
        read: Any = tomllib.loads(text) if syntax == "toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no {syntax.upper()}: {error}") from None
    found = read.get(_KEY) if isinstance(read, Mapping) else read
    if not isinstance(found, list):
        raise ValueError(f"it has no list {_KEY!r}")
    return found


@implementer(IUpstreamSource)
class File(Service):
    """Upstreams from a file, which is read again when it has changed.

    An entry is a URL or an address with weight, max-conns or backup as on the command line, or a table. One that cannot
    be understood is left out; while the whole file cannot be, its last state stands.
    """

    def __init__(
        self,
        context: Any,
        path: Path,
        format: str = "http://%s",
        every: Duration = 1.0,
        syntax: Literal["auto", "lines", "toml", "json"] = "auto",
        weight: int = 1,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """
        @param path: of the file; it has to be there at the start.
        @param format: the URL of an address, with %s in its place; options of an upstream may follow it, for all of them.
        @param every: how often it is looked at.
        @param syntax: auto goes by the ending: .toml, .json, all others have an entry a line.
        @param weight: of entries that have no other.
        @param weights: weights by address, or by host alone.
        @raise ValueError: when one of these cannot be used, or the file cannot be read.
        """
        if every <= 0:
            raise ValueError("every: more than no time")
        self._path = path
        self._every = every
        self._syntax = _SYNTAXES.get(path.suffix.lower(), "lines") if syntax == "auto" else syntax
        self._reader = EntryReader(
            format, weights or {}, weight, isStrict=True, hasNames=True, hasSockets=True, directory=context.directory
        )
        self._subject = Subject(str(path))
        self._content: bytes | None = None
        self._problem = ""
        self._looking = LoopingCall(self._look)
        self._looking.clock = context.reactor
        try:
            self._read()
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell C{observer} all upstreams, now and whenever the file has changed."""
        return self._subject.subscribe(observer)

    def startService(self) -> None:
        """Look at the file from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._looking.start(self._every)

    def stopService(self) -> None:
        """Look at it no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._looking.stop()

    def _look(self) -> None:
        try:
            self._read()
        except ValueError as error:
            if str(error) != self._problem:
                _log.error("{path}: {problem}; what it said before stands", path=str(self._path), problem=str(error))
            self._problem = str(error)
        else:
            self._problem = ""

    def _read(self) -> None:
        """Tell what is in the file, if that has changed.

        @raise ValueError: when it cannot be understood.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(error.strerror or str(error)) from None
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it is longer than {_MAX_BYTES >> 20} MiB")
        if content != self._content:
            entries = parseEntries(content, self._syntax)
            self._content = content
            self._subject.tellEntries(self._reader, entries)

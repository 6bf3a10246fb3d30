"""Upstreams from a list: written down, or told by a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from zope.interface import implementer

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.subject import Observer, Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.messages import Upstream


@implementer(IUpstreamSource)
class Listed(Service):
    """Upstreams that are written down as addresses, with one format and weights for all of them.

    In a program L{update} changes them: whatever finds servers there can tell a proxy by it.
    """

    def __init__(
        self,
        *addresses: str,
        format: str = "http://%s",
        weight: int = 1,
        weights: Mapping[str, int] | None = None,
        context: Any = None,
    ) -> None:
        """
        @param addresses: C{host:port} or a URL each, with C{,weight=N}, C{,max-conns=N} or C{,backup} after it.
        @param format: the URL of an address, with %s in its place; options of an upstream may follow it, for all of them.
        @param weight: of those that have no other.
        @param weights: weights by address, or by host alone.
        @raise ValueError: when one of these cannot be used.
        """
        directory = "" if context is None else context.directory
        self._reader = EntryReader(
            format, weights or {}, weight, isStrict=True, hasNames=True, hasSockets=True, directory=directory
        )
        self._subject = Subject()
        self.update(addresses)

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell C{observer} all upstreams, now and at every change."""
        return self._subject.subscribe(observer)

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """Those of now."""
        return self._subject.snapshot or ()

    def update(self, upstreams: Iterable[str | Mapping[str, Any] | Upstream]) -> None:
        """All upstreams from now on.

        @param upstreams: each as in the constructor, as a table, or made already.
        @raise ValueError: when one cannot be understood; then nothing changes.
        """
        self._subject.tell([each if isinstance(each, Upstream) else self._reader.read(each) for each in upstreams])

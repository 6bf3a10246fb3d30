"""Paths by a pattern."""

from __future__ import annotations

import re

from zope.interface import implementer

from twistproxy.forwarding import joinQuery
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.text.template import Template, groupNames, groupOf


@implementer(IDirector)
class Rewrite:
    """Replace what a regular expression matches in the path, as rewrite:^/dir(.*):$1 makes /a of /dir/a.

    The pattern sees the path as it is on the wire, percent-encoded and without the query, and every match is replaced,
    as in Go's ReplaceAllString. Put the string in single quotes: the shell has its own idea of $1. A path that lost its
    first slash gets one.

    @param pattern: a regular expression of Python's; within a plugin string a backslash is written \\\\ and a colon \\:.
    @param to: what comes in place of a match; $1 or ${1} is a group, $name a named one, $0 the whole match, $$ a dollar
        sign. Behind a ? stands a query, which is put before the request's own.
    """

    def __init__(self, pattern: re.Pattern[bytes], to: str) -> None:
        """@raise ValueError: when C{to} names a group that there is not."""
        if "#" in to:
            raise ValueError(f"to: {to!r} has a #, which no request has; percent-encode it")
        self._pattern = pattern
        path, mark, query = to.partition("?")
        names = groupNames(pattern)
        self._path = Template(path, names, forURL=True)
        self._query = Template(query, names, forURL=True) if mark else None

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Rewrite the path if it matches."""
        path = outbound.path
        first = self._pattern.search(path) if path != b"*" else None
        if first is None:
            return
        rewritten = self._pattern.sub(lambda match: self._path.fill(lambda name: groupOf(match, name)), path)
        outbound.path = rewritten if rewritten.startswith(b"/") else b"/" + rewritten
        if self._query is not None:
            outbound.query = joinQuery(self._query.fill(lambda name: groupOf(first, name)), outbound.query)

"""Other text than the answer's own."""

from __future__ import annotations

import re
from collections.abc import Coroutine, Sequence
from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IResponseModifier
from twistproxy.messages import InboundRequest, Response
from twistproxy.modifiers.bodies import BodySelection, forgetBytes
from twistproxy.plugin import Size
from twistproxy.text.statuses import StatusWords
from twistproxy.text.template import Template, groupNames, groupOf


@implementer(IResponseModifier)
class BodyReplace:
    """Replace the body of an answer, or what a regular expression matches in it, as
    body-replace:https\\://www.example.com:pattern=http\\://app\\\\.internal.

    With a pattern the body is read to its end before anything of it is sent; Content-Length is then that of the new
    one. A body in a content coding such as gzip stays as it is: where that is not wanted, let request-headers remove
    Accept-Encoding. Event streams stay as they are.

    @param to: the new body; or, with a pattern, what comes in place of each match, where $1 or ${1} is a group,
        $name a named one and $$ a dollar sign.
    @param pattern: a regular expression of Python's, over the bytes of the body; within a plugin string a backslash is
        written \\\\ and a colon \\:.
    @param status: only for answers with these statuses: 200, 4xx, 400-499, and !200 for all others.
    @param types: only for these content types, such as text/html or text/*; the word text stands for all that is text,
        JSON, XML and JavaScript included, and answers without a type.
    @param limit: the longest body that is read for a pattern; a longer one answers 502, so that nothing gets past.
    """

    def __init__(
        self,
        to: str,
        pattern: re.Pattern[bytes] | None = None,
        status: StatusWords = (),
        types: Sequence[str] = ("text",),
        limit: Size = 1 << 20,
    ) -> None:
        """@raise ValueError: when a status or type is none, or C{to} names a group that there is not."""
        self._to = to.encode()
        self._template = Template(to, groupNames(pattern)) if pattern is not None else None
        self._pattern = pattern
        self._which = BodySelection(status, types)
        self._limit = limit

    def modify(self, request: InboundRequest, response: Response) -> Coroutine[Any, Any, None] | None:
        """Replace it."""
        if not self._which.chooses(request, response):
            return None
        forgetBytes(response)
        if self._pattern is not None and self._template is not None:
            return self._substitute(self._pattern, self._template, response)
        response.body = self._to
        return None

    async def _substitute(self, pattern: re.Pattern[bytes], to: Template, response: Response) -> None:
        body = await response.body.read(self._limit)
        response.body = pattern.sub(lambda match: to.fill(lambda name: groupOf(match, name)), body)

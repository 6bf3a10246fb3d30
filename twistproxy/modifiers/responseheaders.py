"""Headers of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from twistproxy.headeredits import HeaderEdits, HeaderValues
from twistproxy.interfaces import IResponseModifier
from twistproxy.messages import InboundRequest, Response


@implementer(IResponseModifier)
class ResponseHeaders:
    """Change headers of an upstream's answer, as response-headers:set=X-Frame-Options=DENY:remove=Server,X-Powered-By,
    or in a file { use = "response-headers", set = { X-Frame-Options = "DENY" }, remove = ["Server", "X-Powered-By"] }.

    In whatever order they are written, headers are first removed, then renamed, then set, then added. An underscore in
    a name counts as a hyphen. Within a string a comma in a value is written \\\\,.

    @param remove: names; with a star at its end, all that begin so.
    @param rename: OLD=NEW; lines that have the new name already give way, if there is one of the old.
    @param set: NAME=VALUE, in place of all lines of that name; a name given twice gets two lines.
    @param add: NAME=VALUE, beside the lines that there are.
    """

    def __init__(
        self,
        *,
        remove: Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        set: HeaderValues | None = None,
        add: HeaderValues | None = None,
    ) -> None:
        """@raise ValueError: when an edit cannot be made."""
        self._edits = HeaderEdits(remove, rename, set, add)

    def modify(self, request: InboundRequest, response: Response) -> None:
        """Make the edits."""
        self._edits.apply(response.headers)

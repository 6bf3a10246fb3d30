"""Headers of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from twistproxy.headeredits import HeaderEdits, HeaderValues
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest


@implementer(IDirector)
class RequestHeaders:
    """Change headers of the request that is sent on, as request-headers:set=X-A=1,X-B=2:remove=Cookie, or in a file
    { use = "request-headers", set = { X-A = "1", X-B = "2" }, remove = "Cookie" }.

    In whatever order they are written, headers are first removed, then renamed, then set, then added. An underscore in
    a name counts as a hyphen: who sets X-User removes a client's X_User too, which many programs take for the same.
    Within a string a comma in a value is written \\\\,.

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
        for name in (*remove, *(rename or {}), *(rename or {}).values(), *(set or {}), *(add or {})):
            if name.lower() == "host":
                raise ValueError("Host is the business of the director 'host', as in host:www.example.com")
        self._edits = HeaderEdits(remove, rename, set, add)

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Make the edits."""
        self._edits.apply(outbound.headers)

"""The client is sent elsewhere."""

from __future__ import annotations

import re
from typing import Final, Literal

from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest, Response
from twistproxy.publicurl import publicOrigin, splitPort
from twistproxy.text.template import Template, groupNames, groupOf

_NAMES: Final = ("scheme", "host", "path", "query", "target")
_ELSEWHERE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|\$(?:scheme|\{scheme\}):")
_MANY_SLASHES: Final = re.compile(rb"\A[/\\]{2,}")


@implementer(IDirector)
class Redirect:
    """Answer with a redirect, as redirect:https=yes, 'redirect:https\\://www.example.com$target:code=301', or
    'redirect:/new/$1:pattern=^/old/(.*)'. Requests that it is not for go on to the next director.

    A director before this one that changes path or query changes $path, $query and $target.

    @param to: where to. $scheme and $host (without a port) are those that the client used; $path, $query and $target,
        which is both, those of the request; $1 or $name are groups of the pattern. With https=yes it may be left out.
    @param code: 301 and 308 are for ever, 302, 303 and 307 for now; 307 and 308 keep method and body.
    @param https: only for requests that came over plain HTTP; behind another proxy, see the setting trusted-proxies.
    @param pattern: only for paths that match this regular expression.
    """

    def __init__(
        self,
        to: str = "",
        code: Literal[301, 302, 303, 307, 308] = 302,
        https: bool = False,
        pattern: re.Pattern[bytes] | None = None,
    ) -> None:
        """@raise ValueError: when C{to} is missing, or names what there is not."""
        if not to and not https:
            raise ValueError("needs to=... or https=yes")
        to = to or "https://$host$target"
        self._to = Template(to, [*_NAMES, *(groupNames(pattern) if pattern is not None else ())], forURL=True)
        self._isElsewhere = _ELSEWHERE.match(to) is not None
        self._code = code
        self._onlyPlain = https
        self._pattern = pattern

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Response | None:
        """Answer, if it is for this request."""
        scheme, authority = publicOrigin(inbound)
        if (self._onlyPlain and scheme == b"https") or outbound.path == b"*":
            return None
        match = self._pattern.search(outbound.path) if self._pattern is not None else None
        if match is None and self._pattern is not None:
            return None
        values = {
            "scheme": scheme, "host": splitPort(authority)[0], "path": outbound.path, "query": outbound.query or b"",
            "target": outbound.target,
        }  # fmt: skip

        def value(name: str) -> bytes:
            if match is not None and name not in values:
                return groupOf(match, name)
            return values[name]

        location = self._to.fill(value)
        if not self._isElsewhere:
            # What the client wrote must not become the name of a host: //evil.example/ is one.
            location = _MANY_SLASHES.sub(b"/", location)
        return Response(self._code, [(b"Location", location)])

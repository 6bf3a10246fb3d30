"""The upstream keeps below a path what the world sees without it."""

from __future__ import annotations

from zope.interface import implementer

from twistproxy.directors.prefixes import PathPrefix, withoutDots
from twistproxy.forwarding import joinPath
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest


@implementer(IDirector)
class AddPrefix:
    """Put a prefix before the path, with one slash between them: add-prefix:/app makes /app/users of /users.

    /./ and /../ in a path are resolved first, so that nobody gets out of the prefix; other paths stay byte for byte. An
    upstream's own base path, as in http://10.0.0.1/base, is put before that.

    @param prefix: what is put before the path.
    """

    def __init__(self, prefix: str) -> None:
        """@raise ValueError: when it is no prefix."""
        self._prefix = PathPrefix(prefix).path

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Put it before the path."""
        outbound.path = joinPath(self._prefix, withoutDots(outbound.path))

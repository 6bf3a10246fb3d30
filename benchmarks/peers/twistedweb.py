"""Twisted's own reverse proxy, with no access log: C{python twistedweb.py PORT UPSTREAM_PORT}."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.web.http import Request
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import Site

reactor: Any = _reactor


class QuietSite(Site):
    """A site that logs no requests."""

    def log(self, request: Request) -> None:
        """Do not."""


def main(port: int, upstreamPort: int) -> None:
    """Serve until stopped."""
    site = QuietSite(ReverseProxyResource("127.0.0.1", upstreamPort, b""))  # type: ignore[no-untyped-call]
    reactor.listenTCP(port, site, interface="127.0.0.1", backlog=1024)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

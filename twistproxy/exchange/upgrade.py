"""Who may switch protocols: the checks on an upgrade's request and on the 101 that answers it. Pure.

A proxy that takes a 101 for granted relays whatever follows as if somebody had asked for it: both sides must have, for
the same protocol. Rules as in Go's ReverseProxy and HAProxy's websocket tests, with the gaps of either closed.
"""

from __future__ import annotations

import re
from typing import Final

from twistproxy.errors import BAD_REQUEST, METHOD_NOT_ALLOWED, UPSTREAM_PROTOCOL, ProxyError
from twistproxy.forwarding import upgradeTokens
from twistproxy.wire.guard import single
from twistproxy.wire.http1 import RequestHead, ResponseHead

_PRINTABLE: Final = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*\Z")


TUNNEL: Final = b" CONNECT"
"""What is asked for by CONNECT; no token of Upgrade looks like it."""


def checkSwitchRequest(head: RequestHead, acceptsConnect: bool) -> bytes:
    """What the connection is to become, by CONNECT or Upgrade: L{TUNNEL}, or as L{checkUpgradeRequest} says.

    @param acceptsConnect: whether there are tunnels at all.
    @raise ProxyError: 405, or 400.
    """
    if head.method != b"CONNECT":
        return checkUpgradeRequest(head)
    if not acceptsConnect:
        raise ProxyError(METHOD_NOT_ALLOWED, "CONNECT")
    if head.length != 0:
        raise ProxyError(BAD_REQUEST, "a CONNECT with a body")
    return TUNNEL


def isEndedByRefusal(code: int, behind: int) -> bool:
    """Whether the connection of a CONNECT that was not granted has to be closed, and what came behind it thrown away.

    RFC 9931: a client that tunnels for others may have sent their bytes already, and read as requests they would be its own.
    So it is always closed, but for a client that is asked who it is and has sent nothing yet: it says so on the same
    connection, and what it would send without doing so is refused like this was.

    @param code: of the answer.
    @param behind: bytes that came behind the request.
    """
    return behind > 0 or code not in (401, 407)


def checkUpgradeRequest(head: RequestHead) -> bytes:
    """What to ask the upstream to upgrade to; empty for nothing.

    C{h2c} is left out, and the request, body and all, goes on as plain HTTP: an h2c tunnel would carry requests past
    every rule. Any other upgrade with a body is refused: where the body ends and the tunnel begins is what request
    smuggling disagrees about.

    @raise ProxyError: 400.
    """
    wanted = upgradeTokens(head.upgrade)
    if not wanted:
        return b""
    if head.length != 0:
        raise ProxyError(BAD_REQUEST, "an upgrade with a body")
    for each in wanted:
        if not _PRINTABLE.match(each):
            raise ProxyError(BAD_REQUEST, "an unprintable protocol in Upgrade")
    if any(each.lower() == b"websocket" for each in wanted) and not single(head.items, b"sec-websocket-key"):
        raise ProxyError(BAD_REQUEST, "a WebSocket upgrade without Sec-WebSocket-Key")
    return b", ".join(wanted)


def checkUpgradeAnswer(wanted: bytes, head: ResponseHead, lenient: bool) -> bytes:
    """The protocol that a 101 switches to, as it spells it.

    @param wanted: what was asked for; empty for nothing.
    @param lenient: whether Connection may fail to name Upgrade.
    @raise ProxyError: 502.
    """
    if not wanted:
        raise ProxyError(UPSTREAM_PROTOCOL, "a 101 that nobody asked for")
    given = [each.strip(b" \t") for each in b",".join(head.upgrade).split(b",") if each.strip(b" \t")]
    asked = {each.strip().lower() for each in wanted.split(b",")}
    if len(given) != 1 or given[0].lower() not in asked:
        raise ProxyError(UPSTREAM_PROTOCOL, "a 101 to another protocol than asked for")
    if not head.upgradeNamed and not lenient:
        raise ProxyError(UPSTREAM_PROTOCOL, "a 101 without Connection: upgrade")
    if given[0].lower() == b"websocket" and not single(head.items, b"sec-websocket-accept"):
        raise ProxyError(UPSTREAM_PROTOCOL, "a WebSocket 101 without Sec-WebSocket-Accept")
    return given[0]

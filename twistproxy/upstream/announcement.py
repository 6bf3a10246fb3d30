"""What a connection to an upstream begins with, where the upstream is told by the PROXY protocol who it is for."""

from __future__ import annotations

from twistproxy.messages import Address, InboundRequest
from twistproxy.wire.proxyprotocol import Version, encodeHeader


def announcement(version: Version, request: InboundRequest) -> bytes:
    """The header for a request: from the client to the address that it connected to.

    Requests with the same header may share a connection, one after the other. The port is the client's own as long as the
    client is our peer; what trusted proxies tell of clients has none.
    """
    client, peer = request.client, request.peer
    port = client.port or (peer.port if client.host == peer.host else 0)
    return encodeHeader(version, Address(client.host, port), request.local)

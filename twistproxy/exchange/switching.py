"""From a 101, or the 200 of a CONNECT, to a tunnel: the client gets the head, and both connections are spliced."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.answers.errorpage import statusPhrase
from twistproxy.exchange.attempt import UpstreamAttempt
from twistproxy.exchange.delivery import ClientStream
from twistproxy.forwarding import responseItems
from twistproxy.messages import InboundRequest, Response
from twistproxy.settings import Settings
from twistproxy.tunnels.tunnel import Tunnel, TunnelStatistics
from twistproxy.wire.guard import SWITCHED


def switch(
    client: ClientStream,
    attempt: UpstreamAttempt,
    request: InboundRequest,
    response: Response,
    protocol: bytes,
    settings: Settings,
    ended: Callable[[TunnelStatistics], None],
) -> Tunnel:
    """Send the head and splice. The stages of both messages are those of what follows.

    @param protocol: that both sides switch to; not told for a CONNECT.
    @param settings: those of the route.
    @param ended: called when both connections are gone, after the attempt was reported.
    """
    connection = attempt.connection
    assert connection is not None
    # RFC 9110 sections 8.6 and 9.3.6: neither a 101 nor the 2xx of a CONNECT has a length.
    items = [item for item in responseItems(response.headers.items, ()) if item[0] != b"content-length"]
    if response.code == 101:
        items += [(b"connection", b"Connection", b"Upgrade"), (b"upgrade", b"Upgrade", protocol)]
    client.sendHead(response.code, response.phrase or statusPhrase(response.code), items, SWITCHED)
    client.flush()

    def tunnelEnded(statistics: TunnelStatistics) -> None:
        attempt.connection = None
        attempt.bytesIn, attempt.bytesOut = statistics.fromClient, statistics.fromUpstream
        attempt.end("")
        ended(statistics)

    splicer = attempt.splicer if settings.splice else None
    idle = settings.tunnelIdleTimeout
    tunnel = Tunnel(client.transport, connection.transport, attempt.sweeper, idle, tunnelEnded, splicer)
    if request.stages:
        tunnel.client.slow(request.stages)
    if response.stages:
        tunnel.upstream.slow(response.stages)
    fromUpstream = connection.startTunnel(tunnel.upstream)
    tunnel.start(client.splice(tunnel.client), fromUpstream)
    return tunnel

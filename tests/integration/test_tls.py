"""Tunnels with TLS on either side, on real sockets; the peers are Twisted's own TLS. Those without any: test_upgrades.py."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from socket import SHUT_WR
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone

from tests.support.certificates import issued, ofTwisted, trustOfTwisted, write, writeAuthority
from tests.support.dialogue import Peer, settled
from tests.support.messages import request, response
from tests.support.network import Network
from twistproxy.messages import Upstream
from twistproxy.tls.config import CertificateFiles, ServerTLS, UpstreamTLS
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore

SERVER = issued("localhost")
ASK = request(b"/", b"Connection: Upgrade", b"Upgrade: echo")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class SecureEndpoint:
    """Where a proxy listens with TLS."""

    def __init__(self, directory: Path) -> None:
        self._store = CertificateStore(ServerTLS((CertificateFiles(*write(directory, SERVER)),)))

    def listen(self, factory: Any) -> Any:
        """As an endpoint."""
        below = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        return below.listen(SecureFactory(self._store, factory))


class Chain:
    """A client, a proxy and an upstream, with TLS where it is wanted."""

    def __init__(self, network: Network, directory: Path, fromClient: bool, toUpstream: bool) -> None:
        self.network = network
        self.directory = directory
        self.fromClient = fromClient
        self.toUpstream = toUpstream

    async def ask(self, data: bytes) -> tuple[Peer, Peer]:
        """Both ends, once the upstream has the request."""
        if self.toUpstream:
            endpoint = SSL4ServerEndpoint(reactor, 0, ofTwisted(SERVER).options(), interface="127.0.0.1")
            upstream = await self.network.upstream(endpoint, "localhost", "https")
            known: Any = Upstream(upstream.url, tls=UpstreamTLS(ca=writeAuthority(self.directory)))
        else:
            known = upstream = await self.network.upstream()
        proxy = await self.network.proxy(known, endpoint=SecureEndpoint(self.directory) if self.fromClient else None)
        self.pools = proxy.engine.pools
        to: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.address.port)
        if self.fromClient:
            to = wrapClientTLS(ssl.optionsForClientTLS("localhost", trustRoot=trustOfTwisted()), to)
        client = await self.network.client(to)
        client.write(data)
        server = await upstream.accept()
        await server.readMessage()
        return client, server

    async def tunnel(self) -> tuple[Peer, Peer]:
        """Both ends of a tunnel."""
        client, server = await self.ask(ASK)
        server.write(SWITCH)
        assert (await client.readHead()).code == 101
        return client, server


@pytest.fixture(params=["plain-tls", "tls-plain", "tls-tls"])
def chain(request: pytest.FixtureRequest, network: Network, tmp_path: Path) -> Chain:
    """Each way."""
    client, upstream = request.param.split("-")
    return Chain(network, tmp_path, client == "tls", upstream == "tls")


@pytest_twisted.ensureDeferred
async def test_everythingArrives(chain: Chain) -> None:
    client, server = await chain.tunnel()
    data = bytes(range(256)) * 4096
    for sender, receiver in ((client, server), (server, client)):
        digest = sha256()
        for number in range(8):
            piece = bytes([number]) + data
            digest.update(piece)
            sender.write(piece)
        assert sha256(await receiver.read(8 * (len(data) + 1))).digest() == digest.digest()
    client.write(b"ping")
    assert await server.read(4) == b"ping"


@pytest.mark.parametrize("chain", ["tls-tls"], indirect=True)
@pytest_twisted.ensureDeferred
async def test_aSideThatDoesNotReadStopsTheOther(chain: Chain) -> None:
    """Where kernels allow receive buffers of 32 MiB, they alone may take more than that on the way."""
    for first in (0, 1):
        ends = await chain.tunnel()
        sender, receiver = ends[first], ends[1 - first]
        receiver.pause()
        pouring = sender.pour(b"x" * 65536, (256 << 20) // 65536)
        await settled(reactor, lambda pouring=pouring: pouring.poured)
        assert not pouring.done, "it is all held somewhere"
        receiver.resume()
        size = 8 << 20
        assert len(await receiver.read(size)) == size
        sender.abort()
        receiver.abort()


@pytest_twisted.ensureDeferred
async def test_theEndOfOneSide(chain: Chain) -> None:
    """What was sent before it arrives. The other direction lasts as long as the other side wants, which for Twisted's TLS is no
    longer."""
    for first in (0, 1):
        ends = await chain.tunnel()
        leaving, staying = ends[first], ends[1 - first]
        last = b"last" * 100_000
        leaving.write(last)
        if chain.fromClient if first == 0 else chain.toUpstream:
            leaving.close()
        else:
            leaving.finish()
        assert await staying.read(len(last)) == last
        await staying.ended()
        staying.close()
        await leaving.ended()
        for each in ends:
            each.close()
            assert (await each.gone()).type is ConnectionDone


@pytest_twisted.ensureDeferred
async def test_aSideThatIsCut(chain: Chain) -> None:
    """A break is not passed on as an end. (C{abort} of Twisted's TLS sends a close_notify first.)"""
    for first in (0, 1):
        ends = await chain.tunnel()
        below: Any = getattr(ends[first].transport, "transport", ends[first].transport)
        below.abortConnection()
        reason = await ends[1 - first].gone()
        assert reason.type.__name__ != "ConnectionDone"


@pytest_twisted.ensureDeferred
async def test_exchangesBothWays(chain: Chain) -> None:
    body = bytes(range(256)) * 8192
    client, server = await chain.ask(request(b"/", method=b"POST", body=body))
    server.write(response(body))
    assert (await client.readMessage()).body == body
    client.write(request(b"/2"))
    assert (await server.readMessage()).head.line == b"GET /2 HTTP/1.1"
    server.write(response(b"again"))
    assert (await client.readMessage()).body == b"again"
    # The end of an idle connection is there before the reactor tells of it, with TLS and without.
    (pool,) = chain.pools
    connection = pool.acquire()
    assert not connection.hasEnded()
    below: Any = getattr(server.transport, "transport", server.transport)
    below.getHandle().shutdown(SHUT_WR)
    assert connection.hasEnded()
    connection.close()

"""Hundreds of exchanges in which either side misbehaves at any moment: nobody gets a wrong byte, and nothing is left."""

from __future__ import annotations

import random

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.support.dialogue import Peer
from tests.support.messages import CHUNKED, LAST_CHUNK, chunk
from tests.support.network import LiveProxy, Network

CLIENTS = 40
TURNS = 12


class Chaos:
    """Clients and upstreams of one mood.

    @ivar answered: exchanges that came to their end.
    @ivar broken: those that did not.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.answered = 0
        self.broken = 0

    def happens(self, chance: float) -> bool:
        """Whether something does."""
        return self.random.random() < chance

    async def rest(self) -> None:
        """For a moment, or not at all."""
        if self.happens(0.5):
            await deferLater(reactor, self.random.random() / 100)

    async def send(self, peer: Peer, data: bytes) -> bool:
        """Send in pieces; whether the connection was left alone meanwhile."""
        at = 0
        while at < len(data):
            if self.happens(0.03):
                self.leave(peer)
                return False
            size = self.random.choice((1, 10, 1000, 100000))
            peer.write(data[at : at + size])
            at += size
            await self.rest()
        return True

    def leave(self, peer: Peer) -> None:
        """In any manner."""
        self.random.choice((peer.abort, peer.close, peer.abort if peer.reason else peer.finish))()

    def body(self) -> bytes:
        """Of any size."""
        return self.random.randbytes(self.random.choice((0, 1, 100, 5000, 70000, 300000)))

    def framed(self, body: bytes, fields: bytes) -> bytes:
        """With a length or in chunks."""
        if self.happens(0.5):
            return fields + b"Content-Length: %d\r\n\r\n" % len(body) + body
        at, chunks = 0, b""
        while at < len(body):
            size = self.random.choice((1 + len(body) // 10, len(body)))
            chunks += chunk(body[at : at + size])
            at += size
        return fields + CHUNKED + b"\r\n\r\n" + chunks + LAST_CHUNK

    async def serve(self, peer: Peer) -> None:
        """One upstream connection: it answers with what it got, backwards."""
        while True:
            head = await peer.readHead()
            if self.happens(0.05):  # an early answer
                early = b"HTTP/1.1 400 early\r\nContent-Length: 5\r\n" + (b"Connection: close\r\n" * self.happens(0.5))
                if not await self.send(peer, early + b"\r\nearly") or b"close" in early:
                    peer.close()
                    return
                await peer.readBody(head)
            else:
                body, _ = await peer.readBody(head)
                await self.rest()
                if self.happens(0.1):
                    peer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
                toHead = head.line.startswith(b"HEAD")
                close = self.happens(0.1)
                answer = self.framed(body[::-1], b"HTTP/1.1 200 OK\r\n" + b"Connection: close\r\n" * close)
                if toHead:
                    answer = answer[: answer.index(b"\r\n\r\n") + 4]
                if not await self.send(peer, answer):
                    return
                if close or self.happens(0.05):
                    peer.close()
                    return

    async def ask(self, proxy: LiveProxy) -> None:
        """One client's connections."""
        client = await proxy.connect()
        for _ in range(TURNS):
            if client.inputEnded:
                client = await proxy.connect()
            body = self.body()
            method = self.random.choice((b"GET", b"POST", b"PUT", b"HEAD"))
            try:
                isWhole = await self.send(client, self.framed(body, method + b" / HTTP/1.1\r\nHost: a\r\n"))
                if not isWhole:
                    raise AssertionError("it left")
                if self.happens(0.1):
                    client.pause()
                    await self.rest()
                    client.resume()
                head = await client.readHead()
                while head.code < 200:
                    head = await client.readHead()
                if method == b"HEAD" or head.code != 200:
                    assert head.code in (200, 400, 502), head
                    if method != b"HEAD":
                        await client.readBody(head)
                else:
                    got, _ = await client.readBody(head)
                    if got != body[::-1]:
                        raise RuntimeError(f"{len(got)} bytes for {len(body)}")
                self.answered += 1
                if head.get(b"connection") == b"close":
                    await client.ended()
            except AssertionError:
                self.broken += 1
                assert client.inputEnded or client.disconnected, client
                client.abort()
                await client.gone()


@pytest.mark.parametrize("seed", range(4))
@pytest_twisted.ensureDeferred
async def test_nothingIsLeftOfChaos(network: Network, seed: int) -> None:
    chaos = Chaos(seed)
    upstreams = [await network.upstream() for _ in range(3)]
    for upstream in upstreams:
        upstream.handle(chaos.serve)
    limits = {"maxConnectionsPerUpstream": 5} if seed % 2 else {}
    proxy = await network.proxy(*upstreams, **limits)
    await gatherResults([Deferred.fromCoroutine(chaos.ask(proxy)) for _ in range(CLIENTS)], consumeErrors=True)
    assert chaos.answered > CLIENTS * TURNS // 2, f"{chaos.answered} answers, {chaos.broken} that broke off"
    for client in network.peers:
        client.abort()
    await proxy.quiet()
    await network.until(lambda: not proxy.engine.channels, "connections of clients are left")
    pools = list(proxy.engine.pools)
    await network.until(lambda: all(pool.total == pool.idle for pool in pools), f"connections are in use: {pools}")
    assert len(proxy.engine.pools.room) == 0
    assert [each.inFlight for each in proxy.proxy.upstreams] == [0, 0, 0]

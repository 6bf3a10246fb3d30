"""The tables of raw bytes again, now sent to a proxy that listens, or answered by an upstream behind it.

h11 reads what the proxy sends to the upstream and to the client: an opinion that is not ours about whether it is HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import h11
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.error import ConnectionDone

from tests.conformance import requests, responses
from tests.support.dialogue import Peer
from tests.support.messages import request
from tests.support.network import LiveProxy, Network

LIMIT = 3.0
"""Seconds for an answer that comes at once; the timeouts of the proxy are longer."""


class Behind:
    """The upstream, and what it was asked.

    @ivar asked: targets of complete requests.
    @ivar received: how many bytes came.
    @ivar answer: what it answers, and whether it closes then.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.received = 0
        self.answer = b""
        self.closes = False

    async def serve(self, peer: Peer) -> None:
        """One connection."""
        reading = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 18)
        target = b""
        while True:
            event = reading.next_event()
            if event is h11.NEED_DATA:
                await peer.until(lambda: bool(peer.received) or peer.inputEnded, 60.0)
                if not peer.received:
                    peer.close()
                    return
                self.received += len(peer.received)
                reading.receive_data(await peer.read(len(peer.received)))
            elif isinstance(event, h11.Request):
                target = event.target
            elif isinstance(event, h11.EndOfMessage):
                self.asked.append(target)
                peer.write(self.answer)
                if self.closes:
                    peer.close()
                    return
                reading.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                reading.send(h11.EndOfMessage())
                reading.start_next_cycle()


class Stage:
    """A proxy before an upstream.

    @ivar failures: what was raised in the upstream.
    """

    def __init__(self, network: Network, proxy: LiveProxy, behind: Behind) -> None:
        self.network = network
        self.proxy = proxy
        self.behind = behind
        self.failures: list[str] = []


async def staged(settings: Any) -> AsyncIterator[Stage]:
    """A proxy with some settings."""
    network = Network()
    try:
        upstream = await network.upstream()
        behind = Behind()
        proxy = await network.proxy(upstream, maxBodyBytes=settings.maxBodyBytes)
        stage = Stage(network, proxy, behind)

        async def serve(peer: Peer) -> None:
            try:
                await behind.serve(peer)
            except h11.RemoteProtocolError as error:
                stage.failures.append(f"the upstream got no HTTP: {error}")
                peer.abort()

        upstream.handle(serve)
        yield stage
    finally:
        await network.close()


@pytest_twisted.async_yield_fixture(scope="module")
async def asking() -> AsyncIterator[Stage]:
    """Where requests are tried."""
    async for stage in staged(requests.SETTINGS):
        yield stage


@pytest_twisted.async_yield_fixture(scope="module")
async def answering() -> AsyncIterator[Stage]:
    """Where responses are tried."""
    async for stage in staged(responses.SETTINGS):
        stage.behind.closes = True
        yield stage


@pytest.mark.parametrize("case", requests.CASES, ids=[case.name for case in requests.CASES])
@pytest_twisted.ensureDeferred
async def test_request(asking: Stage, case: requests.Case) -> None:
    behind = asking.behind
    before, received = len(behind.asked), behind.received
    behind.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    client = await asking.proxy.connect()
    client.write(case.data)
    await client.until(lambda: b"\r\n\r\n" in client.received or client.inputEnded, LIMIT)
    head = await client.readHead()
    expected = case.status or case.proxied
    assert head.code == (expected or 200), head
    if expected is None:
        assert len(behind.asked) == before + 1
    else:
        assert len(behind.asked) == before
        # What is longer than one read can be on its way before its end is looked at.
        assert behind.received == received or len(case.data) > 65536, "the upstream saw some of it"
        if b"HEAD" not in case.data[:8]:
            await client.read(int(head.get(b"content-length") or 0))
    if case.status is not None:
        assert head.get(b"connection") == b"close"
        await client.until(lambda: client.inputEnded, LIMIT)
        assert client.received == b"", "more than one answer"
    client.abort()
    assert asking.failures == []


async def received(client: Peer, toHead: bool) -> tuple[h11.Response, bytes, bool]:
    """The final answer's head, its body, and whether it was complete."""
    reading = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 18)
    reading.send(h11.Request(method="HEAD" if toHead else "GET", target="/", headers=[("host", "a")]))
    reading.send(h11.EndOfMessage())
    head, body = None, b""
    while True:
        try:
            event = reading.next_event()
        except h11.RemoteProtocolError:
            assert head is not None and client.inputEnded, client
            return head, body, False
        if event is h11.NEED_DATA:
            await client.until(lambda: bool(client.received) or client.inputEnded, LIMIT)
            assert client.reason is None or client.reason.check(ConnectionDone) or client.received, client
            reading.receive_data(await client.read(len(client.received)))  # nothing: the end
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            assert reading.trailing_data == (b"", False), "more than one answer"
            return head, body, True


@pytest.mark.parametrize("case", responses.CASES, ids=[case.name for case in responses.CASES])
@pytest_twisted.ensureDeferred
async def test_response(answering: Stage, case: responses.Case) -> None:
    answering.behind.answer = case.data
    client = await answering.proxy.connect()
    client.write(request(method=b"HEAD" if case.toHead else b"GET"))
    head, body, isComplete = await received(client, case.toHead)
    if case.expected is None:
        assert (head.status_code, isComplete) == (502, True)
    else:
        status, length, contents = case.expected
        assert (head.status_code, body, isComplete) == (status, contents, not case.truncated)
        if length > 0:
            assert (b"content-length", b"%d" % length) in list(head.headers)
    client.abort()
    assert answering.failures == []


@pytest_twisted.ensureDeferred
async def test_nothingIsLeftBehind(asking: Stage, answering: Stage) -> None:
    for stage in (asking, answering):
        await stage.proxy.quiet()
        await stage.network.until(lambda stage=stage: not stage.proxy.engine.channels, "connections of clients are left")
    assert reactor.running

"""Where uvloop's own transports break Twisted's contract, and the reactor's do not; then TLS by uvloop.

The first part holds on any reactor and runs on several: C{test_reactors.py} runs this file on the uvloop reactor.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as globalReactor
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.integration.test_places import certificate as certificate
from tests.unit.testing.scenarios.world import HalfRecorder, Producer, Recorder, factoryOf
from twistproxy.reactor.interfaces import IReactorStandardTLS
from twistproxy.reactor.writer import ConnectionWriter
from twistproxy.transports.tcp import tune
from twistproxy.transports.writing import EagerWriter, IWriterSource, writerFor

reactor: Any = globalReactor
isUvloop = IReactorStandardTLS.providedBy(reactor)
onlyUvloop = pytest.mark.skipif(not isUvloop, reason="this reactor is not uvloop's")
RESET = struct.pack("ii", 1, 0)


async def until(holds: Callable[[], object], limit: float = 4.0) -> None:
    deadline = reactor.seconds() + limit
    while not holds():
        assert reactor.seconds() < deadline, "it never came"
        await deferLater(reactor, 0.005)


class Pair:
    """A protocol of ours that accepted, and a plain socket that connected."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.port = reactor.listenTCP(0, Factory.forProtocol(lambda: recorder), interface="127.0.0.1")
        self.socket = socket.create_connection(("127.0.0.1", self.port.getHost().port))

    async def __aenter__(self) -> Pair:
        await until(lambda: self.recorder.events)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()
        if self.recorder.transport.connected:
            self.recorder.transport.abortConnection()
        await self.port.stopListening()
        await until(lambda: any(each.startswith("lost") for each in self.recorder.events))

    async def readAll(self) -> bytes:
        """What the socket gets until its end; an exception if that is a reset."""
        self.socket.setblocking(False)
        received = b""
        while True:
            try:
                piece = self.socket.recv(1 << 20)
            except BlockingIOError:
                await deferLater(reactor, 0.005)
            else:
                if not piece:
                    return received
                received += piece


@pytest_twisted.ensureDeferred
async def test_pausingInConnectionMadeIsHeeded() -> None:
    recorder = HalfRecorder()
    recorder.atConnect = lambda each: each.transport.pauseProducing()
    async with Pair(recorder) as pair:
        pair.socket.sendall(b"early")
        pair.socket.shutdown(socket.SHUT_WR)
        await deferLater(reactor, 0.05)
        assert recorder.events == ["made"]
        recorder.transport.resumeProducing()
        await until(lambda: "read closed" in recorder.events)
        assert recorder.events == ["made", "data", "read closed"]
        assert recorder.received == b"early"


@pytest_twisted.ensureDeferred
async def test_whatCameBeforeThePauseInConnectionMadeIsHeededTooIfItIsLiftedLaterBitByBit() -> None:
    recorder = Recorder()

    def pause(each: Any) -> None:
        each.transport.pauseProducing()

    recorder.atConnect = recorder.atData = pause
    async with Pair(recorder) as pair:
        sent = b""
        for piece in (b"one", b"two", b"three"):
            pair.socket.sendall(piece)
            sent += piece
            await deferLater(reactor, 0.02)
            assert len(recorder.received) < len(sent)
            recorder.transport.resumeProducing()
            await until(lambda sent=sent: recorder.received == sent)  # type: ignore[misc]


@pytest_twisted.ensureDeferred
async def test_anAbortIsAReset() -> None:
    async with Pair(Recorder()) as pair:
        pair.recorder.transport.write(b"x")
        pair.recorder.transport.abortConnection()
        with pytest.raises(ConnectionResetError):
            await pair.readAll()
        await until(lambda: pair.recorder.events[-1] == f"lost {ConnectionAborted.__name__}")


@pytest_twisted.ensureDeferred
async def test_anAbortInConnectionMadeIsAReset() -> None:
    recorder = Recorder()
    recorder.atConnect = lambda each: each.transport.abortConnection()
    async with Pair(recorder) as pair:
        with pytest.raises(ConnectionResetError):
            await pair.readAll()
        assert recorder.events == ["made", "lost ConnectionAborted"]


@pytest_twisted.ensureDeferred
async def test_writingAfterTheHalfCloseIsIgnored() -> None:
    recorder = HalfRecorder()
    async with Pair(recorder) as pair:
        recorder.transport.write(b"all of it")
        recorder.transport.loseWriteConnection()
        await until(lambda: "write closed" in recorder.events)
        recorder.transport.write(b"too late")
        recorder.transport.writeSequence([b"too", b"late"])
        assert await pair.readAll() == b"all of it"
        pair.socket.sendall(b"still heard")
        await until(lambda: recorder.received == b"still heard")


@pytest_twisted.ensureDeferred
async def test_aHalfCloseAndEverythingBeforeItAskedForInConnectionMade() -> None:
    recorder = HalfRecorder()

    def say(each: Any) -> None:
        each.transport.write(b"hello")
        each.transport.loseWriteConnection()
        each.transport.write(b", again")

    recorder.atConnect = say
    async with Pair(recorder) as pair:
        assert await pair.readAll() == b"hello, again"
        assert recorder.events == ["made", "write closed"]


@pytest_twisted.ensureDeferred
async def test_afterBothHalfClosesItIsTheProtocolsToClose() -> None:
    recorder = HalfRecorder()
    async with Pair(recorder) as pair:
        pair.socket.shutdown(socket.SHUT_WR)
        await until(lambda: "read closed" in recorder.events)
        recorder.transport.resumeProducing()  # as a tunnel may: there is no more to come, and no second end
        recorder.transport.loseWriteConnection()
        await until(lambda: "write closed" in recorder.events)
        await deferLater(reactor, 0.02)
        assert recorder.events.count("read closed") == 1 or not isUvloop
        assert not any(each.startswith("lost") for each in recorder.events)
        recorder.transport.loseConnection()
        assert recorder.events[-1] == "lost ConnectionDone"


@pytest_twisted.ensureDeferred
async def test_aResetIsNoticedOnceReadingGoesOn() -> None:
    recorder = Recorder()
    async with Pair(recorder) as pair:
        recorder.transport.pauseProducing()
        pair.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        pair.socket.close()
        await deferLater(reactor, 0.02)
        recorder.transport.resumeProducing()
        await until(lambda: recorder.events[-1] == f"lost {ConnectionLost.__name__}")


@pytest_twisted.ensureDeferred
async def test_aResetIsNoticedWhilePausedWhereSomethingIsToBeSent() -> None:
    recorder = Recorder()
    async with Pair(recorder) as pair:
        recorder.transport.pauseProducing()
        recorder.transport.write(bytes(32 << 20))
        await deferLater(reactor, 0.02)
        pair.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        pair.socket.close()
        await until(lambda: recorder.events[-1] == f"lost {ConnectionLost.__name__}")


@pytest_twisted.ensureDeferred
async def test_whatIsWrittenIsSentBeforeALossThatWasAskedFor() -> None:
    recorder = Recorder()
    async with Pair(recorder) as pair:
        recorder.transport.write(bytes(8 << 20))
        recorder.transport.writeSequence([bytes(1 << 20)] * 8)
        recorder.transport.loseConnection()
        recorder.transport.write(b"last")
        assert await pair.readAll() == bytes(16 << 20) + b"last"
        assert recorder.events == ["made", "lost ConnectionDone"]


@pytest_twisted.ensureDeferred
async def test_aProducerIsPausedWhenTheKernelTakesNoMoreAndResumedWhenAllIsSent() -> None:
    recorder = Recorder()
    async with Pair(recorder) as pair:
        recorder.transport.registerProducer(Producer(recorder), True)
        written = 0
        while "pause" not in recorder.events:
            recorder.transport.write(bytes(60_000))
            written += 60_000
            assert written < 64 << 20
        recorder.transport.loseConnection()  # waits for it
        pair.socket.setblocking(False)
        received = 0
        while "resume" not in recorder.events:
            try:
                received += len(pair.socket.recv(1 << 20))
            except BlockingIOError:
                await deferLater(reactor, 0.005)
        recorder.transport.write(b"end")
        recorder.transport.unregisterProducer()
        assert received + len(await pair.readAll()) == written + 3


@pytest_twisted.ensureDeferred
async def test_aPullProducerFeedsItToTheEnd() -> None:
    recorder = Recorder()
    left = [bytes(50_000)] * 100

    class Pulled:
        def resumeProducing(self) -> None:
            if left:
                recorder.transport.write(left.pop())
            else:
                recorder.transport.unregisterProducer()
                recorder.transport.loseConnection()

        def stopProducing(self) -> None:
            recorder.note("stop")

    async with Pair(recorder) as pair:
        recorder.transport.registerProducer(Pulled(), False)
        assert len(await pair.readAll()) == 5_000_000
        assert recorder.events == ["made", "lost ConnectionDone"]


@pytest_twisted.ensureDeferred
async def test_aUNIXPeerHasNoNameAndItsPathHas(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server, client = Recorder(), Recorder()
    port = reactor.listenUNIX(path, Factory.forProtocol(lambda: server))
    reactor.connectUNIX(path, factoryOf(client))
    await until(lambda: server.events and client.events)
    accepted: Any = server.transport
    connected: Any = client.transport
    assert (accepted.getPeer(), accepted.getHost()) == (UNIXAddress(None), UNIXAddress(path))
    assert (connected.getPeer(), connected.getHost()) == (UNIXAddress(path), UNIXAddress(None))
    connected.loseConnection()
    await until(lambda: "lost ConnectionDone" in server.events)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_aCopyOfTheDescriptorDoesNotKeepTheConnectionOpen() -> None:
    async with Pair(Recorder()) as pair:
        copy = os.dup(pair.recorder.transport.getHandle().fileno())
        try:
            pair.recorder.transport.loseConnection()
            assert await pair.readAll() == b""
        finally:
            os.close(copy)


@pytest_twisted.ensureDeferred
async def test_anAdoptedPortAccepts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        recorder = Recorder()
        port = reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, Factory.forProtocol(lambda: recorder))
        with socket.create_connection(listening.getsockname()) as client:
            client.sendall(b"hello")
            await until(lambda: recorder.received == b"hello")
            assert IWriterSource.providedBy(recorder.transport) is isUvloop
        await until(lambda: recorder.events[-1] == "lost ConnectionDone")
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_theWriterIsTheOneForTheTransport() -> None:
    class Owner:
        def writingPaused(self) -> None: ...

        def writingResumed(self) -> None: ...

    async with Pair(Recorder()) as pair:
        assert type(writerFor(pair.recorder.transport, Owner())) is (ConnectionWriter if isUvloop else EagerWriter)


@pytest_twisted.ensureDeferred
async def test_laterConnectionsInheritWhatTheFirstAreTunedWith() -> None:
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder())
        return made[-1]

    def interval(recorder: Recorder) -> int:
        transport: Any = recorder.transport
        handle = transport.getHandle()
        assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        return int(handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE))

    port = reactor.listenTCP(0, Factory.forProtocol(build), interface="127.0.0.1", backlog=1)
    clients = []
    for number in range(5):
        clients.append(socket.create_connection(("127.0.0.1", port.getHost().port)))
        await until(lambda number=number: len(made) > number and made[number].events)  # type: ignore[misc]
        tune(made[number].transport, 30.0)
    assert [interval(each) for each in made] == [30] * 5
    tune(made[4].transport, 60.0)
    assert [interval(each) for each in made] == [30, 30, 30, 30, 60]
    for client in clients:
        client.close()
    await until(lambda: all(each.events[-1].startswith("lost") for each in made))
    await port.stopListening()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_aPortStopsAcceptingAndStartsAgain() -> None:
    recorder = Recorder()
    port = reactor.listenTCP(0, Factory.forProtocol(lambda: recorder), interface="127.0.0.1")
    port.stopReading()
    with socket.create_connection(("127.0.0.1", port.getHost().port)):
        await deferLater(reactor, 0.05)
        assert recorder.events == []
        assert port not in reactor.getReaders()
        port.startReading()
        await until(lambda: recorder.events)
        assert port in reactor.getReaders()
    await until(lambda: recorder.events[-1].startswith("lost"))
    await port.stopListening()
    assert port not in reactor.getReaders()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_moreAreTakenInATurnWhereTheyComeFaster() -> None:
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder())
        return made[-1]

    reactor.batch.turns += 1000  # before it was there
    port = reactor.listenTCP(0, Factory.forProtocol(build), interface="127.0.0.1", backlog=128)
    copies, clients = [], []
    for turns in (0, 0, 0, 0, 1000, 1000, 1000, 1000):  # that others had meanwhile
        reactor.batch.turns += turns
        before = len(made)
        clients += [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(64)]
        await until(lambda before=before: len(made) == before + 64 and made[-1].events)  # type: ignore[misc]
        copies.append(len(port._serving))
    assert copies == [2, 4, 8, 8, 4, 2, 1, 1]
    for client in clients:
        client.close()
    await until(lambda: all(each.events[-1].startswith("lost") for each in made))
    await port.stopListening()


# TLS by uvloop.


@implementer(IHandshakeListener)
class SecureRecorder(Recorder):
    """Notes when TLS is up, and what was chosen."""

    def handshakeCompleted(self) -> None:
        transport: Any = self.transport
        self.note(f"secure {transport.negotiatedProtocol}")


class SecurePair:
    """Two of them, connected."""

    def __init__(self, certificate: Any, directory: Path, trusts: bool = True, **options: Any) -> None:
        pem = directory / "both.pem"
        pem.write_bytes(certificate.dumpPEM() + certificate.privateKey.dump(1))
        self.serverContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.serverContext.load_cert_chain(pem)
        self.clientContext = ssl.create_default_context(cafile=str(pem) if trusts else None)
        for context in (self.serverContext, self.clientContext):
            context.set_alpn_protocols(["http/1.1"])
        self.server, self.client = SecureRecorder(), SecureRecorder()
        self.port = reactor.listenStandardTLS(
            0, Factory.forProtocol(lambda: self.server), self.serverContext, interface="127.0.0.1", **options
        )

    async def connect(self) -> SecurePair:
        reactor.connectStandardTLS(
            "127.0.0.1", self.port.getHost().port, factoryOf(self.client), self.clientContext, "localhost"
        )
        await until(lambda: len(self.client.events) > 1 and len(self.server.events) > 1)
        return self

    async def close(self) -> None:
        for side in (self.client, self.server):
            transport: Any = side.transport
            if transport is not None and transport.connected:
                transport.abortConnection()
        await self.port.stopListening()
        await until(lambda: all(not each.transport or not each.transport.connected for each in (self.client, self.server)))


@pytest.fixture
def secured(certificate: Any, tmp_path: Path) -> Callable[..., SecurePair]:
    return lambda **options: SecurePair(certificate, tmp_path, **options)


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_tlsCarriesBothWaysAndEndsCleanly(secured: Callable[..., SecurePair]) -> None:
    pair = secured()
    much = os.urandom(1 << 20)
    pair.client.atConnect = lambda each: each.transport.write(b"before TLS is up, ")
    pair.server.atData = lambda each: None
    await pair.connect()
    assert pair.client.events[:2] == ["made", "secure b'http/1.1'"]
    client: Any = pair.client.transport
    server: Any = pair.server.transport
    assert ITCPTransport.providedBy(client)
    assert client.getPeer() == server.getHost()
    assert client.getPeerCertificate().get_subject().CN == "localhost"
    client.writeSequence([much, b"!"])
    await until(lambda: len(pair.server.received) == len(much) + 19)
    assert pair.server.received == b"before TLS is up, " + much + b"!"
    server.write(much)
    server.loseConnection()
    await until(lambda: pair.client.events[-1].startswith("lost"))
    assert pair.client.received == much
    assert pair.client.events[-1] == f"lost {ConnectionDone.__name__}"
    await until(lambda: pair.server.events[-1] == f"lost {ConnectionDone.__name__}")
    await pair.close()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_tlsThatBreaksOffIsNoCleanEnd(secured: Callable[..., SecurePair]) -> None:
    for break_ in ("abortConnection", "shutdown"):
        pair = await secured().connect()
        server: Any = pair.server.transport
        if break_ == "shutdown":
            server.getHandle().shutdown(socket.SHUT_WR)  # a FIN without a close_notify, as of a killed process
        else:
            server.write(b"half of")
            server.abortConnection()
        await until(lambda pair=pair: pair.client.events[-1].startswith("lost"))  # type: ignore[misc]
        assert pair.client.events[-1] == f"lost {ConnectionLost.__name__}", break_
        await pair.close()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_tlsToAStrangerFails(secured: Callable[..., SecurePair]) -> None:
    pair = secured(trusts=False)
    pair.client.atConnect = lambda each: each.transport.write(b"a secret")
    await pair.connect()
    await until(lambda: pair.client.events[-1].startswith("lost") and pair.server.events[-1].startswith("lost"))
    assert pair.client.events == ["made", "lost SSLCertVerificationError"]
    assert pair.server.received == b""
    await pair.close()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_tlsHandshakesDoNotTakeForEver(secured: Callable[..., SecurePair]) -> None:
    pair = secured(handshakeTimeout=0.1)
    with socket.create_connection(("127.0.0.1", pair.port.getHost().port)):
        await until(lambda: len(pair.server.events) > 1)
        assert pair.server.events == ["made", f"lost {ConnectionLost.__name__}"]
    await pair.close()


@onlyUvloop
@pytest.mark.parametrize("how", ["abortConnection", "loseConnection"])
@pytest_twisted.ensureDeferred
async def test_tlsCanBeGivenUpInItsHandshake(secured: Callable[..., SecurePair], how: str) -> None:
    pair = secured()
    with socket.create_connection(("127.0.0.1", pair.port.getHost().port)):
        await until(lambda: pair.server.events)
        getattr(pair.server.transport, how)()
        await until(lambda: len(pair.server.events) > 1)
        assert pair.server.events == ["made", f"lost {ConnectionAborted.__name__}"]
    await pair.close()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_plainTextToATLSPortIsALostConnection(secured: Callable[..., SecurePair]) -> None:
    pair = secured()
    with socket.create_connection(("127.0.0.1", pair.port.getHost().port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: len(pair.server.events) > 1)
        assert pair.server.events[-1].startswith("lost SSL")
        assert pair.server.received == b""
    await pair.close()


@onlyUvloop
@pytest_twisted.ensureDeferred
async def test_tlsPausesBothWays(secured: Callable[..., SecurePair]) -> None:
    pair = secured()
    pair.server.atConnect = lambda each: each.transport.pauseProducing()
    await pair.connect()
    client: Any = pair.client.transport
    server: Any = pair.server.transport
    client.registerProducer(Producer(pair.client), True)
    written = 0
    while "pause" not in pair.client.events:
        client.write(bytes(60_000))
        written += 60_000
        assert written < 64 << 20
    await deferLater(reactor, 0.05)
    assert pair.server.received == b""
    server.resumeProducing()
    await until(lambda: len(pair.server.received) == written)
    await until(lambda: "resume" in pair.client.events)
    client.unregisterProducer()
    await pair.close()

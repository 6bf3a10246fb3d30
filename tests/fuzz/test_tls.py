"""The TLS layer, whatever the pieces in which its bytes come, and wherever they are cut off."""

from __future__ import annotations

import ssl
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.test_wire import fuzz
from tests.support.certificates import authority, issued
from twistproxy.tls.transport import SecureTransport

MESSAGES = st.lists(st.integers(0, 40000), max_size=6)
PIECES = st.lists(st.integers(1, 20000), min_size=1, max_size=40)
VERSIONS = st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def contexts(version: ssl.TLSVersion) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server and of a client."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    issued("a.example").configure_cert(server)
    authority().configure_trust(client)
    client.minimum_version = client.maximum_version = version
    return server, client


CONTEXTS = {version: contexts(version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)}


class Above:
    """The protocol above the layer."""

    def __init__(self) -> None:
        self.received = b""
        self.reason: Failure | None = None

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport

    def dataReceived(self, data: bytes) -> None:
        assert data, "an empty piece"
        self.received += data
        self.transport.write(data)

    def connectionLost(self, reason: Failure) -> None:
        self.reason = reason


class Lower(StringTransport):
    """The transport below the layer; closing is what the test sees to."""

    def loseConnection(self) -> None:
        self.disconnecting = True

    abortConnection = loseConnection


class Conversation:
    """The layer as a server, and OpenSSL as its client."""

    def __init__(self, version: ssl.TLSVersion, pieces: list[int]) -> None:
        server, client = CONTEXTS[version]
        self.above, self.lower = Above(), Lower()
        self.layer = SecureTransport(server, self.above)
        self.layer.makeConnection(self.lower)
        self._in, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._in, self.out, server_hostname="a.example")
        self._pieces = pieces
        self._turn = 0
        self.echoed = b""
        while True:
            try:
                self.client.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.carry(self.out.read())
        self.carry(self.out.read())

    def carry(self, data: bytes) -> None:
        """Bring these to the layer, in pieces, and its answer back."""
        while data and not self.lower.disconnecting:
            size = self._pieces[self._turn % len(self._pieces)]
            self._turn += 1
            self.layer.dataReceived(data[:size])
            data = data[size:]
        self._in.write(self.lower.value())
        self.lower.clear()

    def send(self, message: bytes) -> bytes:
        """The records of a message."""
        at = 0
        while at < len(message):
            at += self.client.write(message[at:])
        return self.out.read()

    def read(self) -> bytes:
        """What the layer sent."""
        found = b""
        try:
            while piece := self.client.read(65536):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return found


class TestAnySplit(SynchronousTestCase):
    @fuzz(60)
    @given(VERSIONS, MESSAGES, PIECES)
    def test_sameBytes(self, version: ssl.TLSVersion, lengths: list[int], pieces: list[int]) -> None:
        talk = Conversation(version, pieces)
        told = b""
        for number, length in enumerate(lengths):
            message = bytes([number]) * length
            told += message
            talk.carry(talk.send(message))
        self.assertEqual(talk.above.received, told)
        self.assertEqual(talk.read(), told)
        self.assertTrue(talk.layer.isSecure)

    @fuzz(60)
    @given(VERSIONS, MESSAGES, PIECES, st.floats(0, 1))
    def test_cutOff(self, version: ssl.TLSVersion, lengths: list[int], pieces: list[int], where: float) -> None:
        """A beginning of what was sent arrives, and its end is a clean one only with close_notify."""
        talk = Conversation(version, pieces)
        message = b"".join(bytes([number]) * length for number, length in enumerate(lengths))
        records = talk.send(message)
        try:
            talk.client.unwrap()
        except ssl.SSLWantReadError:
            pass
        records += talk.out.read()
        cut = round(len(records) * where)
        talk.carry(records[:cut])
        if not talk.lower.disconnecting:
            talk.layer.readConnectionLost()
        talk.layer.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(message.startswith(talk.above.received))
        assert talk.above.reason is not None
        isClean = talk.above.reason.check(ConnectionDone) is not None
        self.assertEqual(isClean, cut == len(records))
        self.assertEqual(isClean, isClean and talk.above.received == message)

    @fuzz(60)
    @given(st.binary(max_size=600), PIECES)
    def test_nonsense(self, data: bytes, pieces: list[int]) -> None:
        """Whatever comes in the place of a handshake ends in a reason, never in an exception."""
        above, lower = Above(), Lower()
        layer = SecureTransport(CONTEXTS[ssl.TLSVersion.TLSv1_3][0], above)
        layer.makeConnection(lower)
        at = 0
        while at < len(data) and not lower.disconnecting:
            layer.dataReceived(data[at : at + pieces[0]])
            at += pieces[0]
        layer.connectionLost(Failure(ConnectionDone()))
        assert above.reason is not None
        self.assertIsNone(above.reason.check(ConnectionDone))
        self.assertEqual(above.received, b"")

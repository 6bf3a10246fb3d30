"""
Tests for the in-memory network as a reactor: listening and connecting.

What its transports promise is in test_contract.py.
"""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet import ssl, tcp
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    clientFromString,
    serverFromString,
    wrapClientTLS,
    wrapServerTLS,
)
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IHalfCloseableDescriptor,
    IListeningPort,
    IPushProducer,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistproxy.testing import MemoryNetwork


class Echo(Protocol):
    """Sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


ECHO = Factory.forProtocol(Echo)
QUIET = Factory.forProtocol(Protocol)


class NetworkCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def connected(self, endpoint: Any) -> Any:
        """The protocol that C{endpoint} connects."""
        made = endpoint.connect(QUIET)
        self.network.pump()
        return self.successResultOf(made)

    def failed(self, endpoint: Any, kind: type[Exception], after: float = 1) -> None:
        """Expect an attempt to fail within C{after} seconds."""
        made = endpoint.connect(QUIET)
        self.network.advance(after)
        self.failureResultOf(made, kind)


class TestInterfaces(NetworkCase):
    def test_network(self) -> None:
        for interface in (IReactorTCP, IReactorUNIX, IReactorSSL):
            verifyObject(interface, self.network)

    def test_portConnectorAndTransport(self) -> None:
        port = self.network.listenTCP(80, QUIET)
        connector = self.network.connectTCP("127.0.0.1", 80, ClientFactory.forProtocol(Protocol))
        self.network.pump()
        verifyObject(IListeningPort, port)
        verifyObject(IConnector, connector)
        for transport in self.network.connections:
            for interface in (
                ITCPTransport,
                IConsumer,
                IPushProducer,
                IHalfCloseableDescriptor,
                ISystemHandle,
            ):
                verifyObject(interface, transport)
            self.assertFalse(ITLSTransport.providedBy(transport))

    def test_thereIsNoDescriptorAndNoStartTLS(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.connect(80)
        self.network.pump()
        transport = self.network.connections[0]
        self.assertEqual(transport.fileno(), -1)
        self.assertIs(transport.getHandle(), transport.end)
        self.assertRaises(NotImplementedError, transport.startTLS, None)


class TestEndpoints(NetworkCase):
    def test_tcp(self) -> None:
        port = self.successResultOf(TCP4ServerEndpoint(self.network, 0).listen(QUIET))
        address = port.getHost()
        self.assertEqual((address.host, address.type), ("0.0.0.0", "TCP"))
        self.assertGreater(address.port, 1023)
        client = self.connected(TCP4ClientEndpoint(self.network, "127.0.0.1", address.port))
        self.assertEqual(client.transport.getPeer(), IPv4Address("TCP", "127.0.0.1", address.port))

    def test_hostname(self) -> None:
        self.network.hosts["db.example"] = ["10.0.0.5"]
        self.network.listenTCP(80, QUIET, interface="10.0.0.5")
        client = self.connected(HostnameEndpoint(self.network, "db.example", 80))
        self.assertEqual(client.transport.getPeer().host, "10.0.0.5")

    def test_hostnameTriesTheNextAddress(self) -> None:
        self.network.hosts["db.example"] = ["2001:db8::1", "10.0.0.5"]
        self.network.blackHole("2001:db8::1")
        self.network.listenTCP(80, QUIET, interface="10.0.0.5")
        made = HostnameEndpoint(self.network, "db.example", 80).connect(QUIET)
        self.network.advance(1)
        self.assertEqual(self.successResultOf(made).transport.getPeer().host, "10.0.0.5")

    def test_unknownName(self) -> None:
        self.failed(HostnameEndpoint(self.network, "nowhere.example", 80), DNSLookupError)
        client = self.network.connect(("nowhere.example", 80))
        self.network.pump()
        assert client.closed is not None
        client.closed.trap(DNSLookupError)

    def test_strings(self) -> None:
        self.successResultOf(serverFromString(self.network, "tcp:8080:interface=127.0.0.1").listen(QUIET))
        self.successResultOf(serverFromString(self.network, "unix:/run/proxy.sock").listen(QUIET))
        self.connected(clientFromString(self.network, "tcp:localhost:8080"))
        self.connected(clientFromString(self.network, "unix:/run/proxy.sock"))

    def test_unix(self) -> None:
        self.network.listenUNIX("/run/x", QUIET)
        client = self.connected(UNIXClientEndpoint(self.network, "/run/x"))
        self.assertEqual(client.transport.getPeer(), UNIXAddress("/run/x"))
        self.assertEqual(client.transport.peer.getPeer(), UNIXAddress(None))

    def test_tls(self) -> None:
        certificate = selfSigned("localhost")
        self.network.listenSSL(443, ECHO, certificate.options())
        received: list[bytes] = []

        class Client(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"in the clear?")

            def dataReceived(self, data: bytes) -> None:
                received.append(data)

        options = ssl.optionsForClientTLS("localhost", certificate)
        self.network.connectSSL("localhost", 443, ClientFactory.forProtocol(Client), options)
        self.network.pump()
        self.assertEqual(b"".join(received), b"in the clear?")

    def test_wrappedEndpoints(self) -> None:
        certificate = selfSigned("localhost")
        listening = wrapServerTLS(certificate.options(), TCP4ServerEndpoint(self.network, 443), clock=self.network)
        self.successResultOf(listening.listen(ECHO))
        client = self.connected(
            wrapClientTLS(
                ssl.optionsForClientTLS("localhost", certificate),
                HostnameEndpoint(self.network, "localhost", 443),
                clock=self.network,
            )
        )
        received: list[bytes] = []
        client.dataReceived = received.append
        client.transport.write(b"x" * 100000)
        self.network.pump()
        self.assertEqual(len(b"".join(received)), 100000)


class TestListening(NetworkCase):
    def test_aTakenAddress(self) -> None:
        self.network.listenTCP(80, QUIET, interface="127.0.0.1")
        self.network.listenTCP(80, QUIET, interface="127.0.0.2")
        self.network.listenUNIX("/run/x", QUIET)
        error = self.assertRaises(CannotListenError, self.network.listenTCP, 80, QUIET)
        self.assertIn("in use", str(error))
        self.assertRaises(CannotListenError, self.network.listenTCP, 80, QUIET, interface="localhost")
        self.assertRaises(CannotListenError, self.network.listenUNIX, "/run/x", QUIET)
        self.assertRaises(CannotListenError, self.network.listenTCP, 81, QUIET, interface="no.where")

    def test_aClosedPortCanListenAgain(self) -> None:
        port = self.network.listenTCP(80, QUIET)
        self.assertIsNotNone(port.stopListening())
        self.network.pump()
        self.assertEqual(self.network.ports, [])
        port.startListening()
        self.network.connect(80)
        self.network.pump()
        self.assertEqual(len(self.network.connections), 2)

    def test_reusePort(self) -> None:
        counts = [0, 0]

        def counting(index: int) -> Factory:
            def build() -> Protocol:
                counts[index] += 1
                return Protocol()

            return Factory.forProtocol(build)

        binding = tcp.makeBinding("127.0.0.1", 80, reuseAddress=True, reusePort=True)
        for index in (0, 1):
            self.network.listenTCP(binding, counting(index))
        for _ in range(4):
            self.network.connect(80)
        self.network.pump()
        self.assertEqual(counts, [2, 2])

    def test_aPausedPortLetsClientsWait(self) -> None:
        server = self.network.serve(80)
        port = self.network.ports[0]
        port.pauseProducing()
        client = self.network.connect(80)
        client.send(b"early")
        self.network.pump()
        self.assertEqual((client.isOpen, len(server.peers)), (True, 0))
        port.resumeProducing()
        self.network.pump()
        self.assertEqual(server.peers[0].received, b"early")

    def test_aClosedPortResetsWhoWaits(self) -> None:
        for address in ("127.0.0.1:80", "/run/x"):
            server = self.network.serve(address)
            self.network.ports[0].pauseProducing()
            client = self.network.connect(address)
            self.network.pump()
            server.stop()
            self.network.pump()
            assert client.closed is not None
            client.closed.trap(ConnectionLost)

    def test_aServerFactoryThatRaisesClosesTheConnection(self) -> None:
        factory = Factory()
        factory.buildProtocol = lambda addr: 1 / 0
        self.network.listenTCP(80, factory)
        client = self.network.connect(80)
        self.network.pump()
        self.assertTrue(client.eof)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_dualStack(self) -> None:
        self.network.listenTCP(80, QUIET, interface="::")
        self.network.connect(("127.0.0.1", 80))
        self.network.connect(("::1", 80))
        self.network.pump()
        seen = [each.getPeer().host for each in self.network.connections if not each.isClient]
        self.assertEqual(seen, ["::ffff:127.0.0.1", "::1"])

    def test_anExactAddressGoesBeforeAWildcard(self) -> None:
        shared = tcp.makeBinding("", 80, reusePort=True)
        exact = tcp.makeBinding("127.0.0.1", 80, reusePort=True)
        self.network.listenTCP(shared, QUIET)
        self.network.listenTCP(exact, ECHO)
        client = self.network.connect(80)
        client.send(b"x")
        self.network.pump()
        self.assertEqual(client.received, b"x")


class TestConnecting(NetworkCase):
    def test_refused(self) -> None:
        self.failed(TCP4ClientEndpoint(self.network, "127.0.0.1", 80), ConnectionRefusedError)
        self.failed(UNIXClientEndpoint(self.network, "/run/x"), ConnectError)

    def test_ipv4DoesNotReachAnIPv6Listener(self) -> None:
        self.network.listenTCP(80, QUIET, interface="::1")
        self.failed(TCP4ClientEndpoint(self.network, "127.0.0.1", 80), ConnectionRefusedError)

    def test_aBlackHoleHangsUntilTheTimeout(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.blackHole("127.0.0.1:80")
        made = TCP4ClientEndpoint(self.network, "127.0.0.1", 80, timeout=5).connect(QUIET)
        self.network.advance(4.9)
        self.assertNoResult(made)
        self.network.advance(0.1)
        self.failureResultOf(made, TimeoutError)
        self.network.heal("127.0.0.1:80")
        self.connected(TCP4ClientEndpoint(self.network, "127.0.0.1", 80))

    def test_aHostIsABlackHoleOnAllPorts(self) -> None:
        self.network.listenTCP(80, QUIET)
        for host in ("127.0.0.1", "::1"):
            self.network.blackHole(host)
            self.failed(HostnameEndpoint(self.network, host, 80, timeout=5), TimeoutError, after=6)

    def test_chosenErrors(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.listenUNIX("/run/x", QUIET)
        self.network.failConnections("127.0.0.1", NoRouteError())
        self.failed(TCP4ClientEndpoint(self.network, "127.0.0.1", 80), NoRouteError)
        self.network.failConnections("/run/x")
        self.failed(UNIXClientEndpoint(self.network, "/run/x"), ConnectionRefusedError)

    def test_aNameStandsForItsAddresses(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.failConnections(("localhost", 80), NoRouteError())
        self.failed(TCP4ClientEndpoint(self.network, "127.0.0.1", 80), NoRouteError)
        self.network.heal("localhost:80")
        self.connected(TCP4ClientEndpoint(self.network, "localhost", 80))
        self.network.blackHole("localhost")
        self.failed(TCP4ClientEndpoint(self.network, "127.0.0.1", 80, timeout=1), TimeoutError)
        self.assertRaises(ValueError, self.network.blackHole, "nowhere.example")

    def test_cancelling(self) -> None:
        server = self.network.serve(80)
        made = TCP4ClientEndpoint(self.network, "127.0.0.1", 80).connect(QUIET)
        made.cancel()
        self.failureResultOf(made)
        self.network.pump()
        server.stop()
        self.network.pump()
        self.network.assertClean()

    def test_stoppedOnceEstablishedShowsTheServerAnEndOfFile(self) -> None:
        server = self.network.serve(80)
        connector = self.network.connectTCP("127.0.0.1", 80, ClientFactory.forProtocol(Protocol))
        self.network.runDueCalls()
        connector.stopConnecting()
        self.network.pump()
        self.assertTrue(server.peers[0].eof)

    def test_reconnecting(self) -> None:
        class Stubborn(ClientFactory):
            noisy = False
            protocol = Protocol
            attempts = 0

            def clientConnectionFailed(self, connector: IConnector, reason: object) -> None:
                self.attempts += 1
                network.listenTCP(80, QUIET)
                connector.connect()

        network = self.network
        factory = Stubborn()
        connector = network.connectTCP("127.0.0.1", 80, factory)
        self.assertRaises(RuntimeError, connector.connect)
        network.pump()
        self.assertEqual((factory.attempts, len(network.connections)), (1, 2))

    def test_theClientsOwnAddress(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.connect(80, source=("203.0.113.9", 5))
        self.network.connect(80, source=("203.0.113.10", 0))
        self.network.connect(80)
        self.network.pump()
        peers = [each.getPeer() for each in self.network.connections if not each.isClient]
        self.assertEqual(peers[0], IPv4Address("TCP", "203.0.113.9", 5))
        self.assertEqual([each.host for each in peers[1:]], ["203.0.113.10", "127.0.0.1"])
        self.assertNotEqual(peers[1].port, peers[2].port)


def selfSigned(name: str) -> ssl.PrivateCertificate:
    """A certificate for C{name} that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ssl.PrivateCertificate.loadPEM(private + certificate.public_bytes(encoding))

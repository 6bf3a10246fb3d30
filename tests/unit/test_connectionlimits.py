"""What one connection may ask for in a second, and how many connections a client may have."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import issued, write
from tests.unit.builtin import built
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import OK, Client, ProxyTestCase, get, post
from twistproxy.accepting import Accepting
from twistproxy.forwarding import identify
from twistproxy.interfaces import IMiddleware
from twistproxy.logs.accesslog import AccessRecord, Recording
from twistproxy.messages import Address, InboundRequest
from twistproxy.server.proxied import ProxiedReactor
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore


class TestRequestRate(ProxyTestCase):
    """max-request-rate."""

    def codes(self, client: Client) -> list[int]:
        return [each.code for each in client.answers()]

    def test_pipelined(self) -> None:
        """What comes too early is answered once, and what is behind it is dropped."""
        self.proxy(OK, settings={"maxRequestRate": 3})
        client = self.ask(get() * 100)
        self.assertEqual((self.codes(client), client.isEnded), ([200, 200, 200, 429], True))
        last = client.answers()[-1]
        self.assertEqual((last.get(b"retry-after"), last.get(b"connection")), (b"1", b"close"))
        self.assertEqual(len(self.origin.requests), 3)
        self.assertEqual(self.accessLog.lines[-1], (429, "connection_rate_limited"))
        self.assertEqual(self.accessLog.exchanges[-1].inbound.method, b"GET")

    def test_oneAfterTheOther(self) -> None:
        self.proxy(OK, settings={"maxRequestRate": 3})
        client = self.client()
        for _ in range(5):
            client.send(get())
        self.assertEqual((self.codes(client), client.isEnded), ([200, 200, 200, 429], True))

    def test_inTime(self) -> None:
        self.proxy(OK, settings={"maxRequestRate": 4})
        client = self.client()
        for _ in range(4):
            client.send(get())
        for _ in range(20):
            self.seconds(0.25)
            client.send(get())
        self.assertEqual(self.codes(client), [200] * 24)

    def test_connectionsAreApart(self) -> None:
        self.proxy(OK, settings={"maxRequestRate": 1})
        self.assertEqual([self.codes(self.ask(get())) for _ in range(3)], [[200]] * 3)

    def test_withABody(self) -> None:
        """One that did not come whole is not waited for."""
        self.proxy(OK, settings={"maxRequestRate": 1})
        client = self.ask(get() + post(b"x" * 100)[:-50])
        self.assertEqual(([each.code for each in client.answers(b"GET", b"POST")], client.isEnded), ([200, 429], True))
        self.assertEqual(len(self.origin.peers), 1)

    def test_anyNumber(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.codes(self.ask(get() * 50)), [200] * 50)


class TestKeyConnection(ProxyTestCase):
    """The key of limits by middleware: nothing is closed."""

    def test_rateLimit(self) -> None:
        limit = built(IMiddleware, "rate-limit:rate=1:burst=2:key=connection", reactor=self.network)
        self.proxy(OK, middleware=[limit])
        for _ in range(2):
            client = self.ask(get() * 5)
            self.assertEqual([each.code for each in client.answers()], [200, 200, 200, 429, 429])
            self.assertFalse(client.isEnded)

    def test_unixSockets(self) -> None:
        """Their ends have no addresses."""

        class Facts:
            def __init__(self) -> None:
                self.transport = object()

        def keyOf(facts: Any) -> bytes:
            return InboundRequest(b"GET", b"/", [], Address(), Address(), "http", connection=facts).connectionKey

        one, other = Facts(), Facts()
        self.assertEqual(keyOf(one), keyOf(one))
        self.assertNotEqual(keyOf(one), keyOf(other))


class TestCounting(SynchronousTestCase):
    """L{twistproxy.accepting}, for each client."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.accepting = Accepting(0, self.clock.seconds, 2)

    def opened(self, host: str) -> Any:
        class Connection:
            identity = identify(Address(host, 1), "http")

        connection = Connection()
        self.accepting.connections.add(connection)
        return connection

    def test_soMany(self) -> None:
        admits = self.accepting.admits
        first = self.opened("192.0.2.1")
        self.accepting.connections.add(first)  # once is enough
        self.assertTrue(admits("192.0.2.1"))
        self.opened("192.0.2.1")
        self.assertEqual([admits("192.0.2.1"), admits("192.0.2.2"), admits("")], [False, True, True])
        self.accepting.connections.discard(first)
        self.accepting.connections.discard(first)
        self.assertTrue(admits("192.0.2.1"))
        self.assertEqual(self.accepting.refused, 1)

    def test_aNetworkOfIPv6(self) -> None:
        self.opened("2001:db8:0:1::1")
        self.opened("2001:db8:0:1::2")
        self.assertEqual([self.accepting.admits(f"2001:db8:0:{each}::3") for each in (1, 2)], [False, True])

    def test_nothingIsKept(self) -> None:
        for connection in [self.opened(f"192.0.2.{each}") for each in range(9)]:
            self.accepting.connections.discard(connection)
        self.opened("")
        self.accepting.connections.add(object())
        self.assertEqual(self.accepting._counts, {})


class TestConnectionsPerClient(ProxyTestCase):
    def start(self, limit: int, **settings: Any) -> None:
        self.proxy(OK, settings={"maxConnectionsPerClient": limit, **settings})

    def test_othersAreClosed(self) -> None:
        self.start(2)
        first, second = self.ask(get()), self.client()
        third = self.client()
        self.assertEqual((third.received, third.wasReset), (b"", True))
        self.assertEqual(self.accessLog.refusals, [(429, "too_many_connections")])
        self.assertEqual(self.ask(get(), host="203.0.113.10").answer().code, 200)
        first.abort()
        self.assertEqual(self.ask(get()).answer().code, 200)
        self.assertFalse(second.isEnded)
        self.assertEqual(len(self.engine.channels), 3)

    def test_theLogs(self) -> None:
        """It got no answer, and they say so."""
        self.start(1)
        kept: list[AccessRecord] = []

        class Kept:
            def log(self, record: AccessRecord) -> None:
                kept.append(record)

        self.engine.accessLogs = (Recording(Kept(), self.network),)  # type: ignore[arg-type]
        self.client()
        with capturedLogs() as events:
            self.client()
        (record,) = kept
        told = (record.status, record.reason, record.client, record.bytesOut, record.detail)
        self.assertEqual(told, (444, "too_many_connections", "203.0.113.9", 0, "max-connections-per-client is 1"))
        (line,) = [formatEvent(each) for each in events if "203.0.113.9" in formatEvent(each)]
        self.assertRegex(line, r"\AA connection from 203.0.113.9:\d+ was closed: 444 too_many_connections: max-con\S+ is 1 \(")

    def test_trustedProxiesMayHaveMore(self) -> None:
        self.start(1, trustedProxies=(ip_network("203.0.113.0/24"),))
        self.assertEqual([self.ask(get()).answer().code for _ in range(3)], [200] * 3)

    def test_behindTLS(self) -> None:
        """Before its handshake."""
        self.start(1)
        cert, key = write(temporaryDirectory(self), issued("tls.example"))
        factory = SecureFactory(CertificateStore(ServerTLS((CertificateFiles(cert, key),))), self.reverseProxy)
        port = self.network.listenTCP(8443, factory, interface="10.1.0.1")
        self.addCleanup(port.stopListening)
        first, second = (Client(self.network, ("10.1.0.1", 8443), "203.0.113.9") for _ in range(2))
        self.clients += [first, second]
        self.assertEqual((first.isEnded, second.received, second.wasReset), (False, b"", True))

    def test_byThePROXYProtocol(self) -> None:
        """It tells who the client is."""
        self.start(1)
        facade = ProxiedReactor(self.network, self.engine, (ip_network("192.0.2.0/24"),))
        other = facade.listenTCP(8081, self.reverseProxy, interface="10.1.0.1")
        self.addCleanup(other.stopListening)

        def asked(address: bytes) -> Client:
            client = Client(self.network, ("10.1.0.1", 8081), "192.0.2.1")
            self.clients.append(client)
            return client.send(b"PROXY TCP4 %b 198.51.100.1 4711 443\r\n" % address + get())

        self.assertEqual([asked(b"203.0.113.%d" % each).answer().code for each in (1, 2)], [200, 200])
        client = asked(b"203.0.113.1")
        self.assertEqual((client.received, client.isEnded), (b"", True))

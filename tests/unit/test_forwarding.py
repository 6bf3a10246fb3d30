"""L{twistproxy.forwarding}: what a proxy changes about a head on its way. Pure."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.forwarding import (
    FORWARDING,
    HOP_BY_HOP,
    identify,
    joinPath,
    joinQuery,
    keepsTrailers,
    nominated,
    outboundBlock,
    outboundItems,
    responseItems,
    upgradeTokens,
)
from twistproxy.messages import Address, Item
from twistproxy.text.networks import UNIX_PEERS
from twistproxy.trust import Trust
from twistproxy.wire.heads import encodeLines
from twistproxy.wire.lines import HeaderLines

INNER = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def items(*lines: str) -> list[Item]:
    made = []
    for line in lines:
        name, _, value = line.partition(": ")
        made.append((name.lower().encode(), name.encode(), value.encode()))
    return made


def lines(found: list[Item]) -> list[str]:
    return [f"{name.decode()}: {value.decode('latin-1')}" for _, name, value in found]


class TestHopByHop(SynchronousTestCase):
    def test_theList(self) -> None:
        for name in ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
                     "transfer-encoding", "upgrade", "http2-settings"):  # fmt: skip
            self.assertIn(name.encode(), HOP_BY_HOP)
        self.assertNotIn(b"trailers", HOP_BY_HOP)

    def test_whatIsNominated(self) -> None:
        self.assertEqual(nominated([b"close", b"te"]), frozenset())
        self.assertEqual(nominated([b"keep-alive", b"x-a", b"x-b"]) & {b"x-a", b"x-b", b"host"}, {b"x-a", b"x-b"})
        for name in (b"host", b"content-length", b"transfer-encoding"):
            self.assertNotIn(name, nominated([b"x-a", name]))

    def test_responses(self) -> None:
        found = items("Connection: x-hop", "X-Hop: 1", "X-Kept: 2", "Keep-Alive: 5", "Trailer: X", "Trailers: kept", "Upgrade: x")
        self.assertEqual(lines(responseItems(found, [b"x-hop"])), ["X-Kept: 2", "Trailers: kept"])
        self.assertEqual(lines(responseItems(found, [])), ["X-Hop: 1", "X-Kept: 2", "Trailers: kept"])

    def test_te(self) -> None:
        for values, want in (
            (["TE: trailers"], True),
            (["TE: gzip, Trailers"], True),
            (["TE: gzip", "TE: trailers"], True),
            (["TE: trailers;q=0.5"], False),
            (["TE: gzip"], False),
            (["X: trailers"], False),
        ):
            self.assertEqual(keepsTrailers(items(*values)), want, values)

    def test_upgrades(self) -> None:
        self.assertEqual(upgradeTokens([b"websocket"]), [b"websocket"])
        self.assertEqual(upgradeTokens([b" a , h2c,H2C", b"", b"b/1 "]), [b"a", b"b/1"])
        self.assertEqual(upgradeTokens([b"h2c"]), [])


class TestRequests(SynchronousTestCase):
    def send(self, *given: str, peer: str = "203.0.113.9", trusted: tuple[Any, ...] = (), connection: tuple[bytes, ...] = (),
             scheme: str = "http", hops: int = 0, readsForwarded: bool = False, tells: bool = True, **options: Any,
             ) -> list[str]:  # fmt: skip
        identity = identify(Address(peer, 5555), scheme, Trust(trusted, hops, readsForwarded, tells))
        found, self.client = outboundItems(items(*given), connection, identity, **options)
        if not options:
            block = outboundBlock(HeaderLines(items(*given), connection), identity)
            isPlain = not identity.trusted and any(item[0] == b"host" for item in found)
            self.assertEqual(block, encodeLines(found) if isPlain else None)
        return lines(found)

    def test_plain(self) -> None:
        self.assertEqual(
            self.send("Host: a", "Accept: */*"),
            ["Host: a", "Accept: */*", "X-Forwarded-For: 203.0.113.9", "X-Real-IP: 203.0.113.9", "X-Forwarded-Proto: http",
             "X-Forwarded-Host: a"],
        )  # fmt: skip
        self.assertEqual(self.client, Address("203.0.113.9", 5555))

    def test_https(self) -> None:
        self.assertIn("X-Forwarded-Proto: https", self.send("Host: a", scheme="https"))

    def test_withoutHost(self) -> None:
        self.assertFalse([line for line in self.send() if line.startswith("X-Forwarded-Host")])

    def test_withoutAnAddress(self) -> None:
        """A UNIX socket's peer has none: nothing is said."""
        found = self.send("Host: a", "X-Forwarded-For: evil", peer="")
        self.assertEqual(found, ["Host: a", "X-Forwarded-Proto: http", "X-Forwarded-Host: a"])

    def test_spoofs(self) -> None:
        for name in FORWARDING:
            found = self.send("Host: a", f"{name.decode().title()}: evil")
            self.assertFalse([line for line in found if "evil" in line], name)

    def test_spoofsOfManySpellings(self) -> None:
        for name in ("X_Forwarded_For", "X-Forwarded_For", "X_Forwarded-For", "x_real-ip", "X_FORWARDED_PROTO"):
            self.assertFalse([line for line in self.send("Host: a", f"{name}: evil") if "evil" in line], name)

    def test_proxyHeader(self) -> None:
        """It would become HTTP_PROXY."""
        self.assertFalse([line for line in self.send("Host: a", "Proxy: http://evil") if "evil" in line])

    def test_hopByHop(self) -> None:
        found = self.send("Host: a", "Connection: x-a, close", "X-A: 1", "TE: trailers", "Keep-Alive: 5", "Upgrade: h2c",
                          "HTTP2-Settings: x", "Proxy-Authorization: x", "Trailer: y", connection=(b"x-a", b"close"))  # fmt: skip
        self.assertEqual(found[:2], ["Host: a", "X-Forwarded-For: 203.0.113.9"])

    def test_mappedAddresses(self) -> None:
        self.assertIn("X-Forwarded-For: 203.0.113.9", self.send(peer="::ffff:203.0.113.9"))
        self.assertIn("X-Forwarded-For: 2001:db8::1", self.send(peer="2001:db8::1"))
        self.assertIn("X-Forwarded-For: fe80::1", self.send(peer="fe80::1%eth0"))

    def test_trustedPeers(self) -> None:
        found = self.send(
            "Host: inner", "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: outer",
            "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /p", "X-Real-Ip: 6.6.6.6", peer="10.0.0.1", trusted=INNER,
        )  # fmt: skip
        self.assertEqual(
            found,
            ["Host: inner", "X-Forwarded-For: 198.51.100.7, 10.0.0.1", "X-Real-IP: 198.51.100.7", "X-Forwarded-Proto: https",
             "X-Forwarded-Host: outer", "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /p"],
        )  # fmt: skip
        self.assertEqual(self.client.host, "198.51.100.7")

    def test_trustedPeersThatSayNothing(self) -> None:
        found = self.send("Host: a", peer="10.0.0.1", trusted=INNER)
        self.assertEqual(
            found,
            ["Host: a", "X-Forwarded-For: 10.0.0.1", "X-Real-IP: 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: a"],
        )

    def test_severalLinesOfATrustedPeer(self) -> None:
        found = self.send("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: , 2.2.2.2,", peer="10.0.0.1", trusted=INNER)
        self.assertIn("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1", found)

    def test_via(self) -> None:
        self.assertEqual(self.send("Via: 1.0 outer", via=b"edge")[-1], "Via: 1.1 edge")

    def test_forwarded(self) -> None:
        self.assertEqual(self.send("Host: a:8080", emitForwarded=True)[-1], 'Forwarded: for=203.0.113.9;host="a:8080";proto=http')
        self.assertEqual(self.send(peer="2001:db8::1", emitForwarded=True)[-1], 'Forwarded: for="[2001:db8::1]";proto=http')
        self.assertEqual(self.send(peer="", emitForwarded=True)[-1], "Forwarded: for=unknown;proto=http")
        found = self.send("Forwarded: for=1.1.1.1", peer="10.0.0.1", trusted=INNER, readsForwarded=True, emitForwarded=True)
        self.assertEqual(found[-1], "Forwarded: for=1.1.1.1, for=10.0.0.1;proto=http")
        self.assertEqual(self.send("Forwarded: for=evil", emitForwarded=True)[-1], "Forwarded: for=203.0.113.9;proto=http")

    def test_forwardedThatTrustedProxiesDoNotWrite(self) -> None:
        """A trusted proxy that knows X-Forwarded-For only passes on whatever a client calls Forwarded."""
        found = self.send("Forwarded: for=6.6.6.6", "X-Forwarded-For: 1.1.1.1, x", peer="10.0.0.1", trusted=INNER,
                          emitForwarded=True)  # fmt: skip
        self.assertEqual(found[-1], "Forwarded: for=1.1.1.1, for=unknown, for=10.0.0.1;proto=http")

    def test_forwardedThatIsRead(self) -> None:
        found = self.send(
            'Forwarded: for=6.6.6.6;host=evil, for="[2001:db8::1]:4711";host="outer";proto=https',
            "Forwarded: for=10.0.0.2;host=x", "X-Forwarded-For: 7.7.7.7",
            "X-Forwarded-Host: evil", "X-Forwarded-Port: 1", "Host: inner",
            peer="10.0.0.1", trusted=INNER, readsForwarded=True,
        )  # fmt: skip
        self.assertEqual(
            found,
            ["Host: inner", "X-Forwarded-For: 6.6.6.6, 2001:db8::1, 10.0.0.2, 10.0.0.1", "X-Real-IP: 2001:db8::1",
             "X-Forwarded-Proto: https", "X-Forwarded-Host: outer"],
        )  # fmt: skip
        self.assertEqual(self.client.host, "2001:db8::1")

    def test_forwardedThatIsReadAndMalformed(self) -> None:
        found = self.send('Forwarded: for=1.1.1.1, for="', "Host: a", peer="10.0.0.1", trusted=INNER, readsForwarded=True,
                          emitForwarded=True)  # fmt: skip
        self.assertEqual(self.client.host, "10.0.0.1")
        self.assertIn("X-Forwarded-For: 10.0.0.1", found)
        self.assertEqual(found[-1], 'Forwarded: for=10.0.0.1;host="a";proto=http')

    def test_hops(self) -> None:
        """So many proxies stand before this one, wherever they are."""
        for hops, want in ((0, "9.9.9.9"), (1, "3.3.3.3"), (2, "2.2.2.2"), (3, "1.1.1.1"), (4, "1.1.1.1")):
            self.send("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3", peer="9.9.9.9", hops=hops)
            self.assertEqual(self.client.host, want, hops)

    def test_hopsAndNetworks(self) -> None:
        """After the hops that count, by address."""
        self.send("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1, 3.3.3.3", peer="9.9.9.9", hops=2, trusted=INNER)
        self.assertEqual(self.client.host, "2.2.2.2")

    def test_trustedUnixPeers(self) -> None:
        for trust in ({"trusted": (UNIX_PEERS,)}, {"hops": 1}):
            found = self.send("Host: a", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", peer="", **trust)  # type: ignore[arg-type]
            self.assertEqual(found, ["Host: a", "X-Forwarded-For: 1.1.1.1", "X-Real-IP: 1.1.1.1", "X-Forwarded-Proto: https",
                                     "X-Forwarded-Host: a"])  # fmt: skip

    def test_certificatesThatClientsClaim(self) -> None:
        """As HAProxy's manual, ingress-nginx, AWS and IIS call them."""
        claims = ["X-SSL-Client-CN: root", "x_ssl_client_cn: root", "Ssl-Client-Subject-Dn: CN=root", "X-SSL-Issuer: we",
                  "X-Amzn-Mtls-Clientcert-Subject: CN=root", "X-ARR-ClientCert: x", "X-SSL-Client-Verify: SUCCESS"]  # fmt: skip
        self.assertFalse({line.lower() for line in self.send("Host: a", *claims)} & {each.lower() for each in claims})
        told = self.send("Host: a", *claims, peer="10.0.0.1", trusted=INNER)
        self.assertEqual(sum(line in claims for line in told), 6)

    def test_nearestWord(self) -> None:
        """Of several lines, and of a list, which is the same (RFC 9110 section 5.3), the last is the nearest proxy's."""
        found = self.send("Host: a", "X-Forwarded-Proto: evil", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil",
                          "X-Forwarded-Host: b", peer="10.0.0.1", trusted=INNER)  # fmt: skip
        self.assertFalse([line for line in found if "evil" in line])
        lists = ["X-Forwarded-Proto: evil,https", "X-Forwarded-Host: evil, b, ,"]
        found = self.send("Host: a", *lists, peer="10.0.0.1", trusted=INNER)
        self.assertEqual(found[-2:], ["X-Forwarded-Proto: https", "X-Forwarded-Host: b"])

    def test_nothingTold(self) -> None:
        for peer in ("203.0.113.9", "10.0.0.1"):
            found = self.send("Host: a", "X-Forwarded-For: 1.1.1.1", "X-Real-Ip: 2.2.2.2", peer=peer, trusted=INNER, tells=False)
            self.assertEqual(found, ["Host: a"])
        self.assertEqual(self.client.host, "1.1.1.1")  # what is not told is known nevertheless

    def test_theInboundLinesStay(self) -> None:
        given = items("Host: a", "Connection: x", "X: 1")
        before = list(given)
        outboundItems(given, (b"x",), identify(Address("1.1.1.1", 1), "http"))
        self.assertEqual(given, before)


class TestJoining(SynchronousTestCase):
    def test_paths(self) -> None:
        for base, path, want in (
            (b"", b"/a", b"/a"),
            (b"/", b"/a", b"/a"),
            (b"/b", b"/a", b"/b/a"),
            (b"/b/", b"/a", b"/b/a"),
            (b"/b/", b"//a", b"/b//a"),
            (b"/b", b"/", b"/b/"),
            (b"/b//", b"/a", b"/b//a"),
            (b"/b%2F", b"/%2f", b"/b%2F/%2f"),
            (b"/b", b"*", b"*"),
            (b"", b"*", b"*"),
        ):
            self.assertEqual(joinPath(base, path), want, (base, path))

    def test_queries(self) -> None:
        for base, query, want in (
            (None, None, None), (None, b"", b""), (b"", None, None), (b"a", None, b"a"), (b"a", b"", b"a"), (None, b"b", b"b"),
            (b"a", b"b", b"a&b"), (b"", b"b", b"b"),
        ):  # fmt: skip
            self.assertEqual(joinQuery(base, query), want, (base, query))


class TestClientCertificates(SynchronousTestCase):
    """Who says whose certificate a client has."""

    ITEMS = [(name.lower(), name, b"CN=root") for name in (b"Client-Cert", b"Client_Cert", b"X-SSL-Client-S-DN", b"X-Other")]

    def test_notTheClient(self) -> None:
        items, _ = outboundItems(self.ITEMS, (), identify(Address("203.0.113.9", 1), "https"))
        self.assertEqual([name for _, name, value in items if value == b"CN=root"], [b"X-Other"])

    def test_aTrustedProxy(self) -> None:
        trust = Trust((ip_network("203.0.113.0/24"),))
        items, _ = outboundItems(self.ITEMS, (), identify(Address("203.0.113.9", 1), "https", trust))
        told = sorted(name for _, name, value in items if value == b"CN=root")
        self.assertEqual(told, [b"Client-Cert", b"X-Other", b"X-SSL-Client-S-DN"])

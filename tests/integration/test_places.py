"""Where upstreams and clients can be: IPv6, UNIX sockets, names, TLS."""

from __future__ import annotations

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor, ssl
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.endpoints import TCP4ClientEndpoint as TCP4

from tests.support.dialogue import settled
from tests.support.messages import request, response
from tests.support.network import Network
from twistproxy.messages import Upstream as Known
from twistproxy.tls.config import UpstreamTLS


def isIPv6There() -> bool:
    """Whether ::1 can be listened on."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def addressesOfLocalhost() -> set[str]:
    """What the name localhost stands for here."""
    return {str(found[4][0]) for found in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}


needsIPv6 = pytest.mark.skipif(not isIPv6There(), reason="no IPv6 loopback here")


@pytest.fixture(scope="module")
def certificate() -> ssl.PrivateCertificate:
    """A certificate for localhost and 127.0.0.1 that nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ssl.PrivateCertificate.loadPEM(pem)


async def exchange(network: Network, url: str, upstream: Any) -> bytes:
    """The Host that an upstream gets of a request through a new proxy."""
    client = await (await network.proxy(url)).connect()
    client.write(request(b"/", method=b"POST", body=b"question"))
    server, asked = await upstream.request()
    assert asked.body == b"question"
    server.write(response(b"answer"))
    assert (await client.readMessage()).body == b"answer"
    host = asked.head.get(b"host")
    assert host is not None
    return host


@needsIPv6
@pytest_twisted.ensureDeferred
async def test_upstreamOnIPv6(network: Network) -> None:
    upstream = await network.upstream(TCP6ServerEndpoint(reactor, 0, interface="::1"), "[::1]")
    assert await exchange(network, upstream.url, upstream) == b"example.test"


@needsIPv6
@pytest_twisted.ensureDeferred
async def test_clientOnIPv6(network: Network) -> None:
    upstream = await network.upstream()
    proxy = await network.proxy(upstream, endpoint=TCP6ServerEndpoint(reactor, 0, interface="::1"))
    client = await network.client(TCP6ClientEndpoint(reactor, "::1", proxy.address.port))
    client.write(request())
    server, asked = await upstream.request()
    assert asked.head.get(b"x-forwarded-for") == b"::1"
    server.write(response(b"six"))
    assert (await client.readMessage()).body == b"six"


@pytest_twisted.ensureDeferred
async def test_upstreamOnAUnixSocket(network: Network, tmp_path: Path) -> None:
    upstream = await network.upstream(UNIXServerEndpoint(reactor, str(tmp_path / "socket")))
    assert upstream.url.startswith("unix:/")
    assert await exchange(network, upstream.url, upstream) == b"example.test"


@pytest_twisted.ensureDeferred
async def test_unixSocketThatIsNotThereIs502(network: Network, tmp_path: Path) -> None:
    client = await (await network.proxy(f"unix:{tmp_path}/nothing")).connect()
    client.write(request())
    assert (await client.readMessage()).code == 502
    await network.logged("502 connect_refused", f"unix:{tmp_path}/nothing")


@pytest_twisted.ensureDeferred
async def test_clientOnAUnixSocketHasNoAddress(network: Network, tmp_path: Path) -> None:
    upstream = await network.upstream()
    await network.proxy(upstream, endpoint=UNIXServerEndpoint(reactor, str(tmp_path / "front")))
    client = await network.client(UNIXClientEndpoint(reactor, str(tmp_path / "front")))
    client.write(request())
    server, asked = await upstream.request()
    assert asked.head.all(b"x-forwarded-for") == []
    server.write(response(b"local"))
    assert (await client.readMessage()).body == b"local"


@pytest.mark.parametrize("interface", ["127.0.0.1", pytest.param("::1", marks=needsIPv6)])
@pytest_twisted.ensureDeferred
async def test_nameOfAnUpstreamIsFoundWhicheverAddressItListensOn(network: Network, interface: str) -> None:
    if interface not in addressesOfLocalhost():
        pytest.skip(f"localhost is not {interface} here")
    made = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
    upstream = await network.upstream(made(reactor, 0, interface=interface), "localhost")
    assert await exchange(network, upstream.url, upstream) == b"example.test"


@pytest_twisted.ensureDeferred
async def test_nameThatDoesNotExistIs502(network: Network) -> None:
    client = await (await network.proxy("http://does-not-exist.invalid:80")).connect()
    client.write(request())
    assert (await client.readMessage()).code == 502
    await network.logged("502 dns_failure", "does-not-exist.invalid")


@pytest_twisted.ensureDeferred
async def test_certificateThatNobodyTrustsIs502(network: Network, certificate: ssl.PrivateCertificate) -> None:
    endpoint = SSL4ServerEndpoint(reactor, 0, certificate.options(), interface="127.0.0.1")
    for host in ("localhost", "127.0.0.1"):
        upstream = await network.upstream(endpoint, host, "https")
        client = await (await network.proxy(upstream)).connect()
        client.write(request())
        assert (await client.readMessage()).code == 502
        await network.logged("GET / from 127.0.0.1", "502 tls_failure", "certificate verify failed", upstream.url)
        assert all(each.total == 0 for each in upstream.connections), "something was sent to a stranger"


@pytest_twisted.ensureDeferred
async def test_upstreamThatSpeaksNoTLSIs502(network: Network) -> None:
    upstream = await network.upstream()

    async def serve(peer: Any) -> None:
        await peer.read(1)
        peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    upstream.handle(serve)
    client = await (await network.proxy(upstream.url.replace("http:", "https:"))).connect()
    client.write(request())
    assert (await client.readMessage()).code == 502
    await network.logged("502 tls_failure")


@pytest_twisted.ensureDeferred
async def test_trustedCertificateIsGood(network: Network, certificate: ssl.PrivateCertificate, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(certificate.dumpPEM())
    server = SSL4ServerEndpoint(reactor, 0, certificate.options(), interface="127.0.0.1")
    upstream = await network.upstream(server, "localhost", "https")
    client = await (await network.proxy(Known(upstream.url, tls=UpstreamTLS(ca=f"{tmp_path}/ca.pem")))).connect()
    for number in (b"1", b"2"):
        client.write(request(b"/" + number))
        peer = upstream.connections[0] if upstream.connections else await upstream.accept()
        asked = await peer.readMessage()
        assert asked.head.get(b"host") == upstream.url.removeprefix("https://").encode()
        peer.write(response(number))
        assert (await client.readMessage()).body == number
    assert len(upstream.connections) == 1


class TestTLSListener:
    """Clients that speak TLS."""

    @pytest_twisted.ensureDeferred
    async def test_itsClientsAreSecure(self, network: Network, certificate: ssl.PrivateCertificate) -> None:
        client, upstream = await self.chain(network, certificate)
        for number in range(3):
            client.write(request(b"/", method=b"POST", body=b"%d" % number * 100000))
            server = upstream.connections[0] if upstream.connections else await upstream.accept()
            asked = await server.readMessage()
            assert asked.head.get(b"x-forwarded-proto") == b"https"
            assert asked.body == b"%d" % number * 100000
            server.write(response(asked.body))
            assert (await client.readMessage()).body == asked.body
        assert len(upstream.connections) == 1

    @pytest_twisted.ensureDeferred
    async def test_clientThatDoesNotReadStopsTheUpstream(self, network: Network, certificate: ssl.PrivateCertificate) -> None:
        client, upstream = await self.chain(network, certificate)
        client.write(request())
        server, _ = await upstream.request()
        client.pause()
        size = 32 << 20
        server.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        pouring = server.pour(b"x" * 65536, size // 65536)
        await settled(reactor, lambda: pouring.poured)
        assert not pouring.done
        client.resume()
        assert len((await client.readMessage()).body) == size

    @pytest_twisted.ensureDeferred
    async def test_truncatedAnswerHasNoCleanEnd(self, network: Network, certificate: ssl.PrivateCertificate) -> None:
        client, upstream = await self.chain(network, certificate)
        client.write(request(minor=0))
        server, _ = await upstream.request()
        server.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await client.readUntil(b"half")
        server.abort()
        reason = await client.gone()
        assert reason.type.__name__ != "ConnectionDone", "a clean end of TLS is the end of the body"
        await network.logged("200 upstream_reset")

    async def chain(self, network: Network, certificate: ssl.PrivateCertificate) -> tuple[Any, Any]:
        upstream = await network.upstream()
        proxy = await network.proxy(
            upstream, endpoint=SSL4ServerEndpoint(reactor, 0, certificate.options(), interface="127.0.0.1")
        )
        trusted = ssl.optionsForClientTLS("localhost", trustRoot=ssl.Certificate(certificate.original))
        endpoint = TCP4(reactor, "127.0.0.1", proxy.address.port)
        return await network.client(wrapClientTLS(trusted, endpoint)), upstream

"""What a proxy changes about a head on its way, as pure functions over header lines.

Hop-by-hop removal in both directions, the forwarding headers of either era, the client's true address, and the joining
of an upstream's base path and query with the request's. The rules are those of RFC 9110 section 7.6 and RFC 7239, with
the order of Go's C{Rewrite}: remove first, let plugins work on what is left, write the framing last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Final

from attrs import define, field

from twistproxy.messages import Address, Destination, Item
from twistproxy.tls.client import CertificateSource
from twistproxy.trust import NOBODY, Trust, bareAddress, clientAt
from twistproxy.wire.forwarded import parseForwarded
from twistproxy.wire.guard import single, tokens
from twistproxy.wire.heads import HeadMemory, RequestHead, ResponseHead, encodeLines
from twistproxy.wire.lines import HeaderLines
from twistproxy.wire.proxyprotocol import ProxyHeader

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"alt-svc", b"http2-settings",
    }
)  # fmt: skip
"""Removed in both directions: RFC 9110 section 7.6.1's list, Proxy-Connection (RFC 9112 C.2.2), Alt-Svc, which names
another connection, and HTTP2-Settings (RFC 9113 section 3.1)."""


def _spellings(name: bytes) -> list[bytes]:
    """A name with each of its hyphens also as an underscore: CGI and WSGI programs cannot tell them apart."""
    parts = name.split(b"-")
    return [
        b"".join(part + mark for part, mark in zip(parts, (*marks, b""), strict=True))
        for marks in product((b"-", b"_"), repeat=len(parts) - 1)
    ]


CLIENT_CERTIFICATE: Final = frozenset({
    b"client-cert", b"client-cert-chain", b"ssl-client-cert", b"ssl-client-issuer-dn", b"ssl-client-subject-dn",
    b"ssl-client-verify", b"x-amzn-mtls-clientcert", b"x-amzn-mtls-clientcert-issuer", b"x-amzn-mtls-clientcert-leaf",
    b"x-amzn-mtls-clientcert-serial-number", b"x-amzn-mtls-clientcert-subject", b"x-amzn-mtls-clientcert-validity",
    b"x-arr-clientcert", b"x-client-cert", b"x-client-certificate", b"x-client-dn", b"x-client-fingerprint", b"x-client-subject",
    b"x-forwarded-client-cert", b"x-forwarded-tls-client-cert", b"x-forwarded-tls-client-cert-info", b"x-ssl-cert",
    b"x-ssl-client-cert", b"x-ssl-client-cn", b"x-ssl-client-dn", b"x-ssl-client-fingerprint", b"x-ssl-client-i-dn",
    b"x-ssl-client-issuer", b"x-ssl-client-notafter", b"x-ssl-client-notbefore", b"x-ssl-client-s-dn", b"x-ssl-client-serial",
    b"x-ssl-client-sha1", b"x-ssl-client-subject", b"x-ssl-client-verify", b"x-ssl-issuer",
})  # fmt: skip
"""What tells an upstream of a client's certificate: RFC 9440, and the customs of Envoy, Traefik, nginx, its ingress controller,
HAProxy, IIS and AWS."""

FORWARDING: Final = frozenset(
    spelling
    for name in (
        *CLIENT_CERTIFICATE,
        b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port",
        b"x-forwarded-server", b"x-forwarded-prefix", b"x-real-ip",
    )
    for spelling in _spellings(name)
)  # fmt: skip
"""What a client may not say about itself, in all spellings."""

_DROPPED: Final = HOP_BY_HOP | FORWARDING | {b"proxy", b"content_length", b"transfer_encoding"}
"""Proxy becomes HTTP_PROXY in CGI programs (CVE-2016-1000111), and those cannot tell the last two from the real ones."""

_HARMLESS_OPTIONS: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te"})
_NOT_NOMINABLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
_NO_NAMES: Final[frozenset[bytes]] = frozenset()


def nominated(connection: Sequence[bytes]) -> frozenset[bytes]:
    """The header names that Connection's options take away: all but those that frame or address the message."""
    for option in connection:
        if option not in _HARMLESS_OPTIONS:
            return frozenset(connection) - _NOT_NOMINABLE
    return _NO_NAMES


@define
class Identity:
    """What the proxy says about one client connection, made once for it. Nobody changes it; what attrs does to make sure of
    that is a third of what making it costs.

    @ivar client: the client's address, as far as it is trusted.
    @ivar peer: the address at the other end.
    @ivar trusted: whether the peer is a trusted proxy, whose own headers are kept.
    @ivar items: the forwarding headers of a request of an untrusted peer, but for X-Forwarded-Host.
    @ivar trust: which proxies are believed.
    @ivar destination: where the client's connection went before it was redirected to us; None when it was not.
    @ivar certificate: the client's, when it speaks TLS to us.
    @ivar transport: the connection's; None when it has none of its own.
    @ivar proxyHeader: what the PROXY protocol told of it; None when it told nothing.
    @ivar engine: what serves it.
    @ivar block: C{items} as they are sent.
    """

    client: Address
    peer: Address
    trusted: bool
    scheme: str
    items: tuple[Item, ...]
    block: bytes
    trust: Trust = NOBODY
    destination: Destination | None = None
    certificate: CertificateSource | None = None
    transport: Any = field(default=None, eq=False, repr=False)
    proxyHeader: ProxyHeader | None = None
    engine: Any = field(default=None, eq=False, repr=False)

    @property
    def local(self) -> Address:
        """The address that the client connected to."""
        if self.proxyHeader is not None and self.proxyHeader.destination is not None:
            return self.proxyHeader.destination
        if self.destination is not None:
            return Address(self.destination.host, self.destination.port)
        return Address() if self.transport is None else addressOf(self.transport.getHost())


def addressOf(address: Any) -> Address:
    """A transport's address as ours; one without a host is a UNIX socket's."""
    host = getattr(address, "host", None)
    if not isinstance(host, str):
        return Address()
    host = host.partition("%")[0]
    return Address(host.removeprefix("::ffff:") if "." in host else host, address.port)


@lru_cache(maxsize=1024)
def _told(host: str, scheme: str) -> tuple[tuple[Item, ...], bytes]:
    """The forwarding headers of a client's requests, but for X-Forwarded-Host, and the same as they are sent. Clients come
    again, and those of a proxy before us are all the same one.
    """
    items: list[Item] = []
    if host:
        raw = host.encode("ascii")
        items.append((b"x-forwarded-for", b"X-Forwarded-For", raw))
        items.append((b"x-real-ip", b"X-Real-IP", raw))
    items.append((b"x-forwarded-proto", b"X-Forwarded-Proto", scheme.encode("ascii")))
    return tuple(items), encodeLines(items)


def identify(
    peer: Any,
    scheme: str,
    trust: Trust = NOBODY,
    destination: Destination | None = None,
    transport: Any = None,
    proxyHeader: ProxyHeader | None = None,
    engine: Any = None,
) -> Identity:
    """What to say about a connection.

    @param peer: its C{getPeer()}, or the L{Address} of who is there.
    @param scheme: how the client reached us.
    @param trust: which proxies are believed.
    @param destination: where the connection went before it was redirected to us.
    @param transport: the connection's.
    @param proxyHeader: what the PROXY protocol told of it.
    @param engine: what serves it.
    """
    address = addressOf(peer)
    host = address.host
    items, block = _told(host, scheme) if trust.tells else ((), b"")
    trusted = trust.trusts(host)
    return Identity(
        address, address, trusted, scheme, items, block, trust, destination, None, transport, proxyHeader, engine
    )


def requestMemory(size: int) -> HeadMemory[RequestHead] | None:
    """What remembers heads of requests that go on by L{outboundItems}; None with C{size} 0."""
    return HeadMemory(size, _DROPPED) if size else None


def responseMemory(size: int) -> HeadMemory[ResponseHead] | None:
    """What remembers heads of responses that go on by L{responseItems}; None with C{size} 0."""
    return HeadMemory(size, HOP_BY_HOP) if size else None


def outboundBlock(lines: HeaderLines, identity: Identity) -> bytes | None:
    """What L{outboundItems} makes of the lines of an untrusted peer's request with a Host, as it is sent; else None.

    Nothing but the addresses differs from one client to another that say the same, so most of it is made once.
    """
    if identity.trusted:
        return None
    if lines.relayed is None:
        lines.relayed = _relayed(lines, _DROPPED)
    block: bytes
    block, host = lines.relayed
    if not host:
        return None
    return block + identity.block + host if identity.items else block


def relayedResponse(lines: HeaderLines) -> bytes:
    """What L{responseItems} makes of the lines of a response, which may be shared by several, as it is sent."""
    if lines.relayed is None:
        lines.relayed = _relayed(lines, HOP_BY_HOP)
    block: bytes = lines.relayed[0]
    return block


def _relayed(lines: HeaderLines, dropped: frozenset[bytes]) -> tuple[bytes, bytes]:
    """The lines that neither are in C{dropped} nor named by Connection, as they are sent, and X-Forwarded-Host."""
    shape = lines.shape
    if shape is None or nominated(lines.connection):
        kept = _endToEnd(lines.items, lines.connection, dropped)
        return encodeLines(kept), _forwardedHost(kept)
    if shape.relayed is None:
        shape.relayed = lines.changes(dropped), _forwardedHost([item for item, _ in lines.telling])
    changes, host = shape.relayed
    return lines.changed(changes), host


def _forwardedHost(items: Sequence[Item]) -> bytes:
    """X-Forwarded-Host as it is sent; empty without a Host."""
    hosts = single(items, b"host")
    return b"X-Forwarded-Host: " + hosts[0] + b"\r\n" if hosts else b""


def _endToEnd(items: Sequence[Item], connection: Sequence[bytes], dropped: frozenset[bytes]) -> list[Item]:
    """The lines that neither are in C{dropped} nor named by Connection."""
    named = nominated(connection) if connection else _NO_NAMES
    if named:
        return [item for item in items if item[0] not in dropped and item[0] not in named]
    return [item for item in items if item[0] not in dropped]


def outboundItems(
    items: Sequence[Item],
    connection: Sequence[bytes],
    identity: Identity,
    via: bytes = b"",
    emitForwarded: bool = False,
) -> tuple[list[Item], Address]:
    """The header lines to send on, before directors see them, and the client's address.

    Removed are what Connection names, hop-by-hop headers and what the client says about itself; added is what we know:
    X-Forwarded-For, -Proto, -Host and X-Real-IP, with a trusted peer's values kept and appended to.

    @param items: the inbound lines.
    @param connection: the options of Connection, lower-case.
    @param via: our name in Via; empty for none.
    @param emitForwarded: whether to send RFC 7239 Forwarded as well.
    """
    out = _endToEnd(items, connection, _DROPPED)
    client = identity.client
    chain: list[str] = []
    if identity.trusted:
        client, chain = _appendForwarding(out, items, identity)
    elif identity.items:
        out += identity.items
        for item in out:
            if item[0] == b"host":
                out.append((b"x-forwarded-host", b"X-Forwarded-Host", item[2]))
                break
    if via:
        out.append((b"via", b"Via", b"1.1 " + via))
    if emitForwarded:
        _appendForwarded(out, items, identity, chain)
    return out, client


def _last(items: Sequence[Item], name: bytes) -> bytes | None:
    """The value of a field that the nearest proxy wrote: the last, of lines and of a list. Apache's makes a list of what the
    client wrote and its own."""
    values = [each.strip() for each in b",".join(single(items, name)).split(b",")]
    return next((each for each in reversed(values) if each), None)


def _appendForwarding(out: list[Item], items: Sequence[Item], identity: Identity) -> tuple[Address, list[str]]:
    """The forwarding headers of a request that came through a trusted proxy.

    @return: the client's address, and who connected to whom before our peer, left to right.
    """
    trust = identity.trust
    host: bytes | None
    protocol: bytes | None
    if trust.readsForwarded:
        elements = parseForwarded(single(items, b"forwarded"))
        chain = [bareAddress(each.get("for", "")) or "unknown" for each in elements]
        client, at = clientAt(identity.peer, chain, trust)
        told = elements[at] if at < len(elements) else {}
        host, protocol = (told[name].encode("latin-1") if name in told else None for name in ("host", "proto"))
    else:
        listed = b",".join(single(items, b"x-forwarded-for")).decode("latin-1").split(",")
        chain = [each.strip() for each in listed if each.strip()]
        client, at = clientAt(identity.peer, chain, trust)
        host, protocol = _last(items, b"x-forwarded-host"), _last(items, b"x-forwarded-proto")
    out += [item for item in items if item[0] in CLIENT_CERTIFICATE]
    if not trust.tells:
        return client, chain
    texts = [*chain, identity.peer.host] if identity.peer.host else chain
    if texts:
        out.append((b"x-forwarded-for", b"X-Forwarded-For", ", ".join(texts).encode("latin-1")))
    if client.host:
        out.append((b"x-real-ip", b"X-Real-IP", client.host.encode("ascii")))
    out.append((b"x-forwarded-proto", b"X-Forwarded-Proto", protocol or identity.scheme.encode("ascii")))
    host = host or _last(items, b"host")
    if host:
        out.append((b"x-forwarded-host", b"X-Forwarded-Host", host))
    if not trust.readsForwarded:
        for name in (b"x-forwarded-port", b"x-forwarded-server", b"x-forwarded-prefix"):
            out += [item for item in items if item[0] == name]
    return client, chain


def _node(host: str) -> str:
    """An address as C{for} of Forwarded has it (RFC 7239 section 6)."""
    address = bareAddress(host)
    if address is None:
        return "unknown"
    return f'"[{address}]"' if ":" in address else address


def _appendForwarded(out: list[Item], items: Sequence[Item], identity: Identity, chain: list[str]) -> None:
    """RFC 7239: one element of ours, behind what trusted proxies say; X-Forwarded-For in its terms (section 7.4)."""
    parts = ["for=" + _node(identity.peer.host)]
    named = single(items, b"host")
    if named:
        parts.append('host="' + named[0].decode("latin-1").replace("\\", "").replace('"', "") + '"')
    parts.append(f"proto={identity.scheme}")
    ours = ";".join(parts).encode("latin-1")
    if not identity.trusted:
        values = []
    elif identity.trust.readsForwarded:
        values = single(items, b"forwarded") if chain else []
    else:
        values = [b"for=" + _node(each).encode("ascii") for each in chain]
    out.append((b"forwarded", b"Forwarded", b", ".join([*values, ours])))


def keepsTrailers(items: Sequence[Item]) -> bool:
    """Whether a TE line asks for trailers: the one token of TE that is sent on (RFC 9110 section 10.1.4)."""
    return b"trailers" in tokens(single(items, b"te"))


def upgradeTokens(values: Sequence[bytes]) -> list[bytes]:
    """What a client wants to upgrade to, as sent, h2c left out: that would be a way around every rule made here."""
    wanted = [each.strip(b" \t") for each in b",".join(values).split(b",")]
    return [each for each in wanted if each and each.lower() != b"h2c"]


def responseItems(items: Sequence[Item], connection: Sequence[bytes]) -> list[Item]:
    """The end-to-end header lines of a response, of a 1xx too."""
    return _endToEnd(items, connection, HOP_BY_HOP)


def joinPath(base: bytes, path: bytes) -> bytes:
    """C{path} below C{base}, with exactly one slash where they meet; bytes are kept as they are.

    As Go's singleJoiningSlash, on raw paths.
    """
    if base == b"" or base == b"/":
        return path
    if path == b"*":
        return path
    if base[-1:] == b"/":
        return base + path[1:] if path[:1] == b"/" else base + path
    return base + path if path[:1] == b"/" else base + b"/" + path


def joinQuery(base: bytes | None, query: bytes | None) -> bytes | None:
    """An upstream's own query before the request's, joined by C{&}; None for neither."""
    if not base:
        return query
    if not query:
        return base
    return base + b"&" + query

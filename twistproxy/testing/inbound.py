"""A request as plugins get it, for tests that call a hook themselves."""

from __future__ import annotations

from attrs import evolve

from twistproxy.bodies.body import EMPTY, Body
from twistproxy.forwarding import identify, outboundItems
from twistproxy.messages import Address, HeadersLike, InboundRequest, OutboundRequest
from twistproxy.testing.composing import withHost
from twistproxy.tls.client import ClientCertificate, ShownCertificate


def makeRequest(
    method: str | bytes = "GET",
    target: str | bytes = "/",
    headers: HeadersLike = (),
    body: bytes = b"",
    *,
    client: str = "203.0.113.9",
    scheme: str = "http",
    certificate: bytes | None = None,
) -> InboundRequest:
    """A request, and the one that would be sent on as its C{outbound}::

        request = makeRequest("GET", "/x?y=1", {"X-Team": "blue"})
        Tenant().direct(request, request.outbound)

    @param headers: C{Host: app.example} is added if it is not there.
    @param client: the address that it comes from.
    @param certificate: the client's, as DER; it then comes by https.
    """
    method = method.encode() if isinstance(method, str) else method
    target = target.encode() if isinstance(target, str) else target
    fields = withHost(headers)
    if body:
        fields.setRawHeaders("Content-Length", [str(len(body))])
    scheme = scheme if certificate is None else "https"
    identity = identify(Address(client, 50000), scheme)
    options = b",".join(fields.getRawHeaders(b"connection", [])).lower().split(b",")
    items, address = outboundItems(fields.items, [each.strip() for each in options if each.strip()], identity)
    if certificate is not None:
        identity = evolve(identity, certificate=ShownCertificate(ClientCertificate(certificate)))
    request = InboundRequest(method, target, fields, address, identity.peer, scheme, connection=identity)
    request.body = Body.of(body) if body else EMPTY
    request.outbound = OutboundRequest(method, target, items, request.body, address, scheme)
    return request

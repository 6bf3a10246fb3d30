"""A request made anew from one that was sent to an upstream, so that nothing of either is seen in the other. Pure."""

from __future__ import annotations

from collections.abc import Collection

from attrs import frozen

from twistproxy.bodies.body import EMPTY, Body
from twistproxy.headeredits import HeaderEdits
from twistproxy.messages import InboundRequest, Item, OutboundRequest
from twistproxy.wire.guard import CHUNKED
from twistproxy.wire.http1 import RequestHead
from twistproxy.wire.lines import HeaderLines


@frozen
class Copied:
    """A request to be sent.

    @ivar size: bytes of its body.
    """

    inbound: InboundRequest
    outbound: OutboundRequest
    head: RequestHead
    size: int


def copied(original: InboundRequest, body: Body, size: int, edits: HeaderEdits | None, setsHost: bool) -> Copied:
    """The copy of a request, as its directors have left it.

    Expect is not copied: the body is here, and nobody need be asked whether it is wanted.

    @param body: the copy's. One with C{contents} is sent with a length, as that of the original was; any other is framed as the
        client's was.
    @param size: its bytes.
    @param edits: of the copy's headers.
    @param setsHost: whether these set Host.
    """
    inbound = original.detached()
    made = _outbound(original.outbound, body)
    inbound.body, inbound.outbound = made.body, made
    names = {item[0] for item in inbound.headers.items}
    if b"expect" in names:
        made.headers.removeHeader(b"expect")
    if edits is not None:
        edits.apply(made.headers)
        made.hostSet = made.hostSet or setsHost
    return Copied(inbound, made, _head(inbound, names, size), size)


def _outbound(original: OutboundRequest, body: Body) -> OutboundRequest:
    stream = EMPTY if body.contents is not None else body
    made = OutboundRequest(
        original.method, original.target, list(original.items), stream, original.client, original.scheme
    )
    made.hostSet = original.hostSet
    if original.isTouched:
        made.headers  # noqa: B018 - says that what frames the original is not to be believed
    if body.contents is not None and body is not EMPTY:
        made.body = body.contents
    return made


def _head(inbound: InboundRequest, names: Collection[bytes], size: int) -> RequestHead:
    """What an attempt wants to know of the client's head.

    @param names: of its lines.
    """
    head = RequestHead(inbound.method, inbound.target, inbound.minor)
    head.lines = HeaderLines(inbound.headers.items, ())
    head.length = CHUNKED if b"transfer-encoding" in names else size
    head.keepAlive = True
    head.mentionsTe = b"te" in names
    return head


def bodyOf(contents: bytes, trailers: list[Item]) -> Body:
    """A body that came in, and is complete."""
    body = Body()
    if contents:
        body.dataReceived(contents)
    body.allReceived(trailers)
    return body

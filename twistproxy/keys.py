"""What of a request stands for whoever sent it: the keys of balancers that hash, and of limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twistproxy.messages import InboundRequest
from twistproxy.routing import hostName
from twistproxy.text.suggest import didYouMean

Key = Callable[[InboundRequest], bytes | None]
"""Gives the key of a request; None or nothing when it has none: then it may go anywhere, and not all of them to one."""


def keyFrom(text: str, *others: str) -> Key:
    """What makes the key of a request, from the text of the option.

    @param others: words that the option may be, besides those that are known here.
    @raise ValueError: with a sentence for the person who wrote it.
    """
    kind, _, name = text.partition(":")
    if kind in _NAMELESS and not name:
        return _NAMELESS[kind]
    if kind in _NAMED and name:
        return _NAMED[kind](name.encode())
    if kind in _NAMED:
        raise ValueError(f"key: {kind} needs a name, as in {kind}\\:NAME")
    known = ", ".join([*_NAMELESS, *others, *(f"{each}:NAME" for each in _NAMED)])
    raise ValueError(f"key: {text!r} is none of {known}{didYouMean(kind, [*_NAMELESS, *others, *_NAMED])}")


def cookieValues(request: InboundRequest, name: bytes) -> Iterator[bytes]:
    """The values of the cookies of that name; a browser sends several when their paths or domains differ."""
    for line in request.headers.getRawHeaders(b"cookie", ()):
        for pair in line.split(b";"):
            found, _, value = pair.strip().partition(b"=")
            if found == name:
                yield value


def _client(request: InboundRequest) -> bytes | None:
    return request.client.host.encode()


def _user(request: InboundRequest) -> bytes | None:
    return request.user.encode("utf-8", "surrogateescape")


def _path(request: InboundRequest) -> bytes | None:
    return request.path


def _target(request: InboundRequest) -> bytes | None:
    return request.target


def _host(request: InboundRequest) -> bytes | None:
    return hostName(request.host).encode()


def _header(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        value: bytes | None = request.headers.get(name)
        return value

    return key


def _cookie(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        return next(cookieValues(request, name), None)

    return key


def _query(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        for pair in (request.query or b"").split(b"&"):
            found, _, value = pair.partition(b"=")
            if found == name:
                return value
        return None

    return key


_NAMELESS = {"client": _client, "user": _user, "host": _host, "path": _path, "target": _target}
_NAMED = {"header": _header, "cookie": _cookie, "query": _query}

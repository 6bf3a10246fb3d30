"""What a plugin asks of a server by itself: small documents, never more than it can hold."""

from __future__ import annotations

from typing import Any


async def readLimited(response: Any, limit: int) -> bytes:
    """The body of an C{IResponse}.

    @param limit: most bytes.
    @raise ValueError: when it is longer; its connection is closed.
    """
    from treq import collect  # here and not above: nobody else needs it, and it takes a while

    pieces: list[bytes] = []
    size = 0

    def collected(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > limit:
            raise ValueError(f"it is longer than {limit >> 20} MiB")
        pieces.append(piece)

    await collect(response, collected)
    return b"".join(pieces)


async def fetch(reactor: Any, url: str, timeout: float, limit: int) -> bytes:
    """The document at a URL; redirects are not followed.

    @param timeout: for the connection; that for all of it is the caller's.
    @raise ValueError: when the answer is not 200, or too long.
    @raise Exception: when there is none.
    """
    from twisted.web.client import Agent

    response = await Agent(reactor, connectTimeout=timeout).request(b"GET", url.encode("ascii"))
    content = await readLimited(response, limit)
    if response.code != 200:
        raise ValueError(f"the answer is {response.code}")
    return content


def isDocumentURL(url: str) -> bool:
    """Whether it can be fetched: C{http://} or C{https://}, over TCP."""
    from twistproxy.location import parseLocation

    try:
        return not parseLocation(url).socketPath
    except ValueError:
        return False

"""The answer to what is no request: a page without an exchange."""

from __future__ import annotations

from twistproxy.answers.errorpage import statusPhrase
from twistproxy.exchange.delivery import ClientStream
from twistproxy.messages import Response


def sendPage(client: ClientStream, page: Response) -> None:
    """Send a complete answer, head, body and end.

    @param page: whose body is complete; its headers say nothing of a length.
    """
    text = page.body.contents or b""
    items = [*page.headers.items, (b"content-length", b"Content-Length", b"%d" % len(text))]
    client.sendHead(page.code, statusPhrase(page.code), items, len(text))
    client.sendData(text)
    client.sendEnd([])

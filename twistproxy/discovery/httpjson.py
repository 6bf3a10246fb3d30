"""Upstreams from a JSON document that is fetched again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zope.interface import implementer

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.files import parseEntries
from twistproxy.discovery.polled import Answer, Polled
from twistproxy.interfaces import IUpstreamSource
from twistproxy.permissions.fetching import agent, isDocumentURL, readLimited
from twistproxy.plugin import Duration
from twistproxy.text.secret import Secret

_MAX_BYTES: Final = 4 << 20
"""Longest document that is read."""


class _Document:
    """A document at a URL, and the validators of the version that was seen last (RFC 9110 section 8.8)."""

    def __init__(self, reactor: Any, url: str, token: str, every: float, timeout: float) -> None:
        self._reactor = reactor
        self._url = url
        self._token = token
        self._every = every
        self._timeout = timeout
        self._validators: dict[str, str] = {}

    async def find(self) -> Answer:
        """Its entries; none when it is the same as before.

        @raise Exception: when it cannot be had, or understood.
        """
        # Here and not above: it is needed by nobody else, and takes a while.
        from treq.client import HTTPClient

        client = HTTPClient(agent(self._reactor, self._timeout))
        headers: dict[Any, Any] = {"Accept": "application/json", **self._validators}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        response = await client.get(self._url, headers=headers, unbuffered=True, allow_redirects=False)
        content = await readLimited(response, _MAX_BYTES)
        if response.code == 304 and self._validators:
            return Answer(None, self._every)
        if response.code != 200:
            raise ValueError(f"the answer is {response.code}")
        entries = parseEntries(content, "json")
        self._validators = {
            ours: values[0]
            for ours, theirs in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if (values := response.headers.getRawHeaders(theirs))
        }
        return Answer(entries, self._every)


@implementer(IUpstreamSource)
def httpJSON(
    context: Any,
    url: str,
    format: str = "http://%s",
    every: Duration = 5.0,
    timeout: Duration = 5.0,
    token: Secret = Secret(),  # noqa: B008 - text
    weight: int = 1,
    weights: Mapping[str, int] | None = None,
) -> Polled:
    """Upstreams are the entries of a JSON document, which is fetched again and again: a list, or an object with a list
    upstreams, of strings or tables as in a file.

    A version that was seen before is not sent again by servers that know ETag or Last-Modified. While the document cannot
    be had or understood, the last upstreams stay. Redirects are not followed.

    @param url: of the document.
    @param format: the URL of an address, with %s in its place; options of an upstream may follow it, for all of them.
    @param every: how often it is asked for.
    @param timeout: for all of an answer.
    @param token: sent as Authorization: Bearer.
    @param weight: of entries that have no other.
    @param weights: weights by address, or by host alone.
    @raise ValueError: when one of these cannot be used.
    """
    if not isDocumentURL(url):
        raise ValueError("url: the document is at http://... or https://...; within a plugin string a colon is written \\:")
    document = _Document(context.reactor, url, token, every, timeout)
    reader = EntryReader(format, weights or {}, weight, directory=context.directory)
    name = f"http-json {url.partition('?')[0]}"  # what follows may be a secret
    return Polled(context.reactor, name, reader, document.find, (every, every), timeout)

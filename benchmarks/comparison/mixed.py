"""Requests and answers as a site has them: no two heads alike, most of their lines seen before.

Some clients, each with its browser and its cookies, walk over some pages: documents, what belongs to them, asked for with
the validator that came with it, and calls of an API. Targets and answers carry numbers that never come again, dates move on,
and one answer in ten sets a cookie of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from email.utils import formatdate
from typing import Final

AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
)
LANGUAGES: Final = ("en-GB,en;q=0.8,de;q=0.5", "en-US,en;q=0.9", "fr-FR,fr;q=0.9,en;q=0.7", "de-DE,de;q=0.9,en;q=0.8")
CLIENTS: Final = 200
PAGES: Final = 500
PER_SECOND: Final = 500
"""Exchanges from one date to the next."""

Messages = tuple[bytes, bytes]
"""A request, and the answer to it."""


class _Client:
    """What a browser says with every request."""

    def __init__(self, chance: random.Random) -> None:
        agent = chance.choice(AGENTS)
        self.about = ("Host: www.example.org", f"User-Agent: {agent}")
        self.languages = (f"Accept-Language: {chance.choice(LANGUAGES)}", "Accept-Encoding: gzip, deflate, br, zstd")
        self.cookie = f"Cookie: session={chance.getrandbits(128):032x}; theme={chance.choice(('light', 'dark'))}; consent=all"


class _Page:
    """A document, and what belongs to it."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.path = f"/articles/{number}"
        self.asset = f"/static/{chance.getrandbits(32):08x}.{chance.choice(('css', 'js', 'woff2', 'png'))}"
        self.tag = f'"{chance.getrandbits(48):012x}"'
        self.changed = formatdate(1_700_000_000 + chance.randrange(60_000_000), usegmt=True)
        self.length = chance.randrange(200, 2000)


def mixed(seed: int = 1) -> Iterator[Messages]:
    """Exchanges without end; the same ones for the same seed."""
    chance = random.Random(seed)
    clients = [_Client(chance) for _ in range(CLIENTS)]
    pages = [_Page(chance, number) for number in range(PAGES)]
    number = 0
    while True:
        number += 1
        page = pages[min(int(chance.paretovariate(0.6)), PAGES) - 1]  # a few are asked for most of the time
        make = chance.choice((_document, _asset, _asset, _asset, _call))
        yield make(chance, number, chance.choice(clients), page)


def _joined(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _fetch(destination: str, mode: str) -> tuple[str, ...]:
    return (f"Sec-Fetch-Dest: {destination}", f"Sec-Fetch-Mode: {mode}", "Sec-Fetch-Site: same-origin")


def _answer(chance: random.Random, number: int, status: str, *lines: str) -> tuple[str, ...]:
    date = formatdate(1_763_800_000 + number // PER_SECOND, usegmt=True)
    own = (f"Set-Cookie: seen={number:x}; Path=/; HttpOnly; SameSite=Lax",) if chance.random() < 0.1 else ()
    always = (f"X-Request-Id: {chance.getrandbits(128):032x}", "X-Content-Type-Options: nosniff", "Connection: keep-alive")
    return (f"HTTP/1.1 {status}", "Server: nginx/1.28.0", f"Date: {date}", *lines, *own, *always)


def _document(chance: random.Random, number: int, client: _Client, page: _Page) -> Messages:
    accept = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    request = _joined(
        f"GET {page.path}?from=list&visit={number} HTTP/1.1", *client.about, accept, *client.languages,
        f"Referer: https://www.example.org/articles?page={chance.randrange(50)}", "Connection: keep-alive", client.cookie,
        "Upgrade-Insecure-Requests: 1", *_fetch("document", "navigate"), "Priority: u=0, i",
    )  # fmt: skip
    length = page.length + number % 100
    answer = _answer(
        chance, number, "200 OK", "Content-Type: text/html; charset=utf-8", f"Content-Length: {length}",
        "Cache-Control: private, max-age=0", "Vary: Accept-Encoding, Cookie", "Strict-Transport-Security: max-age=31536000",
    )  # fmt: skip
    return request, _joined(*answer) + bytes(length)


def _asset(chance: random.Random, number: int, client: _Client, page: _Page) -> Messages:
    isKnown = chance.random() < 0.5
    validators = (f"If-Modified-Since: {page.changed}", f"If-None-Match: {page.tag}") if isKnown else ()
    request = _joined(
        f"GET {page.asset}?v={number} HTTP/1.1", *client.about, "Accept: */*", *client.languages,
        f"Referer: https://www.example.org{page.path}", "Connection: keep-alive", client.cookie,
        *_fetch("script", "no-cors"), *validators,
    )  # fmt: skip
    about = (f"Last-Modified: {page.changed}", f"ETag: {page.tag}", "Cache-Control: public, max-age=86400")
    if isKnown:
        return request, _joined(*_answer(chance, number, "304 Not Modified", *about))
    kind = ("Content-Type: text/css", f"Content-Length: {page.length}", "Accept-Ranges: bytes", "Vary: Accept-Encoding")
    return request, _joined(*_answer(chance, number, "200 OK", *kind, *about)) + bytes(page.length)


def _call(chance: random.Random, number: int, client: _Client, page: _Page) -> Messages:
    body = f'{{"article":"{page.path}","visit":{number}}}'
    request = _joined(
        f"POST /api/visits?n={number} HTTP/1.1", *client.about, "Accept: application/json", *client.languages,
        "Content-Type: application/json", f"Content-Length: {len(body)}", f"X-Trace: {chance.getrandbits(64):016x}",
        "Origin: https://www.example.org", f"Referer: https://www.example.org{page.path}", "Connection: keep-alive",
        client.cookie, *_fetch("empty", "cors"),
    )  # fmt: skip
    text = f'{{"visits":{number}}}'
    answer = _answer(
        chance, number, "200 OK", "Content-Type: application/json", f"Content-Length: {len(text)}", "Cache-Control: no-store",
    )  # fmt: skip
    return request + body.encode(), _joined(*answer) + text.encode()

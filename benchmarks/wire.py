"""Times the readers of twistproxy.wire: microseconds per message, the best of several rounds.

Run it before and after a change of the hot path, on an otherwise idle core: C{python benchmarks/wire.py [pattern]}.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from timeit import repeat

from twistproxy.settings import Settings
from twistproxy.wire.http1 import RequestReader, ResponseReader

ROUNDS = 15
SECONDS = 0.05
SETTINGS = Settings()

SMALL = b"GET /hello HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: wrk\r\nAccept: */*\r\n\r\n"
BROWSER = (
    b"GET /shop/item/4711?ref=mail&lang=de HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/142.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
    b"Referer: https://www.example.org/shop\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: de,en;q=0.9\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\r\n"
)
POST = b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
CHUNKED = b"POST /form HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
NGINX = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 6\r\nConnection: keep-alive\r\n\r\nhello\n"
)
APPLICATION = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\nVary: Accept-Encoding, Cookie\r\nCache-Control: private, max-age=0\r\n"
    b"Set-Cookie: session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; Secure; SameSite=Lax\r\n"
    b"X-Frame-Options: DENY\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n\r\n"
)
BIG_CHUNKS = b"".join([b"4000\r\n" + b"x" * 0x4000 + b"\r\n"] * 4) + b"0\r\n\r\n"
TINY_CHUNKS = b"1\r\nx\r\n" * (65536 // 6) + b"0\r\n\r\n"


def request(*pieces: bytes) -> Callable[[], None]:
    """Read one request that comes in these pieces."""
    reader = RequestReader(SETTINGS)

    def run() -> None:
        for piece in pieces:
            reader.receiveData(piece)
            while reader.nextEvent() is not None:
                pass
        assert reader.isDone
        reader.startNextMessage()

    return run


def response(*pieces: bytes) -> Callable[[], None]:
    """Read one response."""
    reader = ResponseReader(SETTINGS)

    def run() -> None:
        reader.expectResponse(False)
        for piece in pieces:
            reader.receiveData(piece)
            while reader.nextEvent() is not None:
                pass
        assert reader.isDone

    return run


def bytewise(data: bytes) -> list[bytes]:
    """Each byte by itself."""
    return [bytes([each]) for each in data]


BIG_HEAD = SMALL[:-2] + (b"X: " + b"y" * 995 + b"\r\n") * 64 + b"\r\n"

CASES = {
    "request, small": request(SMALL),
    "request, browser": request(BROWSER),
    "request, browser, two segments": request(BROWSER[:400], BROWSER[400:]),
    "request, 1 KiB body": request(POST),
    "request, 64 KiB in 4 chunks": request(CHUNKED, BIG_CHUNKS),
    "request, 64 KiB segment of 1-byte chunks": request(CHUNKED, TINY_CHUNKS),
    "request, small, byte by byte": request(*bytewise(SMALL)),
    "request, 64 KiB head": request(BIG_HEAD),
    "request, 64 KiB head byte by byte": request(*bytewise(BIG_HEAD)),
    "response, nginx": response(NGINX),
    "response, application in chunks": response(APPLICATION + b"400\r\n" + b"x" * 0x400 + b"\r\n0\r\n\r\n"),
    "response, 64 KiB in 4 chunks": response(APPLICATION, BIG_CHUNKS),
    "response, 100 and 200": response(b"HTTP/1.1 100 Continue\r\n\r\n" + NGINX),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each case that was asked for."""
    parser = argparse.ArgumentParser(description="Microseconds for each message that twistproxy.wire reads.")
    parser.add_argument("pattern", nargs="?", default="", help="only cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"for each round; default: {SECONDS}")
    chosen = parser.parse_args(arguments)
    for name, run in CASES.items():
        if chosen.pattern in name:
            once = min(repeat(run, number=1, repeat=min(3, chosen.rounds)))
            number = max(1, int(chosen.seconds / once))
            best = min(repeat(run, number=number, repeat=chosen.rounds if number > 1 else min(5, chosen.rounds))) / number
            print(f"{name:45} {best * 1e6:12.2f} us", flush=True)


if __name__ == "__main__":
    main()

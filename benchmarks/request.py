"""What one exchange costs inside twistproxy, without sockets: a request in, the same out, its answer in and out.

    .venv/bin/python benchmarks/request.py [small|browser|mixed] [--unlike] [--profile] [--allocations]

The transports are fakes that drop what is written, so this is parsing, forwarding, pool, deadlines and framing, as they
are with default settings, and nothing of the reactor or the kernel. Prints microseconds of an exchange, the least of many
repeats: what disturbs a measurement only ever adds to it.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat, starmap
from pathlib import Path
from typing import Any, Final

from comparison.heads import BROWSER
from comparison.mixed import mixed
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocol, ITCPTransport
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from zope.interface import implementer

from twistproxy import ReverseProxy
from twistproxy.settings import Settings

SHOWN: Final = 25
"""Lines of a profile."""


@dataclass(frozen=True)
class Case:
    """A request and its answer, as they come off the wire."""

    request: bytes
    response: bytes


SMALL: Final = Case(
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n",
)
PAGE: Final = Case(
    b"GET /page HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    + b"".join(f"{name}: {value}\r\n".encode() for name, value in BROWSER)
    + b"\r\n",
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: 1024\r\nLast-Modified: Sun, 06 Nov 1994 08:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "2ebca9a0-400"\r\nCache-Control: private, max-age=60\r\nVary: Accept-Encoding\r\n'
    b"Set-Cookie: seen=1; Path=/; HttpOnly; SameSite=Lax\r\nX-Content-Type-Options: nosniff\r\n"
    b"Strict-Transport-Security: max-age=31536000\r\nAccept-Ranges: bytes\r\n\r\n" + b"x" * 1024,
)
CASES: Final = {"small": SMALL, "browser": PAGE}
"""The scenarios of those names in compare.py, the same exchange again and again."""

MIXED: Final = "mixed"
"""The name of exchanges that are never the same."""


def casesOf(name: str) -> Iterator[Case]:
    """Exchanges without end."""
    return starmap(Case, mixed()) if name == MIXED else repeat(CASES[name])


@implementer(ITCPTransport)
class Sink:
    """A transport that takes everything and counts it."""

    def __init__(self) -> None:
        self.taken = 0

    def write(self, data: bytes) -> None:
        """Take a piece."""
        self.taken += len(data)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """Take several."""
        self.taken += sum(map(len, pieces))

    def getPeer(self) -> IPv4Address:
        """Anybody."""
        return IPv4Address("TCP", "127.0.0.1", 40000)

    def getHost(self) -> IPv4Address:
        """Anywhere."""
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def _ignore(self, *arguments: object) -> None:
        """What else a transport is told."""

    registerProducer = unregisterProducer = pauseProducing = resumeProducing = stopProducing = _ignore
    loseConnection = loseWriteConnection = abortConnection = _ignore
    setTcpNoDelay = setTcpKeepAlive = _ignore

    def getTcpNoDelay(self) -> bool:
        """It makes no difference."""
        return False

    getTcpKeepAlive = getTcpNoDelay


class InstantReactor(Clock):
    """Time that stands still, and connections that are there at once.

    @ivar made: the connections to the upstream, and what was written to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, Sink]] = []

    def connectTCP(self, host: str, port: int, factory: ClientFactory, **options: object) -> None:
        """Connect to nobody."""
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        assert protocol is not None
        self.made.append(connected(protocol))


def connected(protocol: IProtocol) -> tuple[Any, Sink]:
    """A protocol on a transport of its own."""
    sink = Sink()
    protocol.makeConnection(sink)
    return protocol, sink


class Proxied:
    """A proxy with one client, whose requests all go over one connection to the upstream."""

    def __init__(self, cases: Iterator[Case], **options: Any) -> None:
        """
        @param cases: without end.
        @param options: of L{ReverseProxy}.
        """
        self._cases = cases
        self._reactor = InstantReactor()
        self._proxy = ReverseProxy(self._reactor, ["http://127.0.0.1:9000"], **options)
        self._client, self._answers = connected(self._proxy.buildProtocol(None))
        [first] = self.take(1)
        self.ask(first)
        self.answer(first)
        [(self._upstream, self._requests)] = self._reactor.made
        self._check(first)

    def take(self, number: int) -> list[Case]:
        """The next so many exchanges, to be played."""
        return list(islice(self._cases, number))

    def play(self, cases: Sequence[Case]) -> None:
        """One exchange after the other."""
        ask, answer = self._client.dataReceived, self._upstream.dataReceived
        for case in cases:
            ask(case.request)
            answer(case.response)

    def ask(self, case: Case) -> None:
        """The first half: the request reaches the upstream."""
        self._client.dataReceived(case.request)

    def answer(self, case: Case) -> None:
        """The second half: the answer reaches the client."""
        self._reactor.made[0][0].dataReceived(case.response)

    def _check(self, case: Case) -> None:
        """That what is measured is what is meant: messages come through whole, with little more than they had."""
        assert len(case.request) - 40 <= self._requests.taken < len(case.request) + 400, self._requests.taken
        assert len(case.response) - 40 <= self._answers.taken < len(case.response) + 400, self._answers.taken


def leastMicroseconds(proxied: Proxied, repeats: int, number: int) -> float:
    """Microseconds of CPU time of one exchange, in the best of C{repeats} times C{number} exchanges."""
    best = float("inf")
    for _ in range(repeats):
        cases = proxied.take(number)
        started = time.process_time()
        proxied.play(cases)
        best = min(best, time.process_time() - started)
    return best / number * 1e6


def profile(proxied: Proxied, number: int) -> None:
    """Print where the time goes, function by function."""
    profiler = cProfile.Profile()
    profiler.runcall(proxied.play, proxied.take(number))
    pstats.Stats(profiler, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(SHOWN)


def allocations(proxied: Proxied, number: int) -> None:
    """Print what an exchange holds while the upstream thinks, and what it leaves to the garbage collector.

    Blocks are CPython's: an object is one or more. What lives shorter than half an exchange is not seen.
    """
    cases = proxied.take(number)
    [last] = proxied.take(1)
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        proxied.play(cases)
        left = (sys.getallocatedblocks() - before) / number
        cycles = cyclicGarbage()
        tracemalloc.start()
        proxied.ask(last)
        live = tracemalloc.take_snapshot()
        tracemalloc.stop()
        proxied.answer(last)
    finally:
        gc.enable()
    print(f"  {left:.1f} blocks left behind; objects in reference cycles: {sum(cycles.values()) / number:.1f}")
    for kind, count in cycles.most_common():
        if count >= number:
            print(f"  {count / number:4.0f} {kind}")
    lines = live.filter_traces([tracemalloc.Filter(False, tracemalloc.__file__)]).statistics("lineno")
    size, blocks = sum(line.size for line in lines), sum(line.count for line in lines)
    print(f"  {blocks} blocks, {size / 1024:.1f} KiB, held while the upstream thinks, made at")
    for line in lines[:SHOWN]:
        frame = line.traceback[0]
        print(f"  {line.count:4d} blocks {line.size:6d} bytes  {'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno}")


def cyclicGarbage() -> Counter[str]:
    """Collect the garbage; the names of its types."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = Counter(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    gc.collect()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=(*CASES, MIXED), help="default: all")
    parser.add_argument("--profile", action="store_true", help="print cProfile's figures too, by each function's own time")
    parser.add_argument("--allocations", action="store_true", help="print what an exchange allocates too")
    parser.add_argument("--unlike", action="store_true", help="no head is known from before, as if each was another")
    parser.add_argument("--repeats", type=int, default=40, metavar="N", help="default: 40")
    parser.add_argument("--exchanges", type=int, default=2000, metavar="N", help="in each repeat; default: 2000")
    chosen = parser.parse_args(arguments)
    for name in [chosen.case] if chosen.case else (*CASES, MIXED):
        proxied = Proxied(casesOf(name), settings=Settings(rememberedHeads=0 if chosen.unlike else Settings().rememberedHeads))
        print(f"{name}: {leastMicroseconds(proxied, chosen.repeats, chosen.exchanges):.2f} us", flush=True)
        if chosen.allocations:
            allocations(proxied, chosen.exchanges)
        if chosen.profile:
            profile(proxied, chosen.exchanges)


if __name__ == "__main__":
    main()

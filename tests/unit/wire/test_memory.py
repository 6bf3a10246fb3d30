"""What is remembered: the same bytes say the same, whatever was parsed before; bounded; from the second time on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import HEAD_TOO_LARGE, ProxyError
from twistproxy.settings import Settings
from twistproxy.wire.heads import HeadMemory, RequestHead, ResponseHead, parseRequestHead, parseResponseHead
from twistproxy.wire.memory import LONGEST, Made, Memory

SETTINGS = Settings()
LINES = (
    b"Host: a.example\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
    b"TE: trailers\r\n\r\n"
)


class TestMemory(SynchronousTestCase):
    def known(self, memory: Memory[int], *keys: bytes) -> list[int | None]:
        return [memory.recall(key) for key in keys]

    def keep(self, memory: Memory[int], key: bytes, value: int) -> None:
        memory.offer(key, value)
        memory.offer(key, value)

    def test_fromTheSecondTimeOn(self) -> None:
        memory = Memory[int](2)
        memory.offer(b"a", 1)
        self.assertEqual((self.known(memory, b"a"), len(memory)), ([None], 0))
        memory.offer(b"a", 1)
        self.assertEqual(self.known(memory, b"a", b"b"), [1, None])

    def test_whatIsAskedForStays(self) -> None:
        memory = Memory[int](2)
        for number in range(20):
            self.keep(memory, b"wanted", 0) if memory.recall(b"wanted") is None else None
            self.keep(memory, b"%d" % number, number)
            self.assertEqual(memory.recall(b"wanted"), 0)
            self.assertLessEqual(len(memory), 4)
        self.assertEqual(memory.recall(b"0"), None)

    def test_whatComesOnceTakesNoRoom(self) -> None:
        memory = Memory[int](2)
        for number in range(1000):
            memory.offer(b"%d" % number, number)
        self.assertEqual(len(memory), 0)
        self.assertLessEqual(len(memory._seen), 8)

    def test_longOnesAreNotKept(self) -> None:
        memory = Memory[int](2)
        self.keep(memory, bytes(LONGEST), 1)
        self.keep(memory, bytes(LONGEST + 1), 2)
        self.assertEqual(self.known(memory, bytes(LONGEST), bytes(LONGEST + 1)), [1, None])

    def test_none(self) -> None:
        memory = Memory[int](0)
        self.keep(memory, b"a", 1)
        self.assertEqual(memory.recall(b"a"), None)


class TestMade(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[bytes] = []

    def make(self, key: bytes) -> int:
        self.asked.append(key)
        return int(key)

    def test_madeTwiceAndThenKnown(self) -> None:
        made = Made(2, self.make)
        self.assertEqual([made[b"1"], made[b"1"], made[b"1"], made[b"1"]], [1] * 4)
        self.assertEqual(self.asked, [b"1"] * 2)

    def test_whatIsAskedForStays(self) -> None:
        made = Made(2, self.make)
        for number in range(20):
            for key in (b"0", b"%d" % number, b"%d" % number):
                self.assertEqual(made[key], int(key))
            self.assertLessEqual(len(made) + len(made._old), 4)
        self.assertEqual(self.asked.count(b"0"), 2)
        made[b"5"]
        self.assertEqual(self.asked.count(b"5"), 3)

    def test_whatComesOnceTakesNoRoom(self) -> None:
        made = Made(2, self.make)
        for number in range(1000):
            made[b"%d" % number]
        self.assertEqual(len(made), 0)
        self.assertLessEqual(len(made._seen), 8)

    def test_longOnesAreNotKept(self) -> None:
        made = Made(2, self.make, 3)
        for key in (b"123", b"1234") * 4:
            made[key]
        self.assertEqual((self.asked.count(b"123"), self.asked.count(b"1234")), (2, 4))

    def test_whatCannotBeMadeIsNot(self) -> None:
        made = Made(2, self.make)
        for _ in range(3):
            self.assertRaises(ValueError, made.__getitem__, b"x")
        self.assertEqual((len(made), len(made._seen)), (0, 0))


class TestRequestHeads(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory: HeadMemory[RequestHead] = HeadMemory(4, frozenset())

    def test_theSameLinesSayTheSame(self) -> None:
        for line in (b"POST /a HTTP/1.1", b"PUT /b?c HTTP/1.1", b"POST /d HTTP/1.0", b"POST /e HTTP/1.0") * 3:
            block = line + b"\r\n" + LINES
            found, wanted = parseRequestHead(block, SETTINGS, self.memory), parseRequestHead(block, SETTINGS)
            for name in ("method", "target", "minor", "length", "keepAlive", "upgrade", "expectsContinue", "mentionsTe",
                         "items", "connection", "authority"):  # fmt: skip
                self.assertEqual(getattr(found, name), getattr(wanted, name), (line, name))
        self.assertEqual(len(self.memory.lines.shapes), 2)  # one for each version

    def test_theyTellOfLinesThatWereNeverThere(self) -> None:
        """Only lines that say something to a proxy count, and of those how long the body is may differ."""
        block = b"POST / HTTP/1.1\r\nHost: a\r\nX-Number: %d\r\nContent-Length: %d\r\n\r\n"
        heads = [parseRequestHead(block % (at, at), SETTINGS, self.memory) for at in range(1, 5)]
        self.assertEqual([each.lines.shape is not None for each in heads], [False, False, True, True])
        self.assertEqual([each.length for each in heads], [1, 2, 3, 4])
        self.assertEqual(heads[3].items, [
            (b"host", b"Host", b"a"), (b"x-number", b"X-Number", b"4"), (b"content-length", b"Content-Length", b"4")
        ])  # fmt: skip
        heads[3].replaceItems([])
        self.assertEqual((heads[3].items, len(heads[2].items)), ([], 3))

    def test_aHeadOfManyLines(self) -> None:
        """The limit holds where every line is known."""
        lines = b"".join(b"X-%d: a\r\n" % number for number in range(SETTINGS.maxHeaderCount))
        for _ in range(3):
            parseRequestHead(b"GET / HTTP/1.0\r\n" + lines + b"\r\n", SETTINGS, self.memory)
        self.assertEqual(len(self.memory.lines.shapes), 1)
        with self.assertRaises(ProxyError) as raised:
            parseRequestHead(b"GET / HTTP/1.0\r\n" + lines + b"X: a\r\n\r\n", SETTINGS, self.memory)
        self.assertIs(raised.exception.kind, HEAD_TOO_LARGE)

    def test_theSameBytesAreTheSameHead(self) -> None:
        block = b"GET /a HTTP/1.1\r\n" + LINES
        heads = [parseRequestHead(block, SETTINGS, self.memory) for _ in range(4)]
        self.assertIs(heads[2], heads[3])
        self.assertEqual((heads[3].target, heads[3].length), (b"/a", 3))

    def test_theRequestLineIsStillChecked(self) -> None:
        good = b"GET / HTTP/1.1\r\n" + LINES
        for _ in range(3):
            parseRequestHead(good, SETTINGS, self.memory)
        for line in (b"GET /\x80\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /#f HTTP/1.1", b"GET  / HTTP/1.1", b"G@T / HTTP/1.1",
                     b"GET / HTTP/2.1", b"GET http://b.example/ HTTP/1.1", b"GET * HTTP/1.1", b"GET /\t HTTP/1.1"):  # fmt: skip
            block = line + b"\r\n" + LINES
            with self.assertRaises(ProxyError) as wanted:
                parseRequestHead(block, SETTINGS)
            with self.assertRaises(ProxyError) as found:
                parseRequestHead(block, SETTINGS, self.memory)
            self.assertEqual((found.exception.kind, found.exception.detail), (wanted.exception.kind, wanted.exception.detail))

    def test_targetsThatLlhttpWouldRefuse(self) -> None:
        """Where the lines are known llhttp is not asked: each byte, in each place, is judged as it would."""
        for _ in range(2):
            parseRequestHead(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", SETTINGS, self.memory)
        for pattern in (b"/%b", b"/a%ba", b"/?%b", b"/a?b%bb", b"//%b", b"%b/"):
            for code in range(256):
                block = b"GET " + pattern % bytes([code]) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
                found: list[object] = []
                for memory in (None, self.memory):
                    try:
                        found.append(parseRequestHead(block, SETTINGS, memory).target)
                    except ProxyError as error:
                        found.append(error.kind)
                self.assertEqual(found[0], found[1], block)

    def test_badLinesAreNotRemembered(self) -> None:
        block = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
        for _ in range(3):
            self.assertRaises(ProxyError, parseRequestHead, block, SETTINGS, self.memory)
        self.assertEqual(len(self.memory.lines.shapes), 0)

    def test_whatDependsOnTheTargetIsNot(self) -> None:
        for line in (b"OPTIONS *", b"GET http://a.example/", b"CONNECT a.example:443", b"BREW /"):
            for _ in range(3):
                parseRequestHead(line + b" HTTP/1.1\r\nHost: a.example\r\n\r\n", SETTINGS, self.memory)
        self.assertEqual(len(self.memory.lines.shapes), 0)


class TestResponseHeads(SynchronousTestCase):
    def test_theSameBytesAreTheSameHead(self) -> None:
        memory: HeadMemory[ResponseHead] = HeadMemory(4, frozenset())
        block = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        heads = [parseResponseHead(block, SETTINGS, False, memory) for _ in range(3)]
        self.assertIs(heads[1], heads[2])
        self.assertEqual(heads[2].length, 3)

    def test_answersToHeadAreApart(self) -> None:
        memory: HeadMemory[ResponseHead] = HeadMemory(4, frozenset())
        block = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        lengths = [parseResponseHead(block, SETTINGS, toHead, memory).length for toHead in (False, True) * 3]
        self.assertEqual(lengths, [3, 0] * 3)

"""What supervisor and workers say to each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.commandline import CommandLine
from twistproxy.messages import Health
from twistproxy.workers import lines
from twistproxy.workers.counters import merge
from twistproxy.workers.lines import Lines, Port, Task, decode, decodeHealth, encode, encodeHealth


class LinesTests(SynchronousTestCase):
    @given(some.lists(some.binary(max_size=20).map(lambda each: each.replace(b"\n", b"")), max_size=8), some.integers(1, 30))
    def test_anySplitGivesTheSameLines(self, whole: list[bytes], size: int) -> None:
        data = b"".join(each + b"\n" for each in whole) + b"rest"
        taker = Lines()
        found = [line for at in range(0, len(data), size) for line in taker.receive(data[at : at + size])]
        self.assertEqual((found, taker.rest), (whole, b"rest"))

    def test_aLineWithoutEndIsNotKept(self) -> None:
        self.patch(lines, "LONGEST", 10)
        taker = Lines()
        found = [*taker.receive(b"short\n" + b"x" * 8), *taker.receive(b"yyyy"), *taker.receive(b"zzz\nnext\n")]
        self.assertEqual(found, [b"short", b"next"])

    def test_whatIsSaid(self) -> None:
        self.assertEqual(decode(encode("lend", worker=2)[:-1]), {"is": "lend", "worker": 2})
        for line in (b"", b"x", b"[]", b"{}", b'{"is": 3}'):
            self.assertRaises(ValueError, decode, line)

    def test_aTaskComesAsItWent(self) -> None:
        words = CommandLine(upstreams=["http://a,weight=2"], workers="2", balancer="random", demo=False)
        task = Task(2, 3, "asyncio", words, ((Port(2, (5, 6, 7)), Port(1, (8,))), ()), "ab")
        self.assertEqual(Task.decode(task.encode()), task)
        self.assertEqual([port.of(2) for port in task.listeners[0]], [6, 8])

    def test_aCheckComesAsItWent(self) -> None:
        health = Health(False, "refused", 0.5, share=0.5, maxConnections=3, advice="drain")
        self.assertEqual(decodeHealth(decode(encodeHealth("web", "http://a", "tcp", health, 2, 3)[:-1])), health)


class CountersTests(SynchronousTestCase):
    def test_addedUp(self) -> None:
        one = {"exchanges": 3, "upstreams": {"a": 1, "b": 2}}
        other = {"exchanges": 4, "clients": 1, "upstreams": {"b": 5}}
        self.assertEqual(merge([one, other]), {"exchanges": 7, "clients": 1, "upstreams": {"a": 1, "b": 7}})
        self.assertEqual((merge([]), one["upstreams"]), ({}, {"a": 1, "b": 2}))

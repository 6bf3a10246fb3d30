"""The head of an answer and what there is of its body leave in one write: with sockets, each write is a system call."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin


class WritesTests(ProxyTestMixin, SynchronousTestCase):
    def writes(self, harness: ProxyHarness) -> list[bytes]:
        """What the proxy writes to the next client, write by write."""
        written: list[bytes] = []
        transport: Any = harness.connect().peer.transport.peer
        write, writeSequence = transport.write, transport.writeSequence

        def one(data: bytes) -> None:
            written.append(data)
            write(data)

        def several(pieces: list[bytes]) -> None:
            written.append(b"".join(pieces))
            writeSequence(pieces)

        transport.write, transport.writeSequence = one, several
        return written

    def assertOneWrite(self, **plugins: Any) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream(body=b"hello"), **plugins)
        written = self.writes(harness)
        self.assertEqual(harness.get().body, b"hello")
        self.assertEqual(len(written), 1, written)

    def test_withoutPlugins(self) -> None:
        self.assertOneWrite()

    def test_withAModifierThatReturnsAtOnce(self) -> None:
        self.assertOneWrite(modifier=lambda request, response: None)

    def test_withMiddlewareThatReturnsAtOnce(self) -> None:
        self.assertOneWrite(middleware=lambda request, proceed: proceed())

    def test_withMiddlewareThatAwaits(self) -> None:
        async def around(request: Any, proceed: Any) -> Any:
            return await proceed()

        self.assertOneWrite(middleware=around)

    def test_withAModifierThatReadsTheBody(self) -> None:
        async def modify(request: Any, response: Any) -> None:
            await response.body.read(100)

        self.assertOneWrite(modifier=modify)

    def test_theHeadDoesNotWaitForABodyThatIsStillToCome(self) -> None:
        for plugins in ({}, {"modifier": lambda *_: None}, {"middleware": lambda request, proceed: proceed()}):
            harness = self.proxyHarness(upstream=FakeUpstream().events(["one"], every=5), **plugins)
            answer = harness.get()
            self.assertEqual((answer.status, answer.body), (200, b""))
            harness.advance(5)
            self.assertEqual(answer.body, b"data: one\n\n")

    def test_norDoesItWhenAModifierTookItsTime(self) -> None:
        from twisted.internet.task import deferLater

        async def modify(request: Any, response: Any) -> None:
            await deferLater(harness.network, 3)

        harness = self.proxyHarness(upstream=FakeUpstream().events(["one"], every=5), modifier=modify)
        answer = harness.get()
        harness.advance(3)
        self.assertEqual((answer.status, answer.body), (200, b""))
        harness.advance(2)
        self.assertEqual(answer.body, b"data: one\n\n")

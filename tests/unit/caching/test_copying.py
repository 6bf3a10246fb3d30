"""L{twistproxy.caching.copying}: a copy of what passes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.caching.copying import Copying
from twistproxy.caching.store import Store


class TestCopying(SynchronousTestCase):
    def setUp(self) -> None:
        self.store: Store[Any] = Store(100, 5)
        self.whole: list[bytes] = []

    def copying(self, limit: int = 20) -> Copying:
        return Copying(self.store, limit, lambda: 0.0, self.whole.append)

    def test_whole(self) -> None:
        copying = self.copying()
        self.assertEqual([copying.data(b"one"), copying.data(b"two"), copying.end()], [b"one", b"two", b""])
        self.assertEqual((self.whole, self.store.copying), ([b"onetwo"], 0))
        copying.drop()
        self.assertEqual((self.whole, self.store.copying), ([b"onetwo"], 0))

    def test_empty(self) -> None:
        self.copying().end()
        self.assertEqual(self.whole, [b""])

    def test_tooLong(self) -> None:
        """What there is of it goes at once."""
        copying = self.copying(5)
        copying.data(b"12345")
        self.assertEqual(self.store.copying, 5)
        self.assertEqual([copying.data(b"6"), copying.data(b"7")], [b"6", b"7"])
        self.assertEqual(self.store.copying, 0)
        copying.end()
        self.assertEqual(self.whole, [])

    def test_tooMuchAtOnce(self) -> None:
        """All copies together have half of the store."""
        first, second = self.copying(50), self.copying(50)
        first.data(b"x" * 40)
        second.data(b"x" * 20)
        self.assertEqual(self.store.copying, 40)
        first.end()
        second.end()
        self.assertEqual((self.whole, self.store.copying), ([b"x" * 40], 0))

    def test_brokenOff(self) -> None:
        copying = self.copying()
        copying.data(b"half")
        copying.drop()
        self.assertEqual(self.store.copying, 0)
        self.assertEqual([copying.data(b"rest"), copying.end()], [b"rest", b""])
        self.assertEqual(self.whole, [])

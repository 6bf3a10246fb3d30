"""L{twistproxy.caching.store}: what it holds, and that it never holds more than it may."""

from __future__ import annotations

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.caching.store import MAX_VARIANTS, Store


@frozen(eq=False)
class Thing:
    key: str
    size: int = 10
    variant: int = 0
    until: float = 1000.0


def anything(thing: Thing) -> bool:
    return True


class TestStore(SynchronousTestCase):
    def store(self, maxBytes: int = 100, maxEntries: int = 5) -> Store[Thing]:
        return Store(maxBytes, maxEntries)

    def keys(self, store: Store[Thing], now: float = 0.0) -> str:
        return "".join(key for key in "abcdefgh" if store.find(key, anything, now) is not None)

    def test_found(self) -> None:
        store, thing = self.store(), Thing("a")
        self.assertTrue(store.add(thing, 0))
        self.assertIs(store.find("a", anything, 0), thing)
        self.assertIs(store.find("b", anything, 0), None)
        self.assertIs(store.find("a", lambda each: False, 0), None)
        self.assertEqual((len(store), store.bytes, store.evicted), (1, 10, 0))

    def test_theNewestThatFits(self) -> None:
        store = self.store()
        things = [Thing("a", variant=each) for each in range(3)]
        for each in things:
            store.add(each, 0)
        self.assertIs(store.find("a", anything, 0), things[2])
        self.assertIs(store.find("a", lambda each: each.variant == 1, 0), things[1])

    def test_aNewerTakesThePlace(self) -> None:
        store, new = self.store(), Thing("a", 30)
        store.add(Thing("a"), 0)
        store.add(new, 0)
        self.assertEqual((len(store), store.bytes, store.evicted), (1, 30, 0))
        self.assertIs(store.find("a", anything, 0), new)

    def test_theLeastRecentlyUsedMakesRoom(self) -> None:
        store = self.store()
        for key in "abcde":
            store.add(Thing(key), 0)
        store.find("a", anything, 0)
        store.add(Thing("f"), 0)
        self.assertEqual((self.keys(store), store.evicted), ("acdef", 1))
        store.add(Thing("g", 80), 0)
        self.assertEqual((self.keys(store), store.bytes), ("efg", 100))

    def test_old(self) -> None:
        store = self.store()
        store.add(Thing("a", until=5), 0)
        self.assertIs(store.find("a", anything, 5), None)
        store.add(Thing("b"), 5)
        self.assertEqual((len(store), store.evicted), (1, 0))
        self.assertFalse(store.add(Thing("c", until=5), 5))

    def test_tooLarge(self) -> None:
        store = self.store()
        store.add(Thing("a"), 0)
        self.assertFalse(store.add(Thing("b", 101), 0))
        self.assertFalse(store.add(Thing("a", 101), 0))  # and the older one is not true any more
        self.assertEqual((len(store), store.bytes), (0, 0))

    def test_forget(self) -> None:
        store = self.store()
        for variant in range(2):
            store.add(Thing("a", variant=variant), 0)
        store.add(Thing("b"), 0)
        store.forget("a")
        store.forget("x")
        self.assertEqual((self.keys(store), store.bytes), ("b", 10))

    def test_variants(self) -> None:
        store = self.store(10_000, 1000)
        for variant in range(MAX_VARIANTS + 2):
            store.add(Thing("a", variant=variant), 0)
        self.assertEqual((len(store), store.evicted), (MAX_VARIANTS, 2))
        self.assertIs(store.find("a", lambda each: each.variant < 2, 0), None)

    def test_copies(self) -> None:
        store = self.store()
        store.add(Thing("a", 40), 0)
        store.add(Thing("b", 40), 0)
        self.assertTrue(store.take(20, 0))
        self.assertEqual(self.keys(store), "ab")
        self.assertTrue(store.take(30, 0))
        self.assertEqual(self.keys(store), "b")  # and b was asked for after a
        self.assertFalse(store.take(1, 0))
        self.assertFalse(store.add(Thing("c", 51), 0))
        store.giveBack(50)
        self.assertEqual((store.copying, store.bytes), (0, 40))

    @settings(deadline=None, max_examples=100)
    @given(
        st.integers(0, 60),
        st.integers(0, 6),
        st.lists(
            st.one_of(
                st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 40), st.integers(0, 20), st.floats(0, 9)),
                st.tuples(st.just("find"), st.sampled_from("abc"), st.just(0), st.integers(0, 20), st.just(0.0)),
                st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0), st.just(0), st.just(0.0)),
                st.tuples(st.just("take"), st.just(""), st.integers(0, 40), st.just(0), st.just(0.0)),
                st.tuples(st.just("give"), st.just(""), st.just(0), st.just(0), st.just(0.0)),
            ),
            max_size=40,
        ),
    )
    def test_limitsHold(self, maxBytes: int, maxEntries: int, steps: list[tuple[str, str, int, int, float]]) -> None:
        """Whatever is done, in whatever order, as time goes by."""
        store: Store[Thing] = Store(maxBytes, maxEntries)
        taken: list[int] = []
        known: list[Thing] = []
        for now, (what, key, size, variant, lasts) in enumerate(steps):
            if what == "add":
                thing = Thing(key, size, variant, now + lasts)
                kept = store.add(thing, now)
                self.assertEqual(kept, store.find(key, lambda each, thing=thing: each is thing, now) is not None)  # type: ignore[misc]
                known.append(thing)
            elif what == "find":
                found = store.find(key, lambda each, variant=variant: each.variant == variant, now)  # type: ignore[misc]
                if found is not None:
                    newest = [each for each in known if (each.key, each.variant) == (key, variant)][-1]
                    self.assertIs(found, newest)
                    self.assertGreater(found.until, now)
            elif what == "forget":
                store.forget(key)
                self.assertIs(store.find(key, anything, now), None)
            elif what == "take":
                if store.take(size, now):
                    taken.append(size)
            elif taken:
                store.giveBack(taken.pop())
            here = list(store._entries.values())
            self.assertEqual(store.bytes, sum(each.size for each in here))
            self.assertEqual(store.copying, sum(taken))
            self.assertLessEqual(store.bytes + store.copying, maxBytes)
            self.assertLessEqual(len(store), maxEntries)
            self.assertEqual(sorted(map(id, here)), sorted(id(each) for group in store._byKey.values() for each in group))

"""L{twistproxy.limiting.keys}: by what limits tell requests apart."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import asked
from twistproxy.limiting.keys import limitKey
from twistproxy.messages import USER


class TestLimitKey(SynchronousTestCase):
    def test_longValuesAreNotRemembered(self) -> None:
        """A client that sends another long one with each request must not fill the memory."""
        key = limitKey("header:X-User")
        long = [key(asked(b"/", (b"X-User", b"x" * 60000 + end))) for end in (b"1", b"2", b"1")]
        self.assertEqual(long[0], long[2])
        self.assertNotEqual(long[0], long[1])
        self.assertLess(len(long[0]), 100)

    def test_noValueCountsForTheClient(self) -> None:
        key = limitKey("header:X-User")
        self.assertEqual(key(asked()), limitKey("client")(asked()))
        named = asked(b"/", (b"X-User", key(asked())))  # whoever names himself like another's address
        self.assertNotEqual(key(named), key(asked()))

    def test_user(self) -> None:
        """Whoever has proved to be somebody counts as that, from wherever; the others by their address."""
        requests = [asked(peer=f"192.0.2.{i}") for i in range(4)]
        for request, name in zip(requests, ("alice", "alice", "bob"), strict=False):
            request.state[USER] = name
        found = list(map(limitKey("user"), requests))
        self.assertEqual((found[0] == found[1], len(set(found)), found[3]), (True, 3, limitKey("client")(requests[3])))

    def test_whatCountsTogether(self) -> None:
        """For each key: three requests, of which the first two count together, and the third apart."""
        one, two = "192.0.2.1", "192.0.2.2"
        for text, requests in {
            "client": (asked(peer=one), asked(b"/other", peer=one), asked(peer=two)),
            "connection": (asked(peer=one), asked(b"/other", peer=one), asked(peer=two)),
            "host": (asked(host=b"a"), asked(host=b"A:80", peer=two), asked(host=b"b")),
            "path": (asked(b"/a?1"), asked(b"/a?2", peer=two), asked(b"/b?1")),
            "target": (asked(b"/a?1"), asked(b"/a?1", peer=two), asked(b"/a?2")),
            "header:X-User": (
                asked(b"/", (b"X-User", b"1")),
                asked(b"/", (b"x-user", b"1"), peer=two),
                asked(b"/", (b"X-User", b"2")),
            ),
            "cookie:sid": (
                asked(b"/", (b"Cookie", b"a=1; sid=7")),
                asked(b"/", (b"Cookie", b"sid=7; a=2"), peer=two),
                asked(b"/", (b"Cookie", b"sid=8")),
            ),
            "query:user": (asked(b"/a?user=1"), asked(b"/b?x&user=1", peer=two), asked(b"/a?user=2")),
        }.items():
            first, second, third = map(limitKey(text), requests)
            self.assertEqual((first == second, first == third), (True, False), text)
        self.assertEqual(limitKey("route")(asked(peer=one)), limitKey("route")(asked(b"/b", peer=two)))

    def test_mistakes(self) -> None:
        error = self.assertRaises(ValueError, limitKey, "rout")
        known = "client, user, host, path, target, route, connection, header:NAME, cookie:NAME, query:NAME"
        self.assertEqual(str(error), f"key: 'rout' is none of {known}; did you mean 'route'?")

"""L{twistproxy.middleware.ratelimit}: so many requests a second."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.unit.builtin import MiddlewareTestCase, answered, asked
from twistproxy.limiting.gcra import Decision
from twistproxy.limiting.keys import clientNetwork
from twistproxy.messages import InboundRequest


def firstSegment(request: InboundRequest) -> bytes:
    """A key of somebody's own."""
    return request.path.split(b"/")[1]


class Shared:
    """A shared limit that says what the test wants."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.keys: list[bytes] = []

    async def take(self, key: bytes) -> Decision:
        self.keys.append(key)
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        decision: Decision = await said if isinstance(said, Deferred) else said
        return decision


class TestRateLimit(MiddlewareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def limit(self, written: Any) -> Any:
        return self.build(written, reactor=self.clock)

    def codes(self, limit: Any, *requests: InboundRequest) -> list[int]:
        found = [self.around(limit, each) for each in requests]
        return [getattr(each, "code", None) or each.status for each in found]

    def test_tooManyAreRefused(self) -> None:
        limit = self.limit("rate-limit:rate=2:burst=1")
        self.assertEqual(self.codes(limit, asked(), asked(), asked()), [200, 200, 429])
        self.assertEqual((self.proceeded, limit.allowed, limit.refused), (2, 2, 1))
        self.assertEqual(
            dict(self.error.headers),
            {"Retry-After": "1", "RateLimit-Policy": '"client";q=2;w=1', "RateLimit": '"client";r=0;t=1', "RateLimit-Limit": "2",
             "RateLimit-Remaining": "0", "RateLimit-Reset": "1"},
        )  # fmt: skip
        self.clock.advance(0.5)
        self.assertEqual(self.codes(limit, asked(), asked()), [200, 429])

    def test_retryAfterIsNeverTooEarly(self) -> None:
        limit = self.limit("rate-limit:rate=0.1:burst=0")
        self.codes(limit, asked(), asked())
        self.assertEqual(dict(self.error.headers)["Retry-After"], "10")
        self.clock.advance(9.5)
        self.codes(limit, asked())
        self.assertEqual(dict(self.error.headers)["Retry-After"], "1")

    def test_theBurstIsAFifthOfASecond(self) -> None:
        for rate, burst in ((50, 10), (1, 1), (0.5, 1), (7, 2)):
            self.assertEqual(self.limit(f"rate-limit:rate={rate}").rate.burst, burst)

    def test_clientsAreApart(self) -> None:
        limit = self.limit("rate-limit:rate=1:burst=0")
        hosts = ("192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1")
        self.assertEqual(self.codes(limit, *(asked(peer=host) for host in hosts)), [200, 200, 429, 200, 429, 200])

    def test_networks(self) -> None:
        self.assertEqual(clientNetwork("192.0.2.1"), b"192.0.2.1")
        self.assertEqual(clientNetwork("2001:db8:0:1::1"), clientNetwork("2001:db8:0:1:ffff::9"))
        self.assertNotEqual(clientNetwork("2001:db8:0:1::1"), clientNetwork("2001:db8:0:2::1"))
        self.assertEqual(clientNetwork("::1%lo"), clientNetwork("::2"))

    def test_keys(self) -> None:
        one, two = asked(b"/", (b"X-User", b"1")), asked(b"/", (b"X-User", b"2"), peer="192.0.2.9")
        other = asked(b"/", (b"X-User", b"1"), peer="192.0.2.9")
        limit = self.limit("rate-limit:rate=1:burst=0:key=header\\:X-User")
        self.assertEqual(self.codes(limit, one, two, other), [200, 200, 429])
        limit = self.limit("rate-limit:rate=1:burst=0:key=route")
        self.assertEqual(self.codes(limit, one, two), [200, 429])
        limit = self.limit("rate-limit:rate=1:burst=0:key=tests.unit.middleware.test_ratelimit.firstSegment")
        self.assertEqual(self.codes(limit, asked(b"/a/1"), asked(b"/b"), asked(b"/a/2")), [200, 200, 429])

    def test_whoLeavesTheKeyOutCountsByAddress(self) -> None:
        """And cannot pretend to be somebody's address by a header."""
        limit = self.limit("rate-limit:rate=1:burst=0:key=header\\:X-User")
        requests = asked(), asked(), asked(b"/", (b"X-User", b"203.0.113.9"))
        self.assertEqual(self.codes(limit, *requests), [200, 429, 200])

    def test_whatIsLeftIsTold(self) -> None:
        limit = self.limit("rate-limit:rate=10:burst=4:headers=yes")
        response = self.around(limit)
        self.assertEqual(response.headers.get("RateLimit"), '"client";r=4;t=1')
        self.assertEqual(response.headers.get("RateLimit-Remaining"), "4")

    def test_theWindow(self) -> None:
        """It is as long as what may come at once takes, and its quota is what the rate allows in it."""
        for rate, burst, policy in ((50, 10, "q=50;w=1"), (1, 20, "q=21;w=21"), (0.2, 0, "q=1;w=5"), (1.5, 1, "q=3;w=2")):
            response = self.around(self.limit(f"rate-limit:rate={rate}:burst={burst}:headers=yes"))
            self.assertEqual(response.headers.get("RateLimit-Policy"), f'"client";{policy}')
            response.headers.removeHeader("RateLimit-Policy")

    def test_whenThereIsMore(self) -> None:
        """All of it, as long as some is left; then the next one. Who waits as long as Retry-After says passes."""
        limit = self.limit("rate-limit:rate=0.5:burst=2:headers=yes")
        for told in ('"client";r=2;t=2', '"client";r=1;t=4', '"client";r=0;t=2'):
            self.answer = answered()
            self.assertEqual(self.around(limit).headers.get("RateLimit"), told)
        self.clock.advance(0.25)
        self.assertEqual(self.codes(limit, asked()), [429])
        told = dict(self.error.headers)
        self.assertEqual((told["RateLimit"], told["Retry-After"]), ('"client";r=0;t=2', "2"))
        self.clock.advance(2)
        self.assertEqual(self.codes(limit, asked()), [200])

    def test_severalTellTogether(self) -> None:
        """And so does the upstream. The older spelling has room for one: for that with the least left."""
        self.answer = answered(200, (b"RateLimit", b'"own";r=3'), (b"RateLimit-Remaining", b"3"), (b"RateLimit-Limit", b"9"))
        response = self.around(self.limit("rate-limit:rate=10:burst=4:headers=yes"))
        self.assertEqual(response.headers.getRawHeaders("RateLimit"), ['"own";r=3', '"client";r=4;t=1'])
        self.assertEqual((response.headers.get("RateLimit-Remaining"), response.headers.get("RateLimit-Limit")), ("3", "9"))
        response = self.around(self.limit("rate-limit:rate=1:burst=2:headers=yes:name=few"))
        self.assertEqual(response.headers.getRawHeaders("RateLimit")[2:], ['"few";r=2;t=1'])
        self.assertEqual((response.headers.get("RateLimit-Remaining"), response.headers.get("RateLimit-Limit")), ("2", "3"))

    def test_names(self) -> None:
        limit = self.limit({"use": "rate-limit", "rate": 1, "name": 'a "b" \\ c', "headers": True})
        self.assertEqual(self.around(limit).headers.get("RateLimit"), '"a \\"b\\" \\\\ c";r=1;t=1')
        for wrong in ("é", "a\nb"):
            problem = f"rate-limit: name: {wrong!r} cannot be told in a header: printable ASCII can"
            self.refuses({"use": "rate-limit", "rate": 1, "name": wrong}, problem, reactor=self.clock)

    def test_shared(self) -> None:
        limit = self.limit("rate-limit:rate=10:redis=127.0.0.1\\:6379")
        limit._shared = shared = Shared()
        waiting: Deferred[Decision] = Deferred()
        shared.said = [Decision(True, 0, 1, 0.1), Decision(False, 2.5, 0, 3), waiting]
        self.assertEqual(self.codes(limit, asked(), asked()), [200, 429])
        self.assertEqual(dict(self.error.headers)["Retry-After"], "3")
        result = self.around(limit)
        self.assertIsInstance(result, Deferred)
        self.assertEqual(self.proceeded, 1)
        waiting.callback(Decision(True, 0, 1, 0.1))
        self.assertEqual(self.proceeded, 2)
        self.assertEqual(shared.keys, [b"203.0.113.9"] * 3)

    def test_whenRedisDoesNotAnswer(self) -> None:
        for choice, codes in (("open", [200, 200, 200]), ("closed", [503, 503, 503]), ("local", [200, 200, 429])):
            limit = self.limit(f"rate-limit:rate=1:burst=1:redis=127.0.0.1\\:6379:fail={choice}")
            limit._shared = shared = Shared()
            shared.said = [ConnectionError("gone")] * 3
            self.assertEqual(self.codes(limit, asked(), asked(), asked()), codes, choice)
            self.assertEqual(limit.failures, 3)

    def test_theSameLogLineIsWrittenOnce(self) -> None:
        limit = self.limit("rate-limit:rate=1:redis=127.0.0.1\\:6379")
        with capturedLogs() as logged:
            self.codes(limit, asked(), asked())  # it was never started
        self.assertEqual(len([event for event in logged if "does not answer" in event["log_format"]]), 1)

    def test_aPluginThatFailsIsNoAnswerOfRedis(self) -> None:
        limit = self.limit("rate-limit:rate=1:redis=127.0.0.1\\:6379:fail=open")
        limit._shared = shared = Shared()
        shared.said = [Decision(True, 0, 1, 0.1)]
        self.proceed = lambda: fail(ValueError("inside"))  # type: ignore[method-assign,assignment,return-value]
        self.assertRaises(ValueError, self.around, limit)
        self.assertEqual(limit.failures, 0)

    def test_mistakes(self) -> None:
        for written, problem in (
            ("rate-limit:rate=0", "rate is more than 0"),
            ("rate-limit:rate=1:burst=-1", "burst is 0 or more"),
            ("rate-limit:rate=1:keys=0", "keys is 1 or more"),
            ("rate-limit:rate=1:redis=here", "redis: 'here' is not host:port"),
            ("rate-limit:rate=1:key=header", "key: header needs a name, as in header\\:NAME"),
        ):
            self.refuses(written, f"rate-limit: {problem}", reactor=self.clock)

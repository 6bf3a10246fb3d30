"""Whatever upstreams and clients say, nobody gets an earlier answer that was not for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.errors import UPSTREAM_RESET, ProxyError
from twistproxy.interfaces import IRoundTripper
from twistproxy.messages import InboundRequest, OutboundRequest, Response, Upstream
from twistproxy.testing import FakeUpstream, ProxyHarness

ASKED = ("authorization", "cookie", "x-lang", "x-team", "host")


@frozen
class Step:
    """A request, and what the upstream does about it.

    @ivar asked: values of headers.
    @ivar control: the answer's Cache-Control; None for a failure.
    """

    method: str
    path: str
    asked: dict[str, str]
    control: str | None
    vary: str
    cookie: bool
    seconds: int


CONTROLS = (None, None, None, "", "", "public", "private", "no-store", "s-maxage=5", "max-age=5, must-revalidate", 'private="x')
VARY = ("", "", "", "x-lang", "X-Lang, Cookie", "*")


def steps(random: Random, number: int) -> Iterator[Step]:
    """So many of them; most requests say little."""
    for _ in range(number):
        asked = {name: random.choice("ab") for name in ASKED[:4] if random.random() < 0.25}
        yield Step(
            random.choice(("GET", "GET", "GET", "GET", "HEAD", "POST")), random.choice(("/", "/?a")),
            {"host": random.choice(("one", "two")), **asked}, random.choice(CONTROLS), random.choice(VARY),
            random.random() < 0.2, random.choice((0, 1, 1, 2)),
        )  # fmt: skip


@implementer(IRoundTripper)
class Origin:
    """Says in each answer whom it is for."""

    step: Step

    async def roundTrip(self, outbound: OutboundRequest, upstream: Upstream) -> Response:
        step = self.step
        if step.control is None:
            raise ProxyError(UPSTREAM_RESET)
        said = {name: outbound.headers.get(name) for name in ASKED}
        about = {**said, "path": outbound.target.decode(), "control": step.control, "vary": step.vary, "pool": upstream.key}
        lines = [("Cache-Control", step.control)] * bool(step.control) + [("Vary", step.vary)] * bool(step.vary)
        return Response(200, [*lines, *[("Set-Cookie", "a=b")] * step.cookie], json.dumps(about).encode())


def direct(inbound: InboundRequest, outbound: OutboundRequest) -> str | None:
    """A team has a pool of its own, and nothing says so to anybody behind."""
    return "other" if inbound.headers.get("x-team") == "b" else None


class TestTenants(SynchronousTestCase):
    def test_nobodyGetsWhatIsNotForThem(self) -> None:
        origin, given = Origin(), 0
        with ProxyHarness(
            roundTripper=origin, middleware="fallback:stale=20s", director=direct, pools={"other": FakeUpstream()}
        ) as harness:
            keys = {name: group[0].url for name, group in harness.pools.items()}
            for step in steps(Random(9111), 1500):
                origin.step = step
                harness.advance(step.seconds)
                answer = harness.request(step.method, step.path, step.asked)
                if answer.headers.hasHeader("Cache-Status"):
                    given += 1
                    self.assertIn(step.method, ("GET", "HEAD"))
                    self.assertIs(step.control, None)
                    self.assertFalse(answer.headers.hasHeader("Set-Cookie"))
                    if step.method == "GET":
                        self.checkOne(step.asked, keys, int(answer.headers.get("Age")), json.loads(answer.body), step.path)
                else:
                    self.assertEqual(answer.status, 502 if step.control is None else 200)
        self.assertGreater(given, 50)  # or this tests nothing

    def checkOne(self, asked: dict[str, str], keys: dict[str, str], age: int, about: dict[str, Any], path: str) -> None:
        """An earlier answer is for who gets it."""
        self.assertEqual((about["host"], about["path"]), (asked["host"], path))
        self.assertEqual(about["pool"], keys["other" if asked.get("x-team") == "b" else "default"])
        self.assertIn(about["control"], ("", "public", "s-maxage=5", "max-age=5, must-revalidate"))
        self.assertTrue(age < (5 if "=5" in about["control"] else 20), (age, about))
        if about["control"] not in ("public", "s-maxage=5"):
            for name in ("authorization", "cookie"):
                self.assertEqual((about[name], asked.get(name)), (None, None))
        self.assertNotEqual(about["vary"], "*")
        for name in about["vary"].lower().replace(",", " ").split():
            self.assertEqual(about[name], asked.get(name))

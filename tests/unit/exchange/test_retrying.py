"""The rule for retries, its backoff and its budget: pure."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy import errors
from twistproxy.bodies.body import EMPTY, Body
from twistproxy.errors import ALL_KINDS, ErrorKind, Fault, ProxyError
from twistproxy.exchange.retrying import CONDITIONS, RetryBudget, RetryRule, backoffBound, consult, isIdempotent, keepsBody
from twistproxy.messages import Address, Attempt, Commit, GiveUp, Headers, Item, OutboundRequest, Response, Retry, Upstream
from twistproxy.testing.inbound import makeRequest

UPSTREAM = Upstream("http://10.0.0.1")


def attempt(
    kind: ErrorKind | None = None,
    *,
    code: int = 0,
    method: bytes = b"GET",
    sent: bool = True,
    replayable: bool = True,
    number: int = 1,
    key: bool = False,
) -> Attempt:
    """One to decide about."""
    request: Any = makeRequest(method=method)
    items = Headers({"Idempotency-Key": "1"} if key else {})
    request.outbound = outbound = OutboundRequest(method, b"/", items, EMPTY, request.client, "http")
    error = None if kind is None else ProxyError(kind)
    response = Response(code) if code else None
    return Attempt(request, UPSTREAM, number, error, response, sent, replayable, isIdempotent(outbound))


def certain(*options: str, **named: Any) -> RetryRule:
    """A rule whose waits are the longest."""
    rule = RetryRule(*options, **named)
    rule.random = lambda: 1.0
    return rule


class TestRule(SynchronousTestCase):
    def test_connectFailuresAnyMethod(self) -> None:
        for kind in (errors.CONNECT_REFUSED, errors.CONNECT_TIMEOUT, errors.DNS_FAILURE, errors.TLS_FAILURE):
            for method in (b"GET", b"POST", b"BREW"):
                decision = RetryRule().decide(attempt(kind, method=method, sent=False, replayable=False))
                self.assertEqual(decision, Retry(0.0, kind.reason))

    def test_brokenConnections(self) -> None:
        """Idempotent methods of RFC 9110, and others with a key."""
        for kind in (errors.UPSTREAM_RESET, errors.UPSTREAM_CLOSED):
            for method in (b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"):
                self.assertEqual(certain().decide(attempt(kind, method=method)), Retry(0.025, kind.reason))
            for method in (b"POST", b"PATCH", b"LOCK", b"BREW", b"get"):
                decision = certain().decide(attempt(kind, method=method))
                self.assertEqual(decision, GiveUp(f"{kind.reason}, but {method.decode()} may not be sent twice"))
                self.assertEqual(certain().decide(attempt(kind, method=method, key=True)), Retry(0.025, kind.reason))

    def test_byDefaultNothingElse(self) -> None:
        """No timeouts, no malformed answers, no faults of the proxy or the client, no answer whatever its status."""
        others = [each for each in ALL_KINDS if CONDITIONS.get(each.reason) not in ("connect", "reset")]
        for kind in others:
            decision = RetryRule().decide(attempt(kind))
            self.assertIs(type(decision), Retry if kind is errors.TRY_TIMEOUT else GiveUp, kind.reason)
        for code in (200, 404, 500, 502, 503, 504):
            self.assertEqual(RetryRule().decide(attempt(code=code)), Commit())

    def test_onlyFailuresOfUpstreamsHaveNames(self) -> None:
        known = {each.reason for each in ALL_KINDS if each.fault is Fault.UPSTREAM}
        self.assertLessEqual(set(CONDITIONS), known)

    def test_statuses(self) -> None:
        rule = certain("502,5xx,429")
        self.assertTrue(rule.seesAnswers)
        self.assertFalse(RetryRule().seesAnswers)
        for code in (429, 500, 503, 599):
            self.assertEqual(rule.decide(attempt(code=code)), Retry(0.025, f"status {code}"))
        self.assertEqual(rule.decide(attempt(code=404)), Commit())
        refusal = Commit("status 503, but POST may not be sent twice")
        self.assertEqual(rule.decide(attempt(code=503, method=b"POST")), refusal)

    def test_methods(self) -> None:
        anything = certain("503", "any")
        self.assertEqual(anything.decide(attempt(code=503, method=b"POST")), Retry(0.025, "status 503"))
        some = certain("503", "GET,POST")
        for method, key, want in (
            (b"GET", False, Retry),
            (b"POST", False, Retry),
            (b"PUT", False, Commit),
            (b"PATCH", False, Commit),
            (b"PATCH", True, Retry),
        ):
            self.assertIs(type(some.decide(attempt(code=503, method=method, key=key))), want, method)

    def test_namesOfConditions(self) -> None:
        for word, kind in (("timeout", errors.UPSTREAM_TIMEOUT), ("invalid", errors.UPSTREAM_PROTOCOL)):
            self.assertIsInstance(RetryRule(word).decide(attempt(kind)), Retry)
            self.assertIsInstance(RetryRule(word).decide(attempt(errors.UPSTREAM_RESET)), GiveUp)
        self.assertIsInstance(RetryRule("").decide(attempt(errors.CONNECT_REFUSED, sent=False)), GiveUp)

    def test_mistakes(self) -> None:
        for options, words in (
            (("conect",), "did you mean 'connect'"),
            (("100",), "'100' is neither"),
            (("503", "get"), "'get' is written 'GET'"),
            (("503", "G ET"), "neither idempotent, any nor"),
            (("503", ""), "neither idempotent, any nor"),
        ):
            self.assertIn(words, str(self.assertRaises(ValueError, RetryRule, *options)))

    def test_whoseBodyIsKept(self) -> None:
        def request(method: bytes) -> OutboundRequest:
            return attempt(method=method).request.outbound

        for policy, kept in ((None, b"PUT"), (RetryRule(), b"PUT"), (object(), b"PUT"), (RetryRule("503", "POST"), b"POST")):
            other = b"POST" if kept == b"PUT" else b"PUT"
            self.assertEqual((keepsBody(policy, request(kept)), keepsBody(policy, request(other))), (True, False), policy)

    def test_aPolicyThatFailsKeepsNothing(self) -> None:
        class Broken:
            def keepsBody(self, request: object) -> bool:
                raise ValueError("oops")

        self.assertFalse(keepsBody(Broken(), attempt().request.outbound))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_aBodyThatIsGone(self) -> None:
        """Whatever a policy says."""
        decision = consult(None, attempt(errors.UPSTREAM_RESET, method=b"PUT", replayable=False))
        self.assertEqual(decision, GiveUp("upstream_reset, but its body was not kept, or not all of it"))


class TestBackoff(SynchronousTestCase):
    def test_envoysBounds(self) -> None:
        self.assertEqual([round(backoffBound(n, 0.025, 0.25), 3) for n in range(1, 6)], [0.025, 0.075, 0.175, 0.25, 0.25])

    @given(st.integers(1, 10**9), st.floats(0, 10), st.floats(0, 100), st.floats(0, 1, exclude_max=True))
    def test_properties(self, number: int, base: float, longest: float, chance: float) -> None:
        """Within the bounds, which never fall; any part of them is possible."""
        rule = RetryRule(backoff=base, maxBackoff=longest)
        rule.random = lambda: chance
        decision = rule.decide(attempt(errors.UPSTREAM_RESET, number=number))
        assert isinstance(decision, Retry)
        assert 0 <= decision.delay <= longest
        assert decision.delay == chance * backoffBound(number, base, longest)
        assert backoffBound(number, base, longest) <= backoffBound(number + 1, base, longest)


class TestBudget(SynchronousTestCase):
    @given(
        st.integers(0, 100),
        st.integers(0, 10),
        st.lists(st.tuples(st.integers(0, 50), st.floats(0, 30), st.integers(0, 40)), max_size=40),
    )
    def test_properties(self, percent: int, least: int, steps: list[tuple[int, float, int]]) -> None:
        """However requests and failures come, there are no more retries than were earned; and after ten seconds without any,
        no more than in those."""
        budget = RetryBudget(percent, least)
        budget.take("a", 0, 0.0)
        asked, now, taken = 0, 0.0, 0
        seen, looked = 0, 0.0  # when it was asked for a token last
        for requests, seconds, failures in steps:
            asked += requests
            now += seconds
            more = sum(budget.take("a", asked, now) for _ in range(failures))
            taken += more
            assert taken <= (10 + now) * least + asked * percent / 100 + 1e-6
            if failures:
                quiet, since = now - looked, asked - seen
                if quiet >= 10:
                    assert more <= 10 / quiet * since * percent / 100 + 10 * least + 1e-6
                seen, looked = asked, now

    def test_inTheLongRun(self) -> None:
        """Every request fails, 200 a second for a minute: a fifth is sent again, and three a second."""
        budget = RetryBudget(20, 3)
        taken = 0
        for number in range(200 * 60):
            taken += budget.take("a", number, number / 200)
        self.assertLess(abs(taken - (200 * 60 * 0.2 + 60 * 3)), 40)

    def test_aBurst(self) -> None:
        """Of the requests of ten seconds, and no more."""
        for quiet in (10.0, 100.0):
            budget = RetryBudget(20, 3)
            budget.take("a", 0, 0.0)  # the first look
            burst = sum(budget.take("a", int(quiet * 100), quiet) for _ in range(1000))
            self.assertEqual(burst, 10 * 100 * 0.2 + 10 * 3)

    def test_aQuietPool(self) -> None:
        """At least three a second, from the start."""
        budget = RetryBudget(20, 3)
        self.assertEqual(sum(budget.take("a", 0, 0.0) for _ in range(100)), 30)
        self.assertEqual(sum(budget.take("a", 0, 1.0) for _ in range(100)), 3)
        self.assertEqual(sum(budget.take("b", 0, 1.0) for _ in range(100)), 30, "each pool has its own")

    def test_nothingAtAll(self) -> None:
        budget = RetryBudget(0, 0)
        self.assertFalse(budget.take("a", 0, 0.0) or budget.take("a", 1000, 5.0))


class TestIdempotence(SynchronousTestCase):
    def test_keys(self) -> None:
        client: Any = None
        for name, want in (("Idempotency-Key", True), ("x-idempotency-key", True), ("Idempotency", False)):
            request = OutboundRequest(b"POST", b"/", Headers({name: "1"}), Body.of(b"x"), client, "http")
            self.assertIs(isIdempotent(request), want)

    def encoded(self, line: bytes) -> tuple[OutboundRequest, list[Item]]:
        """A POST whose lines are encoded already, and those that were made of them because somebody asked."""
        name, _, value = line.partition(b": ")
        made: list[Item] = []

        def makeItems() -> list[Item]:
            made.append((name.lower(), name, value))
            return made

        return OutboundRequest.fromBlock(b"POST", b"/", line + b"\r\n", makeItems, EMPTY, Address(), "http"), made

    def test_keysInLinesThatAreEncodedAlready(self) -> None:
        for line, want in ((b"Idempotency-Key: 1", True), (b"X-IDEMPOTENCY-KEY: 1", True), (b"X-A: idempotency-key: 1", False)):
            self.assertIs(isIdempotent(self.encoded(line)[0]), want, line)

    def test_withoutAKeyNoHeadersAreMade(self) -> None:
        request, made = self.encoded(b"Host: a")
        self.assertEqual((isIdempotent(request), request.isTouched, made), (False, False, []))
        request.headers.setRawHeaders(b"Idempotency-Key", [b"1"])  # as a director may
        self.assertTrue(isIdempotent(request))

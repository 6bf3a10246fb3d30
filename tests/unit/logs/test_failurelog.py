"""L{twistproxy.logs.failurelog}: each failure has a line, of refusals a few have, and all are counted."""

from __future__ import annotations

from attrs import evolve
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.unit.support import OK, ProxyTestCase, director, get
from twistproxy.engine import Route
from twistproxy.errors import ALL_KINDS, RATE_LIMITED, SHED_LAG, ProxyError
from twistproxy.messages import InboundRequest, OutboundRequest


class TestFailureLog(ProxyTestCase):
    def refusing(self) -> None:
        """A proxy that sheds all but what is asked for below /limited and /good."""

        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            if inbound.path != b"/good":
                raise ProxyError(RATE_LIMITED if inbound.path == b"/limited" else SHED_LAG, "its detail")

        self.proxy(OK, directors=[director(direct)])

    def told(self, *requests: bytes, seconds: float = 0.0) -> list[tuple[LogLevel, str]]:
        """What the log gets when these are sent, and so many seconds pass."""
        with capturedLogs() as events:
            self.ask(b"".join(requests))
            if seconds:
                self.seconds(seconds)
        events = [each for each in events if each["log_namespace"] == "twistproxy.error"]
        return [(each["log_level"], formatEvent(each)) for each in events]

    def test_oneHasItsLine(self) -> None:
        self.refusing()
        ((level, line),) = self.told(get(b"/x"))
        self.assertIs(level, LogLevel.warn)
        self.assertRegex(line, r"\AGET /x from \S+: 503 shed_lag: its detail \(upstream none, 0.000 s, request \w+\)\Z")
        ((level, line),) = self.told(get(b"/limited"))
        self.assertIs(level, LogLevel.info)

    def test_ofManyAFewHave(self) -> None:
        self.refusing()
        lines = self.told(*[get()] * 50)
        self.assertEqual(len(lines), 10)
        self.assertEqual(self.accessLog.lines, [(503, "shed_lag")] * 50)
        self.assertEqual(len(self.told(get(b"/limited"), get())), 1, "another reason")
        self.assertEqual(self.told(seconds=12), [(LogLevel.warn, "41 more: 503 shed_lag on route default")])
        self.assertEqual(self.told(seconds=30), [])
        self.assertEqual(len(self.told(*[get()] * 50)), 10, "after a rest")

    def test_oneASecondGoesOn(self) -> None:
        self.refusing()
        lines = [each for _ in range(40) for each in self.told(get(), get(), seconds=1)]
        self.assertTrue(40 <= len([line for _, line in lines if "GET" in line]) <= 50)
        self.assertIn((LogLevel.warn, "11 more: 503 shed_lag on route default"), lines)

    def test_routesAreApart(self) -> None:
        self.refusing()
        before = self.engine.routeFor

        def routeFor(request: InboundRequest) -> Route | None:
            route = before(request)
            return None if route is None else evolve(route, name=request.path.decode())

        self.engine.routeFor = routeFor
        self.assertEqual(len(self.told(*[get(b"/a")] * 20)), 10)
        lines = self.told(get(b"/b"), seconds=12)
        self.assertEqual(len(lines), 2)
        self.assertEqual(lines[1], (LogLevel.warn, "10 more: 503 shed_lag on route /a"))

    def test_whatIsNoRequest(self) -> None:
        self.proxy(OK)
        lines = [each for _ in range(30) for each in self.told(b"nonsense\r\n\r\n")]
        self.assertEqual(len(lines), 10)
        self.assertEqual(self.accessLog.refusals, [(400, "client_protocol_error")] * 30)
        self.assertEqual(self.told(seconds=12), [(LogLevel.info, "20 more: 400 client_protocol_error")])

    def test_failuresOfUpstreamsAllHave(self) -> None:
        self.proxy(urls=["http://10.9.9.9"])
        lines = self.told(*[get()] * 30)
        self.assertEqual([level for level, _ in lines], [LogLevel.error] * 30)

    def test_whichAreRefusals(self) -> None:
        """Those that somebody can cause at will, and those that are meant to save work."""
        failures = {each.reason for each in ALL_KINDS if not each.isRefusal}
        self.assertEqual(
            failures,
            {
                "no_healthy_upstream", "limit_unavailable", "auth_unavailable", "plugin_error", "internal", "connect_refused",
                "connect_timeout", "dns_failure", "tls_failure", "upstream_timeout", "try_timeout", "upstream_reset",
                "upstream_closed", "upstream_protocol_error", "response_head_too_large", "response_too_large", "status_refused",
            },
        )  # fmt: skip

    def test_aProxyThatStops(self) -> None:
        """Tells what it had left to tell."""
        self.refusing()
        self.told(*[get()] * 12)
        with capturedLogs() as events:
            self.engine.drain()
        self.assertEqual([formatEvent(each) for each in events], ["2 more: 503 shed_lag on route default"])

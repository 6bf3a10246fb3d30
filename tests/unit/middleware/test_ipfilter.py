"""L{twistproxy.middleware.ipfilter}: who may come."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.unit.builtin import MiddlewareTestCase, asked
from twistproxy.errors import FORBIDDEN


class TestIPFilter(MiddlewareTestCase):
    def passes(self, written: Any, *hosts: str, refused: bool = False) -> None:
        for host in hosts:
            result = self.around(written, asked(peer=host))
            self.assertIs(result, FORBIDDEN if refused else self.answer, f"{written} {host}")

    def test_allow(self) -> None:
        written = "ip-filter:allow=10.0.0.0/8,127.0.0.1,fd00\\:\\:/8"
        self.passes(written, "10.1.2.3", "127.0.0.1", "fd00::1", "::ffff:10.1.2.3")
        self.passes(written, "127.0.0.2", "192.0.2.1", "2001:db8::1", "", refused=True)

    def test_deny(self) -> None:
        written = "ip-filter:deny=192.0.2.0/24"
        self.passes(written, "10.1.2.3", "2001:db8::1", "")
        self.passes(written, "192.0.2.7", "::ffff:192.0.2.7", refused=True)

    def test_denyWins(self) -> None:
        written = "ip-filter:allow=10.0.0.0/8:deny=10.9.0.0/16"
        self.passes(written, "10.1.2.3")
        self.passes(written, "10.9.2.3", "192.0.2.7", refused=True)

    def test_inATable(self) -> None:
        written = {"use": "ip-filter", "allow": ["10.0.0.0/8", "127.0.0.1"], "deny": ["10.9.0.0/16"]}
        self.passes(written, "10.1.2.3", "127.0.0.1")
        self.passes(written, "10.9.2.3", "192.0.2.7", refused=True)

    def test_mappedAddresses(self) -> None:
        """An IPv4 address is one, however it is written."""
        self.passes("ip-filter:deny=\\:\\:ffff\\:192.0.2.0/120", "192.0.2.7", "::ffff:192.0.2.7", refused=True)
        self.passes("ip-filter:allow=\\:\\:ffff\\:192.0.2.7", "192.0.2.7", "::ffff:c000:207")

    def test_unixSockets(self) -> None:
        self.passes("ip-filter:allow=unix", "")
        self.passes("ip-filter:deny=unix", "", refused=True)

    def test_theClientAsTrustedProxiesTellIt(self) -> None:
        trusted = (ip_network("10.0.0.0/8"),)
        request = asked(b"/", (b"X-Forwarded-For", b"192.0.2.7"), peer="10.0.0.1", trusted=trusted)
        self.assertIs(self.around("ip-filter:deny=192.0.2.0/24", request), FORBIDDEN)
        request = asked(b"/", (b"X-Forwarded-For", b"192.0.2.7"), peer="203.0.113.9", trusted=trusted)
        self.assertIs(self.around("ip-filter:deny=192.0.2.0/24", request), self.answer)

    def test_mistakes(self) -> None:
        for written in ("ip-filter", "ip-filter:allow=", "ip-filter:allow=,", {"use": "ip-filter", "allow": []}):
            self.refuses(written, "ip-filter: wants allow or deny")
        unknown = "does not appear to be an IPv4 or IPv6 network"
        self.refuses("ip-filter:allow=10.0.0.0/33", f"ip-filter: allow: '10.0.0.0/33' {unknown}")

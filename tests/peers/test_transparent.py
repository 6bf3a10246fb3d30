"""A transparent proxy on a router: the kernel redirects connections to it, and nobody else knows of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.blocks import blocksOf
from tests.support.namespaces import Networks, canHaveNamespaces
from tests.support.process import TWIST, Child, waitFor
from tests.support.programs import needs

_reason = canHaveNamespaces()
pytestmark = [pytest.mark.skipif(bool(_reason), reason=_reason), needs("curl")]

SERVER = """
import http.server, socket, sys, threading

class Told(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        told = [sys.argv[1], self.path, self.headers["Host"], self.headers["X-Forwarded-For"] or "none", self.client_address[0]]
        body = (" ".join(told) + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

port = int(sys.argv[2])
servers = [http.server.ThreadingHTTPServer(("0.0.0.0", port), Told), Six(("::", port), Told)]
for each in servers:
    threading.Thread(target=each.serve_forever).start()
print("ready", flush=True)
"""

def documented(first: str) -> str:
    """The commands of docs/how-to/transparent-proxy.md that begin so, for this router's network and port."""
    (found,) = [each.text for each in blocksOf(PAGE.read_text()) if each.language == "text" and each.text.startswith(first)]
    return found.replace("eth1", "net1").replace("8080", "3129")


PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "transparent-proxy.md"
IPTABLES, NFTABLES = documented("iptables "), documented("nft ")
FLUSH = "iptables -t nat -F; ip6tables -t nat -F; nft flush ruleset"


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    """They, with a server that says what it was told."""
    made = Networks()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def server(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """The server."""
    directory = tmp_path_factory.mktemp("server")
    with Child(directory, "server", *networks.inside("server", sys.executable, "-c", SERVER, "server", "80")) as made:
        made.waitFor("^ready$")
        yield made


class Router:
    """A proxy on the router, in which rules send what goes to port 80 to it."""

    def __init__(
        self, networks: Networks, directory: Path, rules: str, *options: str, reactor: str = "default"
    ) -> None:
        self.networks = networks
        self.log = directory / "error.log"
        networks.run("router", "sh", "-c", FLUSH)
        networks.run("router", "sh", "-ec", rules)
        self.proxy = Child(
            directory, "proxy", *networks.inside("router", TWIST, f"--reactor={reactor}", "revproxy", "--transparent",
                                                 "--error-log", str(self.log),
                                                 "--listen", "tcp6:3129:interface=\\:\\:", *options),
        )  # fmt: skip
        self.proxy.waitFor("^listening on")

    def get(self, url: str, *words: str, who: str = "client") -> str:
        """What curl gets there."""
        return self.networks.run(who, "curl", "--silent", "--show-error", "--globoff", "--max-time", "10", *words, url).strip()

    def status(self, url: str, who: str = "client") -> str:
        """Its status."""
        return self.get(url, "--output", "/dev/null", "--write-out", "%{http_code}", who=who)

    def logged(self, *words: str) -> None:
        """Wait for a line with these words in the error log."""
        def has() -> bool:
            return self.log.exists() and any(all(word in line for word in words) for line in self.log.read_text().splitlines())

        waitFor(has, f"no {words} in the log", 5)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with a test."""
    with ExitStack() as made:
        yield made


UVLOOP = "uvloop" if find_spec("uvloop") else "default"


@pytest.mark.parametrize(("rules", "reactor"), [(IPTABLES, "default"), (NFTABLES, UVLOOP)], ids=["iptables", "nftables"])
def test_whereTheClientWanted(
    networks: Networks, server: Child, tmp_path: Path, stack: ExitStack, rules: str, reactor: str
) -> None:
    """The original destination, over IPv4 and IPv6, with the client's address in X-Forwarded-For."""
    router = Router(networks, tmp_path, rules, "--set", "connect-timeout=500ms", reactor=reactor)
    stack.enter_context(router.proxy)
    assert router.get("http://10.231.2.2/x") == "server /x 10.231.2.2 10.231.1.2 10.231.2.1"
    assert router.get("http://[fd00:231:2::2]/y") == "server /y [fd00:231:2::2] fd00:231:1::2 fd00:231:2::1"
    # What the client says of itself changes nothing: neither an absolute target, nor a Host, nor a header.
    spoofed = router.get("http://10.231.2.2/", "--header", "Host: 10.231.1.1", "--header", "X-Forwarded-For: 1.1.1.1")
    assert spoofed == "server / 10.231.1.1 10.231.1.2 10.231.2.1"
    assert router.get("http://10.231.2.2/z", "--proxy", "http://10.231.2.2:80") == "server /z 10.231.2.2 10.231.1.2 10.231.2.1"
    assert router.status("http://10.231.2.9/") in ("502", "504")


def test_noLoops(networks: Networks, server: Child, tmp_path: Path, stack: ExitStack) -> None:
    """What was not redirected, and what the proxy itself sends and the kernel sends back to it."""
    own = "iptables -t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 3129\n"
    router = Router(networks, tmp_path, IPTABLES + own, "--set", "connect-timeout=2s")
    stack.enter_context(router.proxy)
    assert router.status("http://10.231.1.1:3129/") == "400"
    assert router.status("http://[fd00:231:1::1]:3129/") == "400"
    router.logged("400", "not redirected")
    assert router.status("http://10.231.2.2/") == "403"
    router.logged("403", "our own connections are redirected to us")


def test_upstreams(networks: Networks, server: Child, tmp_path: Path, stack: ExitStack) -> None:
    """With upstreams of its own, it is they who answer; they learn who the client is."""
    other = Child(tmp_path, "other", *networks.inside("server", sys.executable, "-c", SERVER, "other", "8000"))
    stack.enter_context(other)
    other.waitFor("^ready$")
    router = Router(networks, tmp_path, IPTABLES, "--upstream", "http://10.231.2.2:8000")
    stack.enter_context(router.proxy)
    assert router.get("http://10.231.2.77/x") == "other /x 10.231.2.77 10.231.1.2 10.231.2.1"
    assert router.get("http://[fd00:231:2::77]/x") == "other /x [fd00:231:2::77] fd00:231:1::2 10.231.2.1"

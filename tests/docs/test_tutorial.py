"""The tutorial's two proxies: examples/tutorial-single.toml and tutorial-multi.toml, run as they are but for their ports."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.session import PATIENCE, ROOT, environment, freePort
from tests.support.process import waitFor
from tests.support.zookeeper import needsZooKeeper

EXAMPLES = ROOT / "examples"


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that says something once it listens."""
    process = subprocess.Popen(
        [sys.executable, *command], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    hung = threading.Timer(PATIENCE, process.kill)
    hung.start()
    try:
        yield process
    finally:
        hung.cancel()
        process.terminate()
        process.communicate()


@contextmanager
def proxy(example: str, directory: Path, ports: Mapping[str, int]) -> Iterator[int]:
    """The port of C{twist revproxy} with an example, copied with other ports."""
    config = re.sub(r"\b(?:200[234]|2181)\b", lambda found: str(ports[found[0]]), (EXAMPLES / example).read_text())
    (directory / example).write_text(config)
    shutil.copy(EXAMPLES / "tutorial.py", directory)
    with running("-m", "twisted", "revproxy", "--config", str(directory / example)) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith(f"listening on http://127.0.0.1:{ports['2002']}/"):
                break
        else:
            pytest.fail(f"it does not listen:\n{said}")
        yield ports["2002"]


@contextmanager
def sampleUpstreams(*ports: int) -> Iterator[None]:
    """examples/upstream.py at these ports."""
    with running(str(EXAMPLES / "upstream.py"), *map(str, ports)) as process:
        assert process.stdout is not None
        for port in ports:
            assert process.stdout.readline() == f"upstream on http://127.0.0.1:{port}/\n"
        yield


@contextmanager
def registered(zookeeper: int, *ports: int) -> Iterator[None]:
    """examples/register.py with these servers."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    with running(str(EXAMPLES / "register.py"), f"127.0.0.1:{zookeeper}", "/services/web", *addresses) as process:
        assert process.stdout is not None
        for address in addresses:
            assert process.stdout.readline() == f"registered {address}\n"
        yield


class Answer(NamedTuple):
    """What a client got."""

    code: int
    headers: HTTPMessage
    body: str


def ask(port: int, target: str, method: str = "GET", body: str | None = None) -> Answer:
    """Ask the proxy. This client sends no User-Agent."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())
    finally:
        connection.close()


class Request(NamedTuple):
    """What an upstream got."""

    line: str
    headers: HTTPMessage
    body: str


@pytest.fixture
def recorded() -> Iterator[tuple[int, list[Request]]]:
    """The port of an upstream, and what it got. It answers 200 "world", but 404 where the path says missing."""
    requests: list[Request] = []

    class Recording(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            requests.append(Request(self.requestline, self.headers, self.rfile.read(length).decode()))
            self.send_response(404 if "missing" in self.path else 200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"world")

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recording)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, requests
    finally:
        server.shutdown()
        server.server_close()


def test_single(recorded: tuple[int, list[Request]], tmp_path: Path) -> None:
    upstream, requests = recorded
    with proxy("tutorial-single.toml", tmp_path, {"2002": freePort(), "2003": upstream}) as port:
        answer = ask(port, "/dir/page?a=1", "POST", "some")
        assert (answer.code, answer.body, answer.headers["Content-Length"]) == (200, "hello world", "11")
        got = requests.pop()
        assert got.line == "POST /base/page?name=123&a=1 HTTP/1.1"
        assert (got.body, got.headers["Content-Length"]) == ("this is new, it was: some", "25")
        assert got.headers["Token"] == "secret"
        assert got.headers["User-Agent"] is None
        assert got.headers["X-Forwarded-For"] == "127.0.0.1"

        assert ask(port, "/other/dir/page").body == "hello world"
        got = requests.pop()
        assert (got.line, got.body) == ("GET /base/other/dir/page?name=123 HTTP/1.1", "")

        answer = ask(port, "/dir/missing")
        assert answer.code == 502
        assert "world" not in answer.body
        assert requests.pop().line == "GET /base/missing?name=123 HTTP/1.1"


def test_multi(tmp_path: Path) -> None:
    ports = {name: freePort() for name in ("2002", "2003", "2004")}
    with proxy("tutorial-multi.toml", tmp_path, ports) as port:
        with sampleUpstreams(ports["2003"], ports["2004"]):
            bodies = [ask(port, "/page").body for _ in range(6)]
            served = [next(each for each in ("2003", "2004") if f":{ports[each]}/base/page" in body) for body in bodies]
            assert served == ["2003", "2004", "2003", "2003", "2004", "2003"]
            answer = ask(port, "/error")
            assert (answer.code, answer.body) == (500, "StatusCode error:error handler\n")
            assert answer.headers["Content-Length"] == str(len(answer.body))
        answer = ask(port, "/page")
        assert answer.code == 500
        assert answer.body.startswith("ErrorHandler error:connect_refused")
        with sampleUpstreams(ports["2004"]):
            assert {ask(port, "/page").code for _ in range(4)} == {200}


@needsZooKeeper
def test_zookeeper(zookeeper: Mapping[str, int], tmp_path: Path) -> None:
    ports = {name: freePort() for name in ("2002", "2003", "2004")} | zookeeper
    one, two = ports["2003"], ports["2004"]

    def served(port: int) -> str:
        """Who answers six requests."""
        bodies = [ask(port, "/page").body for _ in range(6)]
        return "".join(next(name for name, each in (("a", one), ("b", two)) if f":{each}/base/page" in body) for body in bodies)

    with sampleUpstreams(one, two), registered(zookeeper["2181"], one), proxy("tutorial-zookeeper.toml", tmp_path, ports) as port:
        assert served(port) == "aaaaaa"
        with registered(zookeeper["2181"], two):
            waitFor(lambda: sorted(served(port)) == sorted("aaaabb"), "weights 100 and 50 are not seen")
        waitFor(lambda: served(port) == "aaaaaa", "one left, and is still asked")

"""The template of a package of plugins: it works by the commands of its own README, in a clean environment beside twistproxy.

The README's consoles are run from top to bottom in a copy of the template; what they show has to come out. Ports 8080
and 9000 become free ones of 127.0.0.1.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.docs.blocks import Command, blocksOf, commandsOf
from tests.docs.session import freePort, isAsExpected
from tests.packaging.building import ROOT, call, cleanEnvironment

TEMPLATE = ROOT / "examples/plugin-template"
TAGS = {"first", "maintenance", "served-by"}
PATIENCE = 60.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template, as somebody would begin with it."""
    ignored = shutil.ignore_patterns("__pycache__", "dropin.cache*", "*.egg-info", ".*_cache", "_trial_temp*", "build", "dist")
    copy = tmp_path_factory.mktemp("template") / "mine"
    shutil.copytree(TEMPLATE, copy, ignore=ignored)
    return copy


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a server that says who it is."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Reader:
    """Somebody who does what the README says."""

    def __init__(self, environment: Path, directory: Path, upstream: int) -> None:
        self.environment = environment
        self.directory = directory
        self.ports = {"9000": str(upstream), "8080": str(freePort())}
        self.proxy: subprocess.Popen[str] | None = None

    def do(self, command: Command) -> None:
        """One command, and what it has to print."""
        text = self.translated(command.text)
        if "--upstream" in text:
            said = self.serve(text)
        else:
            said = call("bash", "-c", text, cwd=self.directory, bin=self.environment)
        expected = [self.translated(line) for line in command.output]
        if expected:
            # curl tells how far it is when it does not write to a terminal.
            assert isAsExpected(["...", *expected, "..."], said), f"$ {text}\n{said}"

    def translated(self, text: str) -> str:
        text = re.sub(r"\b(?:8080|9000)\b", lambda found: self.ports[found[0]], text)
        return text.replace("curl ", "curl --silent --show-error ")

    def serve(self, text: str) -> str:
        self.proxy = subprocess.Popen(
            ["bash", "-c", f"exec {text}"], cwd=self.directory, env=cleanEnvironment(self.environment),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        hung = threading.Timer(PATIENCE, self.proxy.kill)
        hung.start()
        said = ""
        assert self.proxy.stdout is not None
        for line in self.proxy.stdout:
            said += line
            if "listening on" in line:
                break
        hung.cancel()
        return said

    def leave(self) -> None:
        """Stop the proxy.

        @raise AssertionError: when it does not stop well.
        """
        if self.proxy is not None:
            self.proxy.send_signal(signal.SIGINT)
            said, _ = self.proxy.communicate(timeout=PATIENCE)
            assert self.proxy.returncode in (0, -signal.SIGINT), said  # twist ends by the signal that it got
            assert "Traceback" not in said, said


def test_theReadmesCommandsWork(environment: Path, template: Path, upstream: int) -> None:
    reader = Reader(environment, template, upstream)
    try:
        for block in blocksOf((template / "README.md").read_text()):
            for command in commandsOf(block):
                if not command.text.startswith("curl") or shutil.which("curl"):
                    reader.do(command)
    finally:
        reader.leave()


def test_itsWheelHasThePluginsAndHidesNothing(environment: Path, template: Path, tmp_path: Path) -> None:
    call(environment / "pip", "wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, template, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    call(environment / "pip", "uninstall", "-q", "-y", "twistproxy-template", cwd=tmp_path)
    assert listedTags(environment, tmp_path) & TAGS == set()
    call(environment / "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    listed = listedTags(environment, tmp_path)
    assert listed >= TAGS | {"round-robin", "strip-prefix"}
    said = call(environment / "twist", "--help", cwd=tmp_path)
    assert "revproxy" in said
    assert "web" in said
    # Whoever removes it removes only that.
    call(environment / "pip", "uninstall", "-q", "-y", "twistproxy-template", cwd=tmp_path)
    assert listedTags(environment, tmp_path) == listed - TAGS


def listedTags(environment: Path, elsewhere: Path) -> set[str]:
    """The plugins of C{--list-plugins}, seen from a directory with nothing in it."""
    said = call(environment / "twist", "revproxy", "--list-plugins", cwd=elsewhere)
    return {line.split()[0] for line in said.splitlines() if line}

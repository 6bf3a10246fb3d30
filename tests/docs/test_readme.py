"""The README does what it says: its links lead somewhere, its options exist, its example runs."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PATIENCE = 15.0
"""Seconds until something that should have happened is taken for failed."""


@contextmanager
def tellingUpstream(header: str) -> Iterator[int]:
    """The port of a server that answers with what the request's C{header} was."""

    class Telling(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(self.headers[header]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Telling)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def freePort() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def waitFor(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"the example does not listen:\n{process.communicate()[0]}")


def test_linksLeadToFiles() -> None:
    targets = {target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target}
    assert targets
    headings = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)", README, re.MULTILINE)}
    assert {target for target in targets if target not in headings and not (ROOT / target).exists()} == set()


def test_optionsExist() -> None:
    lines = [line for line in README.splitlines() if line.lstrip().startswith("twist revproxy")]
    used = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
    assert used
    command = [sys.executable, "-m", "twisted", "revproxy", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE).stdout
    assert {option for option in used if f"{option}=" not in shown and f"{option} " not in shown} == set()


def test_configurationIsGood(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "proxy.toml").write_text(example.replace("/var/log", str(tmp_path)))
    command = [sys.executable, "-m", "twisted", "revproxy", "--config", "proxy.toml", "--check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr, done.returncode) == ("the configuration is good\n", "", 0)


def test_exampleRuns() -> None:
    [example] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with tellingUpstream("X-Tenant") as upstream:
        port = freePort()
        example = example.replace("9000", str(upstream)).replace("8080", str(port))
        command = [sys.executable, "-c", example]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            waitFor(port, process)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "blue.example"})
            # An empty ProxyHandler: whatever proxy the environment names has no part in this.
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(request, timeout=PATIENCE) as answer:
                assert answer.read() == b"blue"
        finally:
            process.kill()
            process.communicate()

"""Several worker processes that serve as one proxy: shared connections, crashes, draining, and ends of all kinds."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from twisted.application.reactors import getReactorTypes

from tests.support.certificates import authority, issued, pem
from tests.support.process import LIMIT, TWIST, Child, waitFor

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


HAS_UVLOOP = "uvloop" in {each.shortName for each in getReactorTypes()} and find_spec("uvloop") is not None
REACTORS = pytest.mark.parametrize(
    "reactor", ["", pytest.param("uvloop", marks=pytest.mark.skipif(not HAS_UVLOOP, reason="needs uvloop"))]
)


class Upstream:
    """Answers with the path; C{/slow} when it is let to.

    @ivar url: where it is.
    """

    def __init__(self) -> None:
        self.slow = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/slow":
                    outer.waiting.release()
                    outer.slow.acquire(timeout=LIMIT)
                body = self.path.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """It."""
    made = Upstream()
    yield made
    made.close()


def childrenOf(pid: int) -> list[int]:
    """The processes that it started and that live."""
    try:
        found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [each for each in found if "workers.worker" in Path(f"/proc/{each}/cmdline").read_text()]


def isAlive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Proxy(Child):
    """A proxy with two workers.

    @ivar port: where it listens first.
    """

    def __init__(
        self, directory: Path, upstream: Upstream, *options: str, listen: str = "tcp:0:interface=127.0.0.1", reactor: str = ""
    ) -> None:
        words = [TWIST, "--log-format=text", *([f"--reactor={reactor}"] if reactor else []), "revproxy", "--workers", "2"]
        super().__init__(directory, "proxy", *words, "--listen", listen, "--upstream", upstream.url, *options)
        try:
            self.port = int(self.waitFor(r"^listening on (?:https?://[^:]+:(\d+)/|unix:)")[1] or 0)
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Proxy:
        return self

    @property
    def workers(self) -> list[int]:
        """The processes that serve, or are about to."""
        return childrenOf(self.process.pid)

    def get(self, path: str = "/") -> tuple[int, bytes]:
        """Ask, on a connection of its own."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            client.request("GET", path, headers={"Connection": "close"})
            answer = client.getresponse()
            return answer.status, answer.read()
        finally:
            client.close()

    def waitForWorkers(self, *others: int) -> None:
        """Until two workers serve, none of which is one of these."""
        waitFor(lambda: len(self.workers) == 2 and not set(self.workers) & set(others), "no other workers came")
        waitFor(lambda: all(self.socketsOf(each) >= 3 for each in self.workers), "the others do not listen")

    def socketsOf(self, pid: int) -> int:
        """How many sockets a process has."""
        count = 0
        for each in Path(f"/proc/{pid}/fd").iterdir():
            try:
                count += os.readlink(each).startswith("socket:")
            except OSError:
                pass
        return count

    def ended(self) -> int:
        """Wait for the end of all its processes.

        @return: its exit status.
        """
        workers = self.workers
        status = self.process.wait(LIMIT)
        waitFor(lambda: not any(isAlive(each) for each in workers), "workers are left over")
        return status


def inBackground(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Call it in a thread."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    return thread, results


@REACTORS
def test_connectionsAreSharedOutAndLogsAreWhole(tmp_path: Path, upstream: Upstream, reactor: str) -> None:
    log = tmp_path / "access.log"
    with Proxy(tmp_path, upstream, "--access-log", str(log), reactor=reactor) as proxy, ExitStack() as stack:
        before = {each: proxy.socketsOf(each) for each in proxy.workers}
        assert len(before) == 2
        clients = [http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=LIMIT) for _ in range(40)]
        for at, client in enumerate(clients):
            stack.callback(client.close)
            client.request("GET", f"/{at:03}/{'x' * 300}")
            assert client.getresponse().read().startswith(b"/%03d/" % at)
        more = [proxy.socketsOf(each) - had for each, had in before.items()]
        # Each has its clients and at least one connection to the upstream. Fewer than a fifth of 40: once in 30,000.
        assert min(more) > 8, more
        stack.close()
        proxy.process.send_signal(signal.SIGTERM)
        proxy.ended()
        assert "The workers served 40 exchanges" in proxy.said
        lines = sorted(re.findall(r'"GET /(\d{3})/x{300} HTTP/1.1" 200 305 ', log.read_text()))
        assert lines == [f"{at:03}" for at in range(40)]
        assert len(log.read_text().splitlines()) == 40


def test_aCrashCostsNoRequestAndAnotherFollows(tmp_path: Path, upstream: Upstream) -> None:
    with Proxy(tmp_path, upstream) as proxy:
        first = proxy.workers
        for victim in first:
            os.kill(victim, signal.SIGKILL)
            # Half of these go to the socket of the one that is gone: the other one takes them.
            for _ in range(12):
                assert proxy.get("/x") == (200, b"/x")
            proxy.waitForWorkers(victim)
        assert not set(proxy.workers) & set(first)
        assert proxy.said.count("ended by signal 9; another follows") == 2
        assert proxy.get("/y") == (200, b"/y")


def test_oneThatHangsIsReplaced(tmp_path: Path, upstream: Upstream) -> None:
    with Proxy(tmp_path, upstream, "--set", "worker-timeout=1s") as proxy:
        victim = proxy.workers[0]
        os.kill(victim, signal.SIGSTOP)
        proxy.waitFor("hangs, and is killed")
        for _ in range(6):  # those that the kernel had given to it too
            assert proxy.get("/x") == (200, b"/x")
        proxy.waitForWorkers(victim)


def test_oneThatIsToldToEndDrainsAndIsReplaced(tmp_path: Path, upstream: Upstream) -> None:
    with Proxy(tmp_path, upstream) as proxy:
        asking, answers = inBackground(lambda: proxy.get("/slow"))
        assert upstream.waiting.acquire(timeout=LIMIT)
        first = proxy.workers
        for each in first:
            os.kill(each, signal.SIGTERM)
        waitFor(lambda: len(set(proxy.workers) - set(first)) == 1, "the idle one was not replaced")
        waitFor(lambda: proxy.get("/x") == (200, b"/x"), "nobody serves")
        upstream.slow.release()
        asking.join(LIMIT)
        assert answers == [(200, b"/slow")]
        proxy.waitForWorkers(*first)


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_theEndWaitsForExchanges(tmp_path: Path, upstream: Upstream, how: str) -> None:
    """SIGINT as Ctrl-C sends it: to all processes of the terminal at once."""
    with Proxy(tmp_path, upstream) as proxy:
        asking, answers = inBackground(lambda: proxy.get("/slow"))
        assert upstream.waiting.acquire(timeout=LIMIT)
        if how == "SIGINT":
            os.killpg(proxy.process.pid, signal.SIGINT)
        else:
            proxy.process.send_signal(signal.SIGTERM)

        def isRefused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", proxy.port), timeout=LIMIT).close()
            except ConnectionRefusedError:
                return True
            return False

        waitFor(isRefused, "it goes on listening")
        assert proxy.process.poll() is None
        upstream.slow.release()
        asking.join(LIMIT)
        assert answers == [(200, b"/slow")]
        proxy.ended()


def test_workersEndWithTheirSupervisor(tmp_path: Path, upstream: Upstream) -> None:
    with Proxy(tmp_path, upstream) as proxy:
        workers = proxy.workers
        assert len(workers) == 2
        proxy.process.kill()
        waitFor(lambda: not any(isAlive(each) for each in workers), "workers are left over")


@REACTORS
def test_aUnixSocketKeepsItsModeAndItsPlace(tmp_path: Path, upstream: Upstream, reactor: str) -> None:
    path = tmp_path / "proxy.sock"

    def get() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(str(path))
            client.sendall(b"GET /u HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").read()

    with Proxy(tmp_path, upstream, listen=f"unix:{path}:mode=660", reactor=reactor) as proxy:
        assert f"listening on unix:{path}" in proxy.said
        assert get().endswith(b"/u")
        first = proxy.workers
        for victim, how in zip(first, (signal.SIGKILL, signal.SIGTERM), strict=True):
            os.kill(victim, how)
            waitFor(lambda: len(proxy.workers) == 2 and victim not in proxy.workers, "no other came")  # noqa: B023
            assert get().endswith(b"/u")
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        proxy.process.send_signal(signal.SIGTERM)
        proxy.ended()
        assert not path.exists()


def test_tls(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "own.pem").write_bytes(pem(issued("localhost")))
    listen = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/own.pem:certKey={tmp_path}/own.pem"
    with Proxy(tmp_path, upstream, listen=listen) as proxy:
        context = ssl.create_default_context()
        authority().configure_trust(context)
        for _ in range(6):
            client = http.client.HTTPSConnection("localhost", proxy.port, timeout=LIMIT, context=context)
            client.request("GET", "/t")
            assert client.getresponse().read() == b"/t"
            client.close()


def test_anInheritedSocket(tmp_path: Path, upstream: Upstream) -> None:
    """As systemd hands it on: all workers accept from the one there is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        command = (
            f'exec 3<&{server.fileno()}; export LISTEN_PID=$$; exec {TWIST} --log-format=text revproxy --workers 2 '
            f"--listen systemd:domain=INET:index=0 --upstream {upstream.url}"
        )  # fmt: skip
        output = (tmp_path / "out").open("wb")
        process = subprocess.Popen(
            ["/bin/bash", "-c", command], env=environment, pass_fds=[server.fileno()], stdout=output, stderr=output, cwd=tmp_path
        )
    try:
        waitFor(lambda: b"listening on" in (tmp_path / "out").read_bytes(), "it does not listen")
        for _ in range(4):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            client.request("GET", "/i")
            assert client.getresponse().read() == b"/i"
            client.close()
        process.terminate()
        process.wait(LIMIT)
    finally:
        process.kill()
        process.wait()
        output.close()


def test_aTakenPortEndsTheStart(tmp_path: Path, upstream: Upstream) -> None:
    """Also when workers of another proxy share it: C{SO_REUSEPORT} alone would let this one in."""
    with Proxy(tmp_path, upstream) as proxy:
        options = ["revproxy", "--workers", "2", "--upstream", upstream.url, "--listen", f"tcp:{proxy.port}:interface=127.0.0.1"]
        second = subprocess.run([TWIST, *options], capture_output=True, text=True, timeout=LIMIT, check=False)
        assert second.returncode == 1
        assert re.search(rf"^tcp:{proxy.port}:interface=127\.0\.0\.1: Couldn't listen on", second.stderr, re.MULTILINE)
        assert "Traceback" not in second.stderr


CHECK = '''
import os
from zope.interface import implementer
from twistproxy.health.schedule import Schedule
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health


@implementer(IHealthCheck)
class Watch:
    schedule = Schedule(interval=0.1, rise=1, fall=2)

    def check(self, upstream):
        with open("probers", "a") as file:
            file.write(f"{os.getpid()}\\n")
        return Health(not os.path.exists("down"), "the file says so")
'''


def test_oneWorkerChecksForAll(tmp_path: Path, upstream: Upstream) -> None:
    (tmp_path / "watching.py").write_text(CHECK)
    with Proxy(tmp_path, upstream, "--plugin-path", str(tmp_path), "--health", "watching.Watch") as proxy:
        probers = tmp_path / "probers"

        def probing() -> set[int]:
            return {int(each) for each in probers.read_text().split()}

        waitFor(probers.exists, "nobody checks")
        (tmp_path / "down").touch()
        for number in (1, 2):
            proxy.waitFor(rf"\[worker {number}, twistproxy\.health#warn\] .* is down: the file says so")
        assert proxy.get()[0] == 503
        (first,) = probing()
        os.kill(first, signal.SIGKILL)
        waitFor(lambda: len(probing()) == 2, "nobody took over")
        proxy.waitForWorkers(first)
        # The new one was told, though it never checked.
        waitFor(lambda: {proxy.get()[0] for _ in range(8)} == {503}, "the new one does not know")
        (tmp_path / "down").unlink()
        waitFor(lambda: {proxy.get()[0] for _ in range(8)} == {200}, "it is not up again")
        assert len(probing()) == 2

"""WebSockets through the proxy: PyPI's websockets on both ends, and Autobahn's cases as kosoku runs them."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.process import Child, ProxyProcess
from tests.support.programs import needs, run

client = pytest.importorskip("websockets.sync.client", reason="not installed: websockets")
exceptions = pytest.importorskip("websockets.exceptions")

CASES = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "12.1.1", "12.1.2", "12.2.1", "13.1.1", "13.7.1"]
"""Autobahn's; of the compression ones, which take minutes each dozen, only a few."""


@pytest.fixture(scope="module")
def echo(moduleDirectory: Path) -> Iterator[int]:
    """The port of an echo server."""
    script = Path(__file__).with_name("websocketecho.py")
    with Child(moduleDirectory, "echo", sys.executable, script) as server:
        yield int(server.waitFor(r"^port (\d+)$")[1])


@pytest.fixture(scope="module")
def proxy(echo: int, startModuleProxy: StartProxy) -> ProxyProcess:
    """A proxy before it."""
    return startModuleProxy(f"http://127.0.0.1:{echo}")


def test_messagesOfEverySizeComeBack(proxy: ProxyProcess) -> None:
    with client.connect(f"ws://127.0.0.1:{proxy.port}/chat", max_size=None, subprotocols=["chat"]) as connection:
        assert connection.subprotocol == "chat"
        assert "permessage-deflate" in connection.response.headers["Sec-WebSocket-Extensions"]
        for message in ("", "hello", b"\x00\xff", "\u20ac" * 1000, bytes(range(256)) * 65536):
            connection.send(message)
            assert connection.recv(10) == message
        assert connection.ping().wait(10)
    assert proxy.log == []


def test_serversCloseReachesTheClient(proxy: ProxyProcess) -> None:
    with client.connect(f"ws://127.0.0.1:{proxy.port}/") as connection:
        connection.send("close please")
        with pytest.raises(exceptions.ConnectionClosedError) as closed:
            connection.recv(10)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you wish")
    assert proxy.log == []


def test_manyAtOnceDoNotMeet(proxy: ProxyProcess) -> None:
    failures: list[BaseException] = []

    def talk(number: int) -> None:
        try:
            with client.connect(f"ws://127.0.0.1:{proxy.port}/{number}") as connection:
                for turn in range(20):
                    message = f"{number}:{turn}:" + "x" * (number * 100)
                    connection.send(message)
                    assert connection.recv(10) == message
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert failures == []


def failing(directory: Path, port: int, cases: Sequence[str]) -> list[str]:
    """Those of Autobahn's cases that a server fails; how it closes counts too."""
    report = directory / f"report{port}"
    words = [word for each in cases for word in ("-i", each)]
    run("kosoku", "-p", "8", *words, "-o", report, f"ws://127.0.0.1:{port}", limit=90)
    (found,) = json.loads((report / "index.json").read_text()).values()
    assert len(found) >= len(cases)
    good = {"OK", "NON-STRICT", "INFORMATIONAL"}
    return [name for name, case in found.items() if not {case["behavior"], case["behaviorClose"]} <= good]


@pytest.mark.slow
@needs("kosoku")
def test_autobahnFindsNothingThatItDoesNotFindWithoutAProxy(tmp_path: Path, echo: int, proxy: ProxyProcess) -> None:
    failed = failing(tmp_path, proxy.port, CASES)
    # A few are too much for websockets itself, such as messages in thousands of fragments.
    assert len(failed) < 10, failed
    if failed:
        assert set(failed) <= set(failing(tmp_path, echo, failed))
    assert proxy.log == []

"""What the pages of the documentation find running."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.docs.session import PATIENCE, ROOT, environment, freePort
from tests.support.zookeeper import ZooKeeperServer


@pytest.fixture(scope="session")
def upstreams() -> Iterator[dict[str, int]]:
    """The real ports of C{examples/upstream.py}, by the pages'."""
    ports = {str(port): freePort() for port in (9000, 9001, 9002)}
    command = [sys.executable, str(ROOT / "examples" / "upstream.py"), *map(str, ports.values())]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        started = time.monotonic()
        for port in ports.values():
            assert process.stdout.readline() == f"upstream on http://127.0.0.1:{port}/\n"
        assert time.monotonic() - started < PATIENCE
        yield ports
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The real port of a ZooKeeper, by the pages'."""
    server = ZooKeeperServer(tmp_path_factory.mktemp("zookeeper"))
    server.start()
    yield {"2181": int(server.hosts.rpartition(":")[2])}
    server.kill()

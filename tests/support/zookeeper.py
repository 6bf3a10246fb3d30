"""Debian's ZooKeeper, as a process of the test's own."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Child, waitFor
from tests.support.programs import freePort, program

JAR = Path("/usr/share/java/zookeeper.jar")

MISSING = "not installed: java and zookeeper (libzookeeper-java)"
hasZooKeeper = program("java") is not None and JAR.exists()
needsZooKeeper = pytest.mark.skipif(not hasZooKeeper, reason=MISSING)

_CONFIGURATION = """\
tickTime=100
dataDir={directory}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok
"""
"""Sessions are from 2 to 20 ticks long: two seconds at most."""


class ZooKeeperServer:
    """A server that may be stopped and started again, with its data and at its port.

    @ivar hosts: as clients name it.
    """

    def __init__(self, directory: Path, tls: str = "") -> None:
        """@param tls: more lines of its configuration, for a server that speaks TLS at its port and asks for nothing else."""
        self._classes = [JAR, *JAR.parent.glob("netty-*.jar")] if tls else [JAR]
        self._isSecure = bool(tls)
        self._directory = directory
        self._process: Child | None = None
        self._starts = 0
        self._port = freePort()
        self.hosts = f"127.0.0.1:{self._port}"
        (directory / "data").mkdir()
        text = _CONFIGURATION.format(directory=directory, port=self._port) + tls
        (directory / "zoo.cfg").write_text(text.replace("clientPort", "secureClientPort") if tls else text)

    def start(self) -> None:
        """Have it running."""
        self._starts += 1
        classes = ":".join(map(str, self._classes))
        self._process = Child(
            self._directory, f"zookeeper{self._starts}", program("java") or "java", "-Xmx64m", "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC", "-cp", classes, "org.apache.zookeeper.server.quorum.QuorumPeerMain", self._directory / "zoo.cfg",
        )  # fmt: skip
        waitFor(self._answers, "ZooKeeper did not start")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.process.poll() is None, self._process.said
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as connection:
                if self._isSecure:
                    return True
                connection.sendall(b"ruok")
                return connection.recv(4) == b"imok"
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def client(self, **options: Any) -> Any:
        """A client for the test; to be stopped."""
        from kazoo.client import KazooClient

        made = KazooClient(self.hosts, timeout=2.0, connection_retry={"max_tries": -1, "max_delay": 0.2}, **options)
        made.start(20)
        return made

"""C{twist revproxy} without any health check, while its upstreams are killed, drained and started again: retries alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest_twisted
from twisted.internet.task import deferLater

from tests.integration.test_health import Backend, Load
from tests.support.network import Network
from tests.support.process import ProxyProcess


@pytest_twisted.ensureDeferred
async def test_killedDrainedAndRestartedUnderLoad(network: Network, tmp_path: Path) -> None:
    """200 requests a second, no check of any kind: those under way at the one that is killed go to another."""
    from twisted.internet import reactor

    members, log = tmp_path / "members.txt", tmp_path / "access.json"
    backends = [Backend(tmp_path, name, 0.08) for name in ("one", "two", "three")]  # many requests are under way at a time
    load = Load(reactor)

    def tell(*upstreams: Backend) -> None:
        new = tmp_path / "new.txt"
        new.write_text("".join(f"{each.url}\n" for each in upstreams))
        new.rename(members)

    try:
        for each in backends:
            await each.start(network)
        tell(*backends)
        options = ("--access-log", f"json:{log}", "--set", "discovery-interval=100ms")
        with ProxyProcess(tmp_path, f"file:{members}:every=100ms", options=options) as proxy:
            await load.start(SimpleNamespace(address=SimpleNamespace(port=proxy.port)))  # type: ignore[arg-type]
            assert await load.answering(0.2) == {"one", "two", "three"}

            backends[0].kill()
            assert await load.answering(0.5) == {"two", "three"}

            await backends[0].start(network)
            await network.until(lambda: load.names["one"], "one does not get requests again")

            tell(backends[0], backends[2])  # two is drained
            await deferLater(reactor, 0.6)
            assert await load.answering(0.2) == {"one", "three"}
            backends[1].kill()
            await backends[1].start(network)
            tell(*backends)
            await network.until(lambda: load.names["two"], "two does not get requests again")
            await load.stop()
            await deferLater(reactor, 1.1)  # the log is written once a second
            records = [json.loads(line) for line in log.read_text().splitlines()]
    finally:
        for each in backends:
            each.kill()
    assert load.failures == []
    assert load.asked > 300
    assert {record["status"] for record in records} == {200}
    again: list[dict[str, Any]] = [each for record in records for each in record["tries"] if each["decision"] == "retry"]
    assert len(again) > 5 and {each["reason"] for each in again} <= {"connect_refused", "upstream_reset", "upstream_closed"}
    assert all(record["tries"][-1]["status"] == 200 for record in records)

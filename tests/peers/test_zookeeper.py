"""Upstreams that come and go in Debian's ZooKeeper, while requests pass."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.conftest import StartProxy
from tests.support.load import NamedServer, Traffic, fetch
from tests.support.process import ProxyProcess, waitFor
from tests.support.zookeeper import ZooKeeperServer, needsZooKeeper

pytestmark = needsZooKeeper

@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    made = ZooKeeperServer(tmp_path_factory.mktemp("zookeeper"))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def client(server: ZooKeeperServer) -> Iterator[Any]:
    made = server.client()
    yield made
    made.stop()
    made.close()


@pytest.fixture(scope="module")
def names() -> Iterator[tuple[NamedServer, NamedServer, NamedServer]]:
    with NamedServer() as one, NamedServer() as two, NamedServer() as three:
        yield one, two, three


def spec(server: ZooKeeperServer, path: str, *options: str) -> str:
    """The source as on a command line."""
    hosts = server.hosts.replace(":", "\\:")
    return ":".join([f"zookeeper:{path}:hosts={hosts}", r"format=http\://%s/base", *options])


def until(traffic: Traffic, wanted: set[str]) -> None:
    """Wait for the traffic to reach all of these servers, and no others."""
    waitFor(lambda: traffic.served() == wanted, f"{wanted} wanted, {traffic.answered} seen")


def test_nodesComeAndGoUnderTraffic(
    server: ZooKeeperServer, client: Any, names: tuple[NamedServer, ...], startProxy: StartProxy
) -> None:
    one, two, three = names
    client.create(f"/services/web/{one.address}", makepath=True)
    proxy = startProxy(spec(server, "/services/web"))
    assert fetch(proxy.port) == (200, f"{one.address} /base/x")  # the very first: it listens once it knows
    with Traffic(proxy.port) as traffic:
        until(traffic, {one.address})
        client.create(f"/services/web/{two.address}")
        until(traffic, {one.address, two.address})
        client.create(f"/services/web/{three.address}", ephemeral=True)
        until(traffic, {one.address, two.address, three.address})
        client.delete(f"/services/web/{one.address}")
        until(traffic, {two.address, three.address})
        client.delete(f"/services/web/{three.address}")
        until(traffic, {two.address})
        client.delete(f"/services/web/{two.address}")  # nobody left is not believed
        time.sleep(0.3)
        assert traffic.served() == {two.address}
        client.create(f"/services/web/{one.address}")
        until(traffic, {one.address})
    assert traffic.failures == []


def test_theServerStopsAndStartsAgainAndNoRequestIsLost(
    server: ZooKeeperServer, client: Any, names: tuple[NamedServer, ...], startProxy: StartProxy
) -> None:
    one, two, three = names
    client.ensure_path("/restarted")
    client.create(f"/restarted/{one.address}")
    client.create(f"/restarted/{two.address}")
    proxy = startProxy(spec(server, "/restarted"))
    with Traffic(proxy.port) as traffic:
        until(traffic, {one.address, two.address})
        server.kill()
        time.sleep(2.2)  # longer than a session lasts
        assert traffic.served() == {one.address, two.address}
        server.start()
        waitFor(lambda: client.connected, "the test's client did not come back")
        client.create(f"/restarted/{three.address}")
        until(traffic, {one.address, two.address, three.address})
        client.delete(f"/restarted/{one.address}")  # its watches are armed again
        until(traffic, {two.address, three.address})
    assert traffic.failures == []
    proxy.logged("connection lost; its 2 upstreams stay")


def test_dataSaysWhereAndHowMuchAndMayChange(
    server: ZooKeeperServer, client: Any, names: tuple[NamedServer, ...], startProxy: StartProxy
) -> None:
    one, two, three = names
    host, port = one.address.split(":")
    client.ensure_path("/data")
    client.create("/data/member_1", json.dumps({"host": host, "port": int(port), "weight": 3}).encode())
    client.create(f"/data/{two.address}", b'{"weight": 1}')
    client.create("/data/member_3", b"neither address nor JSON")
    proxy = startProxy(spec(server, "/data"))
    with Traffic(proxy.port, clients=1) as traffic:
        until(traffic, {one.address, two.address})
        traffic.served(40)
        assert 2.0 < traffic.answered[one.address] / traffic.answered[two.address] < 4.0
        client.set("/data/member_3", three.address.encode())
        until(traffic, {one.address, two.address, three.address})
        client.set("/data/member_1", three.address.encode())
        until(traffic, {two.address, three.address})
    assert traffic.failures == []
    proxy.logged("left out: neither address nor JSON is neither an address nor a URL")


def test_weightsByAddressAndAPathThatComesLater(
    server: ZooKeeperServer, client: Any, names: tuple[NamedServer, ...], startProxy: StartProxy, tmp_path: Path
) -> None:
    one, two, _ = names
    file = tmp_path / "proxy.toml"
    file.write_text(
        f'[pools.web]\nupstreams = [{{ use = "zookeeper", path = "/not/yet", hosts = "{server.hosts}",'
        f' weights = {{ "{one.address}" = 150 }} }}]\n'
    )
    proxy = startProxy(options=("--config", str(file)))
    assert fetch(proxy.port)[0] == 503
    client.ensure_path("/not/yet")
    for each in (one, two):
        client.create(f"/not/yet/{each.address}")
    waitFor(lambda: fetch(proxy.port)[0] == 200, "nobody came")
    with Traffic(proxy.port, clients=1) as traffic:
        until(traffic, {one.address, two.address})
        traffic.served(40)
        assert 2.0 < traffic.answered[one.address] / traffic.answered[two.address] < 4.0
    assert traffic.failures == []


def test_nodesThatNotEverybodyMayRead(
    server: ZooKeeperServer, client: Any, names: tuple[NamedServer, ...], startProxy: StartProxy
) -> None:
    from kazoo.security import make_digest_acl

    one, *_ = names
    acl = [make_digest_acl("proxy", "secret", all=True)]
    client.add_auth("digest", "proxy:secret")
    client.create("/closed", acl=acl)
    client.create(f"/closed/{one.address}", acl=acl)
    proxy = startProxy(spec(server, "/closed", r"auth=digest\:proxy\:secret"))
    assert fetch(proxy.port) == (200, f"{one.address} /base/x")
    without = startProxy(spec(server, "/closed"), settings=("discovery-start-timeout=100ms",))
    assert fetch(without.port)[0] == 503
    assert "secret" not in proxy.said
    waitFor(lambda: any("not read (NoAuthError" in line for line in without.log), f"{without.log}")


_TLS = """\
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
ssl.keyStore.location={directory}/server.pem
ssl.keyStore.type=PEM
ssl.trustStore.location={directory}/ca.pem
ssl.trustStore.type=PEM
ssl.hostnameVerification=false
"""
"""The last line is about clients: their certificates need not be for the hosts that they come from."""


def test_byTLSWithACertificateOfItsOwn(names: tuple[NamedServer, ...], startProxy: StartProxy, tmp_path: Path) -> None:
    import trustme
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, issued in (("server", ca.issue_cert("127.0.0.1")), ("client", ca.issue_cert("proxy.example"))):
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pieces = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), issued.cert_chain_pems[0].bytes()]
        (tmp_path / f"{name}.pem").write_bytes(b"".join(pieces))
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "client")}
    server = ZooKeeperServer(tmp_path, _TLS.format(directory=tmp_path))
    server.start()
    try:
        client = server.client(use_ssl=True, ca=str(files["ca"]), certfile=str(files["client"]), keyfile=str(files["client"]))
        client.create(f"/services/web/{names[0].address}", makepath=True)
        client.stop()
        client.close()
        proxy = startProxy(spec(server, "/services/web", f"ca={files['ca']}", f"cert={files['client']}"))
        assert fetch(proxy.port) == (200, f"{names[0].address} /base/x")
        strange = startProxy(spec(server, "/services/web", "tls=yes"), settings=("discovery-start-timeout=100ms",))
        assert fetch(strange.port)[0] == 503
        strange.logged("certificate verify failed")
    finally:
        server.kill()


def test_nobodyThereAtTheStartNorAtTheEnd(names: tuple[NamedServer, ...], tmp_path: Path) -> None:
    server = ZooKeeperServer(tmp_path)  # not started: nobody listens there
    written = f"http://{names[0].address}"
    with ProxyProcess(tmp_path, spec(server, "/services/web"), written,
                      options=("--set", "discovery-start-timeout=500ms")) as proxy:  # fmt: skip
        assert fetch(proxy.port) == (200, f"{names[0].address} /x")
        proxy.logged("Connection refused")  # said once, not at each attempt
        server.start()
        client = server.client()
        client.create(f"/services/web/{names[1].address}", makepath=True)
        client.stop()
        client.close()
        with Traffic(proxy.port, clients=1) as traffic:
            until(traffic, {names[0].address, names[1].address})
            server.kill()
        assert traffic.failures == []
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.wait(10)
        assert time.monotonic() - began < 5
        assert "Traceback" not in proxy.said

"""HAProxy before and behind: the PROXY protocol as its authors speak it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.certificates import issued, pem, writeAuthority
from tests.support.process import Child, ProxyProcess, waitFor
from tests.support.programs import freePort, needs, program, run

pytestmark = needs("haproxy", "curl")

GLOBAL = """
global
  stats socket {directory}/stats level admin
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
"""


class HAProxy(Child):
    """A running HAProxy."""

    def __init__(self, directory: Path, configuration: str) -> None:
        directory.mkdir(exist_ok=True)
        path = directory / "haproxy.cfg"
        path.write_text(GLOBAL.format(directory=directory) + configuration)
        found = program("haproxy")
        assert found is not None
        super().__init__(directory, "haproxy", found, "-db", "-f", path)
        waitFor(lambda: (directory / "stats").exists() or self.process.poll() is not None, "HAProxy did not start")
        assert self.process.poll() is None, self.said


def curl(url: str, *words: str) -> str:
    """What curl got, as a client at 127.0.0.2."""
    done = run("curl", "--silent", "--show-error", "--fail", "--interface", "127.0.0.2", *words, url)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def proxiedPort(proxy: ProxyProcess) -> int:
    """Of the listener that takes headers."""
    found = re.findall(r"^listening on http://127\.0\.0\.1:(\d+)/$", proxy.said, re.MULTILINE)
    return int(found[1])


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl"])
def test_before(startProxy: StartProxy, tmp_path: Path, send: str) -> None:
    """It relays bytes, ends TLS, and checks by connections of its own."""
    listener = "tcp:0:interface=127.0.0.1,proxy-protocol=127.0.0.1"
    upstream, plain, secure = freePort(), freePort(), freePort()
    (tmp_path / "both.pem").write_bytes(pem(issued("localhost")))
    back = f"frontend back\n  mode http\n  bind 127.0.0.1:{upstream}\n" + (
        '  http-request return status 200 content-type text/plain lf-string '
        '"%[req.hdr(x-forwarded-for)] %[req.hdr(x-forwarded-proto)]"\n'
    )
    proxy = startProxy(f"http://127.0.0.1:{upstream}", options=("--listen", listener))
    front = f"""
frontend front
  mode tcp
  bind 127.0.0.1:{plain}
  bind 127.0.0.1:{secure} ssl crt {tmp_path}/both.pem
  default_backend proxies
backend proxies
  mode tcp
  server proxy 127.0.0.1:{proxiedPort(proxy)} check inter 100ms {send}
"""
    with HAProxy(tmp_path / "haproxy", back + front) as haproxy:
        assert curl(f"http://127.0.0.1:{plain}/") == "127.0.0.2 http", haproxy.said
        authority = writeAuthority(tmp_path)
        told = curl(f"https://localhost:{secure}/", "--cacert", authority, "--resolve", f"localhost:{secure}:127.0.0.1")
        assert told == f"127.0.0.2 {'https' if 'ssl' in send else 'http'}"
        assert "DOWN" not in haproxy.said
    assert proxy.log == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_behind(startProxy: StartProxy, tmp_path: Path, version: str) -> None:
    """It is told who the client is, over TLS too, on connections that are used again."""
    plain, secure = freePort(), freePort()
    (tmp_path / "both.pem").write_bytes(pem(issued("127.0.0.1")))
    authority = writeAuthority(tmp_path)
    answer = '  http-request return status 200 content-type text/plain lf-string "%ci %[dst]:%[dst_port]"\n'
    configuration = f"""
frontend plain
  mode http
  bind 127.0.0.1:{plain} accept-proxy
{answer}
frontend secure
  mode http
  bind 127.0.0.1:{secure} accept-proxy ssl crt {tmp_path}/both.pem
{answer}"""
    with HAProxy(tmp_path / "haproxy", configuration) as haproxy:
        for url in (f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{secure},ca={authority}"):
            proxy = startProxy(f"{url},proxy-protocol={version}")
            told = f"127.0.0.2 127.0.0.1:{proxy.port}"
            assert curl(f"{proxy.url}/", f"{proxy.url}/again") == told * 2, haproxy.said
            assert proxy.log == []

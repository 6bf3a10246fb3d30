"""HAProxy before and behind: the PROXY protocol as its authors speak it."""

from __future__ import annotations

import re
import time
from pathlib import Path

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


SENDS = ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl")


def test_before(startProxy: StartProxy, tmp_path: Path) -> None:
    """It relays bytes, ends TLS, and checks by connections of its own."""
    upstream, *ports = [freePort() for _ in range(1 + 2 * len(SENDS))]
    (tmp_path / "both.pem").write_bytes(pem(issued("localhost")))
    told = '"%[req.hdr(x-forwarded-for)] %[req.hdr(x-forwarded-proto)]"'
    configuration = f"""
frontend back
  mode http
  bind 127.0.0.1:{upstream}
  http-request return status 200 content-type text/plain lf-string {told}
"""
    listener = "tcp:0:interface=127.0.0.1,proxy-protocol=127.0.0.1"
    proxy = startProxy(f"http://127.0.0.1:{upstream}", options=("--listen", listener))
    for number, send in enumerate(SENDS):
        configuration += f"""
frontend front{number}
  mode tcp
  bind 127.0.0.1:{ports[2 * number]}
  bind 127.0.0.1:{ports[2 * number + 1]} ssl crt {tmp_path}/both.pem
  default_backend proxies{number}
backend proxies{number}
  mode tcp
  server proxy 127.0.0.1:{proxiedPort(proxy)} check inter 100ms {send}
"""
    authority = writeAuthority(tmp_path)
    with HAProxy(tmp_path / "haproxy", configuration) as haproxy:
        for number, send in enumerate(SENDS):
            plain, secure = ports[2 * number : 2 * number + 2]
            assert curl(f"http://127.0.0.1:{plain}/") == "127.0.0.2 http", haproxy.said
            got = curl(f"https://localhost:{secure}/", "--cacert", authority, "--resolve", f"localhost:{secure}:127.0.0.1")
            assert got == f"127.0.0.2 {'https' if 'ssl' in send else 'http'}"
        assert "DOWN" not in haproxy.said
    assert proxy.log == []


def test_behind(startProxy: StartProxy, tmp_path: Path) -> None:
    """It is told who the client is, before TLS too, on connections that are used again; checks speak for themselves."""
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
        for upstream in (
            f"http://127.0.0.1:{plain},proxy-protocol=v1",
            f"https://127.0.0.1:{secure},ca={authority},proxy-protocol=v2",
        ):
            proxy = startProxy(upstream, options=("--health", "http:interval=200ms"))
            told = f"127.0.0.2 127.0.0.1:{proxy.port}"
            assert curl(f"{proxy.url}/", f"{proxy.url}/again") == told * 2, haproxy.said
            time.sleep(0.5)  # two checks
            assert curl(f"{proxy.url}/") == told
            assert proxy.log == []

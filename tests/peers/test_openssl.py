"""The command line's TLS, asked by OpenSSL's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import issued, write, writeAuthority
from tests.support.process import ProxyProcess, waitFor
from tests.support.programs import needs

pytestmark = needs("openssl")

ASK = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


class Asker:
    """C{openssl s_client}, against one proxy whose certificates are in C{live}."""

    def __init__(self, directory: Path, proxy: ProxyProcess) -> None:
        self.directory = directory
        self.proxy = proxy
        self.port = int(proxy.waitFor(r"^listening on https://127\.0\.0\.1:(\d+)/$")[1])

    def ask(self, *options: str, data: bytes = ASK) -> str:
        """What it says about a connection on which it asked for a page."""
        words = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-ign_eof", "-CAfile", "ca.pem", *options]
        made = subprocess.run(words, cwd=self.directory, input=data, capture_output=True, timeout=20)
        return (made.stdout + made.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """A proxy without an upstream: its own answers are enough."""
    directory = tmp_path_factory.mktemp("openssl")
    writeAuthority(directory)
    write(directory, issued("a.example"), "live/a/fullchain.pem", "live/a/privkey.pem")
    write(directory, issued("*.b.example"), "live/b/fullchain.pem", "live/b/privkey.pem")
    listen = f"tls:0:interface=127.0.0.1:certs={directory}/live"
    options = ("--listen", listen, "--set", "certificate-interval=100ms", "--set", "connect-timeout=1s")
    with ProxyProcess(directory, "http://127.0.0.1:9", options=options) as proxy:
        yield Asker(directory, proxy)


def test_namesAndProtocols(asker: Asker) -> None:
    for name in ("a.example", "x.b.example"):
        said = asker.ask("-servername", name, "-verify_hostname", name, "-alpn", "h2,http/1.1")
        assert "Verification: OK" in said, said
        assert "ALPN protocol: http/1.1" in said
        assert "TLSv1.3" in said and "HTTP/1.1 502" in said
    assert "hostname mismatch" in asker.ask("-servername", "c.example", "-verify_hostname", "c.example")


def test_sessions(asker: Asker) -> None:
    for version in ("-tls1_3", "-tls1_2"):
        assert "New, TLSv1." in asker.ask(version, "-sess_out", "session.pem")
        assert "Reused, TLSv1." in asker.ask(version, "-sess_in", "session.pem")


def test_oldVersions(asker: Asker) -> None:
    said = asker.ask("-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert "Cipher is (NONE)" in said, said
    assert "HTTP/" not in said


def test_newCertificates(asker: Asker) -> None:
    name = "new.example"
    assert "hostname mismatch" in asker.ask("-servername", name, "-verify_hostname", name)
    write(asker.directory, issued(name), "live/new/fullchain.pem", "live/new/privkey.pem")
    waitFor(lambda: "Verification: OK" in asker.ask("-servername", name, "-verify_hostname", name), "it is not taken up")
    asker.proxy.logged("Loaded the certificate", "live/new/fullchain.pem")

"""Clients that know of proxies, through a forward proxy: curl, git, pip and apt-get, each fetching from a local server."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.peers.conftest import StartProxy
from tests.support.certificates import issued, write, writeAuthority
from tests.support.process import ProxyProcess
from tests.support.programs import needs, run


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing."""


class FileServer:
    """Serves a directory, over TLS too.

    @ivar port: for HTTP.
    @ivar securePort: for HTTPS.
    @ivar authority: a file with the certificate of who issued its own.
    """

    def __init__(self, directory: Path, files: Path) -> None:
        self.authority = writeAuthority(directory)
        cert, key = write(directory, issued("localhost", "127.0.0.1", "files.example"))
        handler = partial(Quiet, directory=str(files))
        self._plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._secure = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._secure.socket = context.wrap_socket(self._secure.socket, server_side=True)
        self.port = self._plain.server_address[1]
        self.securePort = self._secure.server_address[1]
        self._threads = [threading.Thread(target=each.serve_forever, daemon=True) for each in (self._plain, self._secure)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """Serve no longer."""
        for server, thread in zip((self._plain, self._secure), self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture(scope="module")
def files(moduleDirectory: Path) -> Path:
    """What is served."""
    made = moduleDirectory / "files"
    made.mkdir()
    (made / "hello.txt").write_text("hello\n")
    (made / "big").write_bytes(bytes(range(256)) * 20000)
    return made


@pytest.fixture(scope="module")
def server(moduleDirectory: Path, files: Path) -> Iterator[FileServer]:
    """Who serves it."""
    made = FileServer(moduleDirectory, files)
    yield made
    made.stop()


def forward(startProxy: StartProxy, server: FileServer, *more: str) -> ProxyProcess:
    """A forward proxy that may go to the server."""
    allowed = ("127.0.0.0/8", f"port:{server.port}", f"port:{server.securePort}")
    return startProxy(options=("--forward", *(word for each in allowed for word in ("--forward-allow", each)), *more))


@pytest.fixture(scope="module")
def proxy(startModuleProxy: StartProxy, server: FileServer) -> ProxyProcess:
    """A forward proxy that may go to the server."""
    return forward(startModuleProxy, server)


def withProxy(proxy: ProxyProcess) -> dict[str, str]:
    """The environment of a client that is told of the proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "http_proxy": proxy.url, "https_proxy": proxy.url}


@needs("curl")
def test_curl(proxy: ProxyProcess, server: FileServer, files: Path) -> None:
    through = ("--silent", "--show-error", "--fail", "--proxy", proxy.url)
    assert run("curl", *through, f"http://127.0.0.1:{server.port}/hello.txt").stdout == b"hello\n"
    secure = run("curl", *through, "--cacert", server.authority, f"https://localhost:{server.securePort}/big")
    assert secure.stdout == (files / "big").read_bytes(), secure.stderr
    both = [f"http://127.0.0.1:{server.port}/{name}" for name in ("hello.txt", "hello.txt")]
    assert run("curl", *through, *both).stdout == b"hello\nhello\n"
    told = run("curl", "--verbose", *through, "--proxytunnel", both[0])
    assert told.stdout == b"hello\n"
    assert b"200 Connection established" in told.stderr
    assert proxy.log == []


@needs("curl")
def test_proxiesByTLS(startProxy: StartProxy, server: FileServer, files: Path, tmp_path: Path) -> None:
    """curl speaks TLS to the proxy, and again through it."""
    cert, key = write(tmp_path, issued("localhost", "127.0.0.1"))
    proxy = forward(startProxy, server, "--listen", f"tls:0:interface=127.0.0.1:cert={cert}:key={key}")
    port = proxy.waitFor(r"^listening on https://127\.0\.0\.1:(\d+)/$")[1]
    trusted = ("--proxy-cacert", server.authority, "--cacert", server.authority)
    through = ("--silent", "--show-error", "--fail", "--proxy", f"https://localhost:{port}", *trusted)
    for url in (f"http://127.0.0.1:{server.port}", f"https://localhost:{server.securePort}"):
        got = run("curl", *through, f"{url}/big")
        assert got.stdout == (files / "big").read_bytes(), got.stderr
    assert proxy.log == []


@needs("curl")
def test_refusals(startProxy: StartProxy, server: FileServer) -> None:
    proxy = startProxy(options=("--forward",))
    words = ("--silent", "--output", "-", "--write-out", "%{http_code} %{http_connect}", "--proxy", proxy.url)
    assert run("curl", *words, f"http://127.0.0.1:{server.port}/hello.txt").stdout.endswith(b"403 000")
    assert run("curl", *words, f"http://localhost:{server.port}/hello.txt").stdout.endswith(b"403 000")
    assert run("curl", *words, f"https://localhost:{server.securePort}/").stdout.endswith(b"000 403")
    proxy.logged("403", "destination_refused", "localhost", "CONNECT")


@needs("curl")
def test_passwords(startProxy: StartProxy, server: FileServer, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"ali:{bcrypt.hashpw(b'open sesame', bcrypt.gensalt(5)).decode()}\n")
    proxy = forward(startProxy, server, "--forward-users", str(users))
    words = ("--silent", "--write-out", "%{http_code} %{http_connect}", "--proxy", proxy.url)
    url = f"http://127.0.0.1:{server.port}/hello.txt"
    right = ("--proxy-user", "ali:open sesame")
    assert run("curl", *words, *right, url).stdout == b"hello\n200 000"
    assert run("curl", *words, *right, "--proxytunnel", url).stdout == b"hello\n200 200"
    assert run("curl", *words, *right, "--proxy-anyauth", url).stdout == b"hello\n200 000"
    for wrong in ((), ("--proxy-user", "ali:open barley")):
        assert run("curl", *words, *wrong, url).stdout.endswith(b"407 000")
        assert run("curl", *words, *wrong, "--proxytunnel", url).stdout.endswith(b"000 407")


@needs("git")
def test_git(proxy: ProxyProcess, server: FileServer, files: Path, tmp_path: Path) -> None:
    """A repository that is files, as http.server serves it; over HTTP and HTTPS."""
    who = {f"GIT_{each}_{what}": "a@b" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", **who}
    source, bare = tmp_path / "source", files / "project.git"
    source.mkdir()
    (source / "big").write_bytes(os.urandom(300000))
    for words in (
        ("init", "--quiet", "-b", "main"), ("add", "."), ("commit", "--quiet", "-m", "first"),
        ("clone", "--quiet", "--bare", ".", str(bare)), ("-C", str(bare), "update-server-info"),
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=source, check=True, env={**os.environ, **alone})
    environment = {**withProxy(proxy), **alone, "GIT_SSL_CAINFO": server.authority}
    for name, url in (("plain", f"http://127.0.0.1:{server.port}"), ("secure", f"https://127.0.0.1:{server.securePort}")):
        done = run("git", "clone", "--quiet", f"{url}/project.git", str(tmp_path / name), env=environment)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name / "big").read_bytes() == (source / "big").read_bytes()
    assert proxy.log == []


def wheel(directory: Path) -> Path:
    """The smallest there is."""
    name = "twistproxy_sample-1.0"
    path = directory / f"{name}-py3-none-any.whl"
    contents = {
        "twistproxy_sample.py": "hello = 1\n",
        f"{name}.dist-info/METADATA": "Metadata-Version: 2.1\nName: twistproxy-sample\nVersion: 1.0\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        lines = []
        for at, text in contents.items():
            archive.writestr(at, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{at},sha256={digest},{len(text)}")
        archive.writestr(f"{name}.dist-info/RECORD", "\n".join([*lines, f"{name}.dist-info/RECORD,,", ""]))
    return path


def test_pip(proxy: ProxyProcess, server: FileServer, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pip")
    project = files / "simple" / "twistproxy-sample"
    project.mkdir(parents=True)
    made = wheel(project)
    (project / "index.html").write_text(f'<a href="{made.name}">{made.name}</a>')
    urls = (f"http://127.0.0.1:{server.port}", f"https://127.0.0.1:{server.securePort}")
    for number, url in enumerate(urls):
        words = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "--proxy", proxy.url,
                 "download", "--quiet", "--no-deps", "--index-url", f"{url}/simple", "--trusted-host", "127.0.0.1",
                 "--dest", str(tmp_path / str(number)), "twistproxy-sample"]  # fmt: skip
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run(words, capture_output=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / str(number) / made.name).read_bytes() == made.read_bytes()
    assert proxy.log == []


@needs("apt-get")
def test_aptGet(proxy: ProxyProcess, server: FileServer, files: Path, tmp_path: Path) -> None:
    """A repository of one package, which is fetched and not installed."""
    package = b"not really a package"
    repository = files / "debian"
    repository.mkdir()
    (repository / "sample.deb").write_bytes(package)
    (repository / "Packages").write_text(
        "Package: twistproxy-sample\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: sample\n"
        f"Filename: ./sample.deb\nSize: {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}\n"
    )
    for each in ("state/lists/partial", "cache/archives/partial", "etc"):
        (tmp_path / each).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] http://127.0.0.1:{server.port}/debian ./\n")
    options = {
        "Dir::State": tmp_path / "state", "Dir::State::status": tmp_path / "status", "Dir::Cache": tmp_path / "cache",
        "Dir::Etc": tmp_path / "etc", "Dir::Etc::sourcelist": tmp_path / "sources.list", "Dir::Etc::sourceparts": "-",
        "Acquire::http::Proxy": proxy.url, "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Debug::NoLocking": "true",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for command in (("update",), ("download", "twistproxy-sample")):
        done = run("apt-get", *words, "--quiet", *command, env=kept, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert [each.read_bytes() for each in tmp_path.glob("*.deb")] == [package]
    assert proxy.log == []

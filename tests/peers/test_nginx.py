"""A real nginx as the upstream: its connections kept, its validators, ranges, compression and refusals passed on."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.process import Child, ProxyProcess, waitFor
from tests.support.programs import freePort, needs, program

pytestmark = needs("nginx")

CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    log_format connections '$connection $connection_requests $status $request';
    access_log {directory}/access.log connections;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    gzip on;
    gzip_types text/plain;
    gzip_min_length 100;
    server {{
        listen 127.0.0.1:{port};
        listen unix:{directory}/socket;
        root {directory}/files;
        client_max_body_size 10k;
        keepalive_requests {requests};
        keepalive_timeout {timeout};
        location /echo/ {{ return 200 "$request_method $request_uri $http_host $http_x_forwarded_for"; }}
        location /moved/ {{ return 302 /elsewhere; }}
    }}
}}
"""


class Nginx(Child):
    """A running nginx.

    @ivar url: where it listens.
    @ivar socket: where it listens too.
    @ivar files: the directory that it serves.
    """

    def __init__(self, directory: Path, port: int = 0, requests: int = 1000, timeout: str = "60s") -> None:
        port = port or freePort()
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.socket = f"unix:{directory}/socket"
        self._log = directory / "access.log"
        self._forgotten = 0
        self.files = directory / "files"
        self.files.mkdir(exist_ok=True)
        for left in ("socket", "nginx.pid"):  # by one that was killed
            (directory / left).unlink(missing_ok=True)
        configuration = directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(directory=directory, port=port, requests=requests, timeout=timeout))
        nginx = program("nginx")
        assert nginx is not None
        super().__init__(directory, "nginx", nginx, "-p", directory, "-c", configuration, "-e", "stderr")
        waitFor(lambda: (directory / "nginx.pid").exists() or self.process.poll() is not None, "nginx did not start")
        assert self.process.poll() is None, self.said

    def __enter__(self) -> Nginx:
        return self

    @property
    def log(self) -> list[list[str]]:
        """Connection, number of the request in it, status and request line of each request since L{forgetLog}."""
        return [line.split(" ", 3) for line in self._log.read_text().splitlines()[self._forgotten :]]

    def forgetLog(self) -> None:
        """Begin anew."""
        self._forgotten += len(self.log)


@pytest.fixture(scope="module")
def nginx(moduleDirectory: Path) -> Iterator[Nginx]:
    """A running nginx."""
    with Nginx(moduleDirectory) as running:
        yield running


@pytest.fixture
def files(nginx: Nginx) -> Path:
    """The directory that it serves."""
    return nginx.files


@pytest.fixture(scope="module")
def proxy(nginx: Nginx, startModuleProxy: StartProxy) -> ProxyProcess:
    """A proxy before it."""
    return startModuleProxy(nginx.url)


@pytest.fixture(autouse=True)
def nothingToTell(proxy: ProxyProcess) -> Iterator[None]:
    """Whatever nginx does, it is no failure of the proxy's."""
    yield
    assert proxy.log == []


@pytest.fixture
def client(nginx: Nginx, proxy: ProxyProcess) -> Iterator[http.client.HTTPConnection]:
    """A connection to the proxy."""
    nginx.forgetLog()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    yield connection
    connection.close()


def get(
    client: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request on a kept connection."""
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = client.getresponse()
    return response, response.read()


def test_oneConnectionServesManyRequests(nginx: Nginx, client: http.client.HTTPConnection) -> None:
    for number in range(50):
        response, body = get(client, f"/echo/{number}?a=b", Host="shop.example")
        assert (response.status, body) == (200, b"GET /echo/%d?a=b shop.example 127.0.0.1" % number)
    assert len({connection for connection, *_ in nginx.log}) == 1
    assert int(nginx.log[-1][1]) >= 50


def test_connectionsThatNginxEndsAreNotMissed(tmp_path: Path, startProxy: StartProxy) -> None:
    with Nginx(tmp_path, requests=3) as nginx:
        proxy = startProxy(nginx.url)
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        for number in range(100):
            response, _ = get(client, f"/echo/{number}")
            assert response.status == 200
        client.close()
        assert len(nginx.log) == 100
        assert proxy.log == []


def test_connectionsThatNginxClosesWhenIdleAreNotMissed(tmp_path: Path, startProxy: StartProxy) -> None:
    with Nginx(tmp_path, timeout="1s") as nginx:
        proxy = startProxy(nginx.url)
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        for pause in (0.0, 1.0, 1.001, 0.999):
            time.sleep(pause)
            response, _ = get(client, "/echo/")
            assert response.status == 200
        client.close()
        assert proxy.log == []


def test_restartIsFoundOut(tmp_path: Path, startProxy: StartProxy) -> None:
    with Nginx(tmp_path) as nginx:
        proxy = startProxy(nginx.url)
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        assert get(client, "/echo/")[0].status == 200
    response, _ = get(client, "/echo/down")
    assert response.status == 502
    proxy.logged("GET /echo/down", "502 connect_refused")
    with Nginx(tmp_path, port=nginx.port):
        assert get(client, "/echo/up")[0].status == 200
    client.close()


def test_validatorsAndRangesPass(nginx: Nginx, files: Path, client: http.client.HTTPConnection) -> None:
    data = random.Random(1).randbytes(100000)
    (files / "data.bin").write_bytes(data)
    response, body = get(client, "/data.bin")
    tag = response.headers["ETag"]
    assert (response.status, body, response.headers["Accept-Ranges"]) == (200, data, "bytes")
    response, body = get(client, "/data.bin", If_None_Match=tag)
    assert (response.status, body, response.headers["ETag"]) == (304, b"", tag)
    response, body = get(client, "/data.bin", If_Modified_Since=response.headers["Last-Modified"])
    assert (response.status, body) == (304, b"")
    response, body = get(client, "/data.bin", Range="bytes=1000-1999")
    assert (response.status, body) == (206, data[1000:2000])
    assert response.headers["Content-Range"] == "bytes 1000-1999/100000"
    response, body = get(client, "/data.bin", Range="bytes=0-9,50-59")
    assert response.status == 206
    assert response.headers["Content-Type"].startswith("multipart/byteranges")
    assert data[:10] in body and data[50:60] in body
    response, body = get(client, "/data.bin", Range="bytes=200000-")
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */100000")
    response, body = get(client, "/data.bin", method="HEAD")
    assert (response.status, response.headers["Content-Length"], body) == (200, "100000", b"")
    assert get(client, "/data.bin", Range="bytes=0-9", If_Range='"other"')[1] == data
    assert len({connection for connection, *_ in nginx.log}) == 1


def test_compressedAnswersPassInChunks(files: Path, client: http.client.HTTPConnection) -> None:
    text = b"all work and no play makes jack a dull boy\n" * 5000
    (files / "text.txt").write_bytes(text)
    response, body = get(client, "/text.txt", Accept_Encoding="gzip")
    assert (response.status, response.headers["Content-Encoding"]) == (200, "gzip")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["ETag"].startswith('W/"')
    assert gzip.decompress(body) == text
    response, body = get(client, "/text.txt")
    assert (response.headers["Content-Encoding"], body) == (None, text)


def test_refusedUploadIsPassedOn(nginx: Nginx, client: http.client.HTTPConnection, proxy: ProxyProcess) -> None:
    for size in (10 << 10, 11 << 10, 50 << 20):
        # http.client does not look for an answer while it sends: a refusal of the big one comes as it is, or as a
        # broken pipe, never as anything of the proxy's own.
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        try:
            connection.request("POST", "/echo/", body=b"x" * size)
        except (BrokenPipeError, ConnectionResetError):
            assert size > 1 << 20
        response = connection.getresponse()
        assert response.status == (200 if size == 10 << 10 else 413)
        assert size == 10 << 10 or b"nginx" in response.read()
        connection.close()
    assert proxy.log == []


def test_redirectsAndErrorsAreNginxsOwn(client: http.client.HTTPConnection) -> None:
    response, _ = get(client, "/moved/", Host="shop.example:8080")
    assert response.status == 302
    assert response.headers["Location"].startswith("http://shop.example")
    response, body = get(client, "/missing")
    assert response.status == 404 and b"nginx" in body


def test_bigFilesArriveWhole(files: Path, client: http.client.HTTPConnection) -> None:
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with (files / "big.bin").open("wb") as file:
        for _ in range(64):
            file.write(block)
            digest.update(block)
    client.request("GET", "/big.bin")
    response = client.getresponse()
    got = hashlib.sha256()
    while piece := response.read(1 << 20):
        got.update(piece)
    assert got.digest() == digest.digest()


def test_unixSocketServesAsWell(nginx: Nginx, startProxy: StartProxy) -> None:
    nginx.forgetLog()
    proxy = startProxy(nginx.socket)
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    for number in range(10):
        assert get(client, f"/echo/{number}")[0].status == 200
    client.close()
    assert len({connection for connection, *_ in nginx.log}) == 1

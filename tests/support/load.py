"""Servers and clients in threads of the test's process, for tests that count what becomes of each request."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_LIMIT = 10.0


class NamedServer:
    """Answers each GET with its own address and the path, on connections that stay open.

    @ivar address: C{127.0.0.1:port}.
    @ivar requests: how many it answered.
    """

    def __init__(self) -> None:
        owner = self
        self.requests = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.requests += 1
                body = f"{owner.address} {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A proxy that ends resets its connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> NamedServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def fetch(port: int, path: str = "/x") -> tuple[int, str]:
    """Status and body of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Traffic:
    """Requests to a proxy, one after the other on a few connections, as long as its C{with} block runs.

    @ivar failures: what went wrong; empty is what a test wants.
    @ivar answered: answers by the server's address.
    """

    def __init__(self, port: int, clients: int = 3, pause: float = 0.005) -> None:
        self._port = port
        self._pause = pause
        self._stop = threading.Event()
        self.failures: list[str] = []
        self.answered: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_LIMIT)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/x")
                response = connection.getresponse()
                body = response.read().decode()
                if response.status == 200:
                    self.answered[body.split(" ")[0]] += 1
                else:
                    self.failures.append(f"{response.status} {body}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(self._pause)
        connection.close()

    def __enter__(self) -> Traffic:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for each in self._threads:
            each.join(_LIMIT)

    def served(self, requests: int = 12) -> frozenset[str]:
        """Who answers now: the servers of some requests from here on."""
        self.answered.clear()
        deadline = time.monotonic() + _LIMIT
        while sum(self.answered.values()) < requests and time.monotonic() < deadline:
            time.sleep(0.01)
        return frozenset(self.answered)

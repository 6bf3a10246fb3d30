"""The upstream of the scenarios "ws" and "bulk", C{python echo.py PORT}: it switches protocols and sends back what comes, or
C{/bulk?N} so many bytes.

It reads no WebSocket frames, and neither does any of the proxies: after a 101 they relay bytes.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


BULK = memoryview(bytes(1 << 18))


class Echo(asyncio.Protocol):
    """One upgraded connection."""

    def __init__(self) -> None:
        self._head = b""
        self._isUpgraded = self._isPaused = False
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A proxy is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Some of the head, or a message."""
        if self._isUpgraded:
            self._transport.write(data)
            return
        self._head += data
        head, mark, rest = self._head.partition(b"\r\n\r\n")
        if mark:
            self._isUpgraded = True
            self._transport.write(SWITCH + rest)
            target = head.split(b" ")[1]
            if target.startswith(b"/bulk?"):
                self._left = int(target[6:])
                self.resume_writing()

    def pause_writing(self) -> None:
        """The proxy takes no more for now."""
        self._isPaused = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._isPaused = False
        while self._left and not self._isPaused:
            piece = BULK[: self._left]
            self._left -= len(piece)
            self._transport.write(piece)
            if not self._left:
                self._transport.close()


async def serve(port: int) -> None:
    """Serve until stopped."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main(port: int) -> None:
    """Run on uvloop where it is: this one's cost is not counted, but a slow one keeps the proxies waiting."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(port))
    else:
        uvloop.run(serve(port))


if __name__ == "__main__":
    main(int(sys.argv[1]))

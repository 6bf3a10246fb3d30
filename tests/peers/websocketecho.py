"""A WebSocket server that sends back what it gets, on a port of 127.0.0.1 that it prints."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection: Any) -> None:
    """One client, until it leaves."""
    try:
        async for message in connection:
            if message == "close please":
                await connection.close(4321, "as you wish")
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass


async def main() -> None:
    """Serve for ever."""
    logging.disable(logging.CRITICAL)

    def choose(connection: Any, offered: Any) -> Any:
        return "chat" if "chat" in offered else None

    options: dict[str, Any] = {"max_size": None, "ping_interval": None, "select_subprotocol": choose}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        print("port", next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())

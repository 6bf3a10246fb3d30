"""An upstream as a process of its own, to be killed: C{python backend.py PORT NAME DELAY} answers its name after a delay."""

import asyncio
import sys
from contextlib import suppress


async def main(port: int, name: bytes, delay: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(delay)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(f"{server.sockets[0].getsockname()[1]} listens", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2].encode(), float(sys.argv[3])))

"""Who a client is, where it wants to go, and what is known of its connection: plain data, below the messages."""

from __future__ import annotations

from binascii import hexlify
from itertools import count
from os import urandom
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from twistproxy.tls.client import CertificateSource
    from twistproxy.wire.proxyprotocol import ProxyHeader

_RUN: Final = hexlify(urandom(4)).decode()
_COUNT: Final = count(1)


def newRequestId() -> str:
    """A name for one request, by which log and error page mean the same."""
    return f"{_RUN}{next(_COUNT):08x}"


@frozen
class Address:
    """Where a client is.

    @ivar host: its IP address as text; empty when it has none, as over a UNIX socket.
    @ivar port: 0 when not known.
    """

    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if not self.host:
            return "unix"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Destination:
    """Where a client wants to go, when it says so: by an absolute target, by CONNECT, or by the connection that was
    redirected to us.

    @ivar scheme: C{"http"} or C{"https"}; empty for a tunnel.
    @ivar host: name or IP address, without brackets.
    @ivar authority: as the client wrote it; empty when its connection says it all.
    """

    scheme: str
    host: str
    port: int
    authority: str = ""


class ConnectionFacts(Protocol):
    """What is known of a client's connection, and made only when it is asked for."""

    @property
    def certificate(self) -> CertificateSource | None:
        """What knows the client's certificate."""

    @property
    def local(self) -> Address:
        """The address that the client connected to."""

    @property
    def proxyHeader(self) -> ProxyHeader | None:
        """What the PROXY protocol told of it."""

    @property
    def transport(self) -> Any:
        """The connection's transport; None when it has none of its own."""

    @property
    def engine(self) -> Any:
        """What serves the connection."""

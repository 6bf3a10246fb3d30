"""What the uvloop reactor offers beyond Twisted's interfaces; imports nothing heavy."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface


class IReactorStandardTLS(Interface):
    """A reactor that does TLS itself, with contexts of Python's C{ssl}, and faster than Twisted's layer of pyOpenSSL.

    Transports provide C{ISSLTransport}, C{INegotiated} and C{ITCPTransport}. A protocol is connected when TCP is, and
    when TLS is up, one that provides C{IHandshakeListener} is told. A handshake that fails is a lost connection.
    """

    def listenStandardTLS(
        port: int | Any, factory: Any, context: Any, backlog: int = 50, interface: str = "", handshakeTimeout: float = 60.0
    ) -> Any:
        """C{listenTCP} with TLS.

        @param context: an C{ssl.SSLContext} for the server's side.
        @param handshakeTimeout: seconds that a client's handshake may take.
        @return: an C{IListeningPort}.
        """

    def adoptStandardTLSPort(
        fileDescriptor: int, addressFamily: Any, factory: Any, context: Any, handshakeTimeout: float = 60.0
    ) -> Any:
        """C{adoptStreamPort} with TLS; internet sockets only.

        @return: an C{IListeningPort}.
        """

    def connectStandardTLS(
        host: str,
        port: int,
        factory: Any,
        context: Any,
        serverName: str,
        timeout: float = 30.0,
        bindAddress: Any = None,
        handshakeTimeout: float = 60.0,
    ) -> Any:
        """C{connectTCP} with TLS.

        @param context: an C{ssl.SSLContext} for the client's side.
        @param serverName: for SNI, and for the certificate when the context checks it.
        @param timeout: seconds that connecting may take; the handshake has its own.
        @return: an C{IConnector}.
        """

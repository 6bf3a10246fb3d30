"""What is asked of TCP connections, as the kernel has it."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.interfaces import ITCPTransport
from zope.interface import implementer

from twistproxy.transports.tcp import tune


@implementer(ITCPTransport)
class Transport:
    """As much of a transport as is asked for."""

    def __init__(self, handle: socket.socket) -> None:
        self._handle = handle

    def getHandle(self) -> socket.socket:
        return self._handle

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the kernel's interval cannot be set here")
@pytest.mark.parametrize(("keepAlive", "seconds"), [(30.0, 30), (0.5, 1), (0.0, None)])
def test_probesComeAtTheSettingsInterval(keepAlive: float, seconds: int | None) -> None:
    with socket.socket() as handle:
        usual = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        tune(Transport(handle), keepAlive)
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is (seconds is not None)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            assert handle.getsockopt(socket.IPPROTO_TCP, option) == seconds or seconds is None
        assert seconds is not None or handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == usual


def test_othersAreLeftAlone() -> None:
    tune(object(), 30.0)

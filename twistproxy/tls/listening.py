"""Listening with TLS: a factory in front of another, and what keeps its certificates fresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from twistproxy.tls.store import CertificateStore
from twistproxy.tls.transport import SecureTransport

_DAY: Final = 86400.0
_log: Final = Logger(namespace="twistproxy.error")


class SecureFactory(Factory):
    """Puts TLS below the protocols of another factory.

    @ivar store: the certificates.
    """

    noisy = False

    def __init__(self, store: CertificateStore, factory: IProtocolFactory) -> None:
        self.store = store
        self._factory: Any = factory

    def doStart(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStart()

    def doStop(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> SecureTransport | None:
        """A connection's TLS, with a protocol of the other factory above it."""
        above = self._factory.buildProtocol(addr)
        return None if above is None else SecureTransport(self.store.context, above)


class CertificateWatch(Service):
    """Looks for changed certificates while it runs.

    @ivar stores: whose certificates.
    """

    def __init__(self, clock: Any, stores: Sequence[CertificateStore], interval: float) -> None:
        """
        @param interval: seconds between two looks; 0: never look.
        """
        self.stores = tuple(stores)
        self._interval = interval
        self._complained = 0.0
        self._clock = clock
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Complain of what has expired, and look from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._complain()
        if self._interval and self.stores:
            looking = self._loop.start(self._interval, now=False)
            looking.addErrback(lambda failure: _log.failure("Certificates are no longer watched", failure))

    def stopService(self) -> None:
        """Look no longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

    def reload(self) -> None:
        """Look now."""
        for each in self.stores:
            each.reload()

    def _look(self) -> None:
        self.reload()
        if self._clock.seconds() - self._complained >= _DAY:
            self._complain()

    def _complain(self) -> None:
        self._complained = self._clock.seconds()
        for each in self.stores:
            each.complain()

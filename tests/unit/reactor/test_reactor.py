"""What the uvloop reactor leans on, and what is said where uvloop is missing; no reactor is made here."""

from __future__ import annotations

import sys
from typing import Any

from twisted.application.reactors import getReactorTypes
from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
    IUNIXTransport,
)
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from zope.interface.verify import verifyClass

from twistproxy import reactor
from twistproxy.reactor import command

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


class Missing(SynchronousTestCase):
    def setUp(self) -> None:
        before = sys.modules.get("uvloop")
        sys.modules["uvloop"] = None  # type: ignore[assignment]

        def restore() -> None:
            if before is None:
                del sys.modules["uvloop"]
            else:
                sys.modules["uvloop"] = before

        self.addCleanup(restore)

    def test_aCommandEndsWithOneLineThatSaysWhatToInstall(self) -> None:
        ended = self.assertRaises(SystemExit, command.install)
        self.assertEqual(ended.code, reactor.MISSING)
        self.assertNotIn("\n", str(ended.code))
        self.assertIn("pip install 'twistproxy[uvloop]'", str(ended.code))

    def test_aProgramGetsAnImportError(self) -> None:
        self.assertEqual(str(self.assertRaises(ImportError, reactor.install)), reactor.MISSING)


class Names(SynchronousTestCase):
    def test_twistFindsTheReactor(self) -> None:
        [found] = [each for each in getReactorTypes() if each.shortName == "uvloop"]
        self.assertEqual(getattr(found, "moduleName", None), "twistproxy.reactor.command")

    def test_privateNamesOfTwistedAreThere(self) -> None:
        if uvloop is None:
            raise SkipTest("no uvloop")
        from twistproxy.reactor._twisted import PRIVATE_NAMES

        for owner, name in PRIVATE_NAMES:
            self.assertTrue(callable(getattr(owner, name, None)), f"Twisted has no {owner.__module__}.{name} any more")

    def test_classesHaveWhatTheirInterfacesSay(self) -> None:
        from twistproxy.reactor.local import UNIXConnection
        from twistproxy.reactor.securing import SecureConnection, SwitchedConnection, UpgradableConnection

        both: list[Any] = [IConsumer, IPushProducer, ISystemHandle, ITCPTransport]
        for kind, interfaces in (
            (UpgradableConnection, [*both, ITLSTransport]),
            (SwitchedConnection, [*both, ISSLTransport]),
            (SecureConnection, [*both, ISSLTransport]),
            (UNIXConnection, [*both, IUNIXTransport]),
        ):
            for interface in interfaces:
                verifyClass(interface, kind)

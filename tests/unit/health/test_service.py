"""When a proxy with checks begins to listen."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from twistproxy.commandline import CommandLine, configure
from twistproxy.loader.finder import PluginSet
from twistproxy.service import ProxyService, makeProxyService
from twistproxy.testing import FakeUpstream, MemoryNetwork


class ListeningTests(SynchronousTestCase):
    def start(self, *upstreams: FakeUpstream, health: str) -> ProxyService:
        self.network = MemoryNetwork()
        for at, each in enumerate(upstreams, 1):
            each.listen(self.network, f"10.0.0.{at}:80")
        words = CommandLine(upstreams=[each.url for each in upstreams], listeners=["tcp:8080"], health=[health])
        service = makeProxyService(self.network, configure(words, PluginSet(BUILT_IN)))
        assert isinstance(service, ProxyService)
        self.said: list[str] = []
        self.patch(service, "_say", self.said.append)
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: ProxyService) -> None:
        service.stopService()
        self.network.advance(20)
        self.network.closePeers()
        self.network.assertClean()

    def test_atOnce(self) -> None:
        self.start(FakeUpstream().stall(), health="http")
        self.assertEqual(len(self.said), 1)

    def test_onceTheFirstChecksAreOver(self) -> None:
        self.start(FakeUpstream().wait(2).respond(200), FakeUpstream(500), health="http:initial=down")
        self.network.advance(1)
        self.assertEqual(self.said, [])
        self.network.advance(1.5)
        self.assertEqual(len(self.said), 1)

    def test_orWhenTheyTakeTooLong(self) -> None:
        self.start(FakeUpstream().stall(), health="http:initial=down:timeout=1m")
        self.network.advance(4)
        self.assertEqual(self.said, [])
        self.network.advance(2)
        self.assertEqual(len(self.said), 1)

"""What is known, to be shown."""

from __future__ import annotations

import json

import attrs
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import FakeUpstream, ProxyHarness
from twistproxy.upstream.standing import Administrative


class StatusTests(SynchronousTestCase):
    def test_aPool(self) -> None:
        slow, broken, well = FakeUpstream().stall(), FakeUpstream(500), FakeUpstream(weight=3)
        with ProxyHarness(upstreams=[slow, broken, well], passive="outlier:errors=1", health="tcp:interval=2s") as harness:
            harness.advance(3)
            harness.request("GET", "/")
            harness.connect().request("GET", "/", {"Host": "a"})
            harness.engine.administer(well.url, Administrative.DRAIN, "new disks")
            harness.advance(1)
            one, two, three = harness.engine.status()
            self.assertEqual([each.key for each in (one, two, three)], [slow.url, broken.url, well.url])
            self.assertEqual((one.pool, one.state, one.traffic, one.inFlight, one.age), ("default", "up", "all", 1, 4.0))
            self.assertEqual((two.state, two.passive, two.ejections), ("up", "fit", 1))
            self.assertEqual((three.state, three.administrative, three.weight), ("draining: new disks", "drain", 3))
            self.assertEqual((three.traffic, three.age, three.changes), ("of sessions it has", 1.0, 1))
            (check,) = one.checks
            self.assertEqual((check.active, check.runs, check.failures, check.good, check.age), ("up", 3, 0, 3, 0.0))
            json.dumps([attrs.asdict(each) for each in (one, two, three)])
            for client in harness.clients:
                client.abort()

    def test_ejectedAndGone(self) -> None:
        broken, well = FakeUpstream(500), FakeUpstream()
        with ProxyHarness(upstreams=[broken, well], passive="outlier:errors=1:base=30s") as harness:
            harness.get("/")
            harness.advance(10)
            group = harness.engine.groups["default"]
            one, two = group.status()
            self.assertEqual((one.state, one.traffic, one.ejectedFor), ("ejected: 500", "when nobody else is left", 20.0))
            group.setMembers(group.members[:1])
            one, two = group.status()
            self.assertEqual((one.isPresent, two.isPresent, two.state, two.traffic), (True, False, "gone", "none"))

"""L{twistproxy.bodies.stages}: what is left of exchanges whose bodies pass them."""

from __future__ import annotations

import gc
from typing import Any

from tests.unit.builtin import built
from tests.unit.support import OK, ProxyTestCase, get, post, uncollected
from twistproxy.bodies.delaying import DelayedBody
from twistproxy.bodies.pacing import PacedBody
from twistproxy.bodies.uploading import StagedUpload
from twistproxy.exchange.exchange import Exchange
from twistproxy.exchange.requestbody import RequestBody
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest

_OURS = (DelayedBody, Exchange, InboundRequest, PacedBody, RequestBody, StagedUpload)


class TestNothingIsKept(ProxyTestCase):
    def left(self) -> list[Any]:
        """What was made in an L{uncollected} and is there."""
        return [each for each in gc.get_objects() if isinstance(each, _OURS)]

    def test_freedAtOnce(self) -> None:
        """Without the garbage collector."""
        for options in (
            "bandwidth-limit:upload=10000:burst=0",
            "bandwidth-limit:rate=10000:burst=0",
            "bandwidth-limit:rate=10000:upload=10000",
            "chaos:data-latency=10ms:slicer=100:slow-close=10ms:stream=both:seed=1",
        ):
            self.proxy(OK, middleware=[built(IMiddleware, options, reactor=self.network)])
            self.engine.accessLogs = ()
            with uncollected():
                client = self.client()
                for data in (get(), post(b"body"), post(b"u" * 1000, method=b"PUT"), get()):
                    client.send(data)
                    self.seconds(0.2)
                self.assertEqual(len(client.answers()), 4)
                client.abort()
                self.seconds(1)
                self.assertEqual(self.left(), [], options)
            self.tearDown()
            self.setUp()

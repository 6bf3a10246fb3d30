"""What an exchange does not cost."""

from __future__ import annotations

import weakref
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.unit.builtin import built
from tests.unit.support import OK, ProxyTestCase, chunked, director, get, modifier, post, uncollected
from twistproxy.exchange import exchange
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response


class TestCosts(ProxyTestCase):
    """With nothing configured beyond upstreams, one request makes no Deferred, no coroutine and no timer."""

    def test_aPlainExchange(self) -> None:
        self.proxy(OK)
        client = self.ask(get())
        made: list[Any] = []
        init, callLater = Deferred.__init__, self.network.callLater

        def counted(deferred: Any, *arguments: Any) -> None:
            made.append(deferred)
            init(deferred, *arguments)

        def called(*arguments: Any, **options: Any) -> Any:
            made.append(arguments)
            return callLater(*arguments, **options)

        self.patch(Deferred, "__init__", counted)
        self.patch(self.network, "callLater", called)
        for data in (get(b"/x"), post(b"body"), get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"x")):
            client.send(data)
        self.assertEqual(made, [])
        self.assertEqual(len(self.origin.requests), 4)

    def test_nothingIsKept(self) -> None:
        """An exchange that is over is freed at once, without the garbage collector."""
        kept: list[Any] = []
        init = exchange.Exchange.__init__

        def watched(self: exchange.Exchange, *arguments: Any) -> None:
            kept.append(weakref.ref(self))
            init(self, *arguments)

        self.patch(exchange.Exchange, "__init__", watched)

        class Through:
            async def around(self, request: InboundRequest, proceed: Any) -> Response:
                response: Response = await proceed()
                return response

        for script, options in (
            (OK, {}),
            (OK, {"directors": [director(lambda inbound, outbound: None)]}),
            (OK, {"modifiers": [modifier(lambda request, response: None)]}),
            (OK, {"middleware": [Through()]}),
            (OK, {"middleware": [built(IMiddleware, "fallback:stale=10m", reactor=Clock())]}),
            (b"nonsense\r\n\r\n", {"middleware": [built(IMiddleware, "fallback:stale=10m", reactor=Clock())]}),
            (b"nonsense\r\n\r\n", {}),
        ):
            self.proxy(script, **options)
            self.engine.accessLogs = ()
            with uncollected():
                client = self.ask(get())
                client.send(post(b"body"))
                self.assertEqual(len(client.answers()), 2)
                left = [reference() for reference in kept if reference() is not None]
                self.assertLessEqual(len(left), 1, f"{options}: {left}")  # the last one may be held by its connection
            kept.clear()
            self.tearDown()
            self.setUp()

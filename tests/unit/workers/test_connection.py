"""A worker's line to its supervisor."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.workers import connection
from twistproxy.workers.connection import SupervisorConnection
from twistproxy.workers.lines import encode


class ConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[Any] = []
        self.lost: list[bool] = []
        self.transport = StringTransport()
        self.connection = SupervisorConnection(self.said.append, lambda: self.lost.append(True))
        self.connection.makeConnection(self.transport)
        self.log = Logger(namespace="here", observer=self.connection.log)  # type: ignore[arg-type]

    def sent(self) -> list[Any]:
        lines = [json.loads(line) for line in self.transport.value().splitlines()]
        self.transport.clear()
        return lines

    def test_bothWays(self) -> None:
        self.connection.dataReceived(encode("stop") + encode("lend", worker=2)[:5])
        self.connection.dataReceived(encode("lend", worker=2)[5:])
        self.assertEqual(self.said, [{"is": "stop"}, {"is": "lend", "worker": 2}])
        self.connection.say("ready")
        self.assertEqual(self.sent(), [{"is": "ready"}])

    def test_eventsButNotForDebugging(self) -> None:
        self.log.debug("small")
        self.log.warn("{what} is {how}", what="it", how=object())
        (line,) = self.sent()
        self.assertEqual((line["is"], json.loads(line["event"])["log_namespace"]), ("log", "here"))

    def test_eventsAreDroppedAndCountedWhileTheSupervisorDoesNotRead(self) -> None:
        self.connection.pauseProducing()
        for _ in range(3):
            self.log.info("more")
        self.connection.say("ready")
        self.assertEqual([each["is"] for each in self.sent()], ["ready"])
        self.connection.resumeProducing()
        self.log.info("again")
        self.assertEqual([(each["is"], each.get("count")) for each in self.sent()], [("lost", 3), ("log", None)])

    def test_eventsOfAnySize(self) -> None:
        self.patch(connection, "LONGEST", 2000)
        self.log.info("{text}", text="x" * 3000)
        self.assertEqual(self.sent(), [])

    def test_theSupervisorIsGone(self) -> None:
        self.connection.connectionLost()
        self.assertEqual(self.lost, [True])

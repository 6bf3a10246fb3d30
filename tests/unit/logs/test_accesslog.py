"""Access logs: what is in a record, how it is written, and where to."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.support import OK, ProxyTestCase, director, get
from twistproxy.errors import BAD_REQUEST, RATE_LIMITED, ProxyError
from twistproxy.logs.accesslog import AccessRecord, FileAccessLog, Recording, combinedLine, jsonLine, recordOfRefusal
from twistproxy.logs.logfile import LogFile
from twistproxy.messages import USER, Address, InboundRequest

REFUSAL = recordOfRefusal(Address("203.0.113.9", 1234), ProxyError(BAD_REQUEST, "no"), "abc1", 80)


class Kept:
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[AccessRecord] = []

    def log(self, record: Any) -> None:
        self.records.append(record)


class TestRecords(ProxyTestCase):
    def logged(self, data: bytes, **options: Any) -> AccessRecord:
        self.kept = Kept()
        self.proxy(OK, **options)
        self.engine.accessLogs = (Recording(self.kept, self.network),)
        self.ask(data)
        (record,) = self.kept.records
        return record

    def test_anExchange(self) -> None:
        record = self.logged(get(b"/a?b", b"User-Agent: x", b"Referer: y"))
        self.assertEqual((record.method, record.target, record.protocol, record.status), ("GET", "/a?b", "HTTP/1.1", 200))
        self.assertEqual((record.userAgent, record.referer, record.bytesOut, record.attempts), ("x", "y", 2, 1))
        self.assertEqual([each.outcome.code for each in record.tries], [200])

    def test_absoluteTargets(self) -> None:
        record = self.logged(b"GET http://app.example:81/a?b HTTP/1.1\r\nHost: app.example:81\r\n\r\n")
        self.assertEqual((record.target, record.host), ("http://app.example:81/a?b", "app.example:81"))

    def test_users(self) -> None:
        def login(inbound: InboundRequest, outbound: Any) -> None:
            inbound.state[USER] = "ali \"b"

        record = self.logged(get(), directors=[director(login)])
        self.assertEqual(record.user, 'ali "b')
        self.assertIn('203.0.113.9 - ali\\x20\\"b [', combinedLine(record))
        self.assertEqual(json.loads(jsonLine(record))["user"], 'ali "b')

    def test_detail(self) -> None:
        """Which of several rules it was that refused."""

        def refuse(inbound: InboundRequest, outbound: Any) -> None:
            raise ProxyError(RATE_LIMITED, "rate-limit second")

        record = self.logged(get(), directors=[director(refuse)])
        self.assertEqual((record.reason, record.detail), ("rate_limited", "rate-limit second"))
        self.assertEqual(json.loads(jsonLine(record))["detail"], "rate-limit second")
        self.assertNotIn("second", combinedLine(record))

    def test_whatIsNoRequest(self) -> None:
        for data, code, reason, settings in (
            (b"nonsense\r\n\r\n", 400, "client_protocol_error", {}),
            (get(b"/", b"X: " + b"x" * 2000), 431, "head_too_large", {"maxHeadBytes": 1000}),
            (get(b"/" + b"x" * 2000), 414, "target_too_long", {"maxTargetBytes": 1000}),
            (get(version=b"3.0"), 505, "version_not_supported", {}),
        ):
            record = self.logged(data, settings=settings)
            self.assertEqual((record.status, record.reason, record.client), (code, reason, "203.0.113.9"))
            self.assertEqual((record.method, record.upstream, record.attempts, record.tries), ("", "", 0, ()))
            answered = self.clients[0].answer()
            self.assertEqual(record.bytesOut, len(answered.body))
            self.assertIn(record.requestId.encode(), answered.body)
            self.tearDown()
            self.setUp()

    def test_aHeadThatDoesNotEnd(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        self.ask(b"GET / HT")
        self.seconds(7)
        self.assertEqual(self.accessLog.refusals, [(408, "client_timeout")])
        self.assertEqual(self.accessLog.lines, [])

    def test_aConnectionWithoutARequestIsNotLogged(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        self.client()
        self.seconds(7)
        self.assertEqual((self.accessLog.refusals, self.accessLog.lines), ([], []))

    def test_aLogThatFailsCostsNoAnswer(self) -> None:
        self.proxy(OK)
        self.engine.accessLogs = (object(),)
        self.assertEqual(self.ask(b"nonsense\r\n\r\n").answer().code, 400)
        self.assertEqual(self.engine.accessLogErrors, 1)

    def test_nothingIsLoggedTwice(self) -> None:
        """A body that cannot be read belongs to an exchange, which is logged."""
        self.proxy(OK)
        self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"nonsense\r\n")
        self.assertEqual((len(self.accessLog.lines), self.accessLog.refusals), (1, []))


class TestLines(SynchronousTestCase):
    def test_combined(self) -> None:
        record = REFUSAL._replace(method="GET", target='/"\n', protocol="HTTP/1.1", upstream="http://a", duration=0.5, time=0.0)
        want = '203.0.113.9 - - [01/Jan/1970:00:00:00 +0000] "GET /\\"\\n HTTP/1.1" 400 80 "-" "-" '
        self.assertEqual(combinedLine(record), want + "client_protocol_error http://a 0.500")

    def test_whatIsNoRequest(self) -> None:
        """As Apache writes it."""
        self.assertIn('] "-" 400 80 "-" "-" client_protocol_error - 0.000', combinedLine(REFUSAL))
        told = json.loads(jsonLine(REFUSAL))
        self.assertEqual((told["method"], told["status"], told["tries"], told["requestId"]), ("", 400, [], "abc1"))


class FileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp()).resolve()
        directory.mkdir(parents=True)
        self.path = directory / "access.log"
        self.old = directory / "access.log.1"


class TestFiles(FileTestCase):
    def test_onceASecond(self) -> None:
        clock = Clock()
        log = FileAccessLog(clock, str(self.path))
        log.start()
        log.log(REFUSAL)
        self.assertEqual(self.path.read_text(), "")
        clock.advance(1)
        self.assertEqual(self.path.read_text().count("\n"), 1)
        log.log(REFUSAL)
        log.stop()
        self.assertEqual(self.path.read_text().count("\n"), 2)

    def test_aFileThatIsMovedAway(self) -> None:
        clock = Clock()
        log = FileAccessLog(clock, str(self.path), "json")
        log.start()
        log.log(REFUSAL)
        clock.advance(1)
        self.path.rename(self.old)
        log.log(REFUSAL._replace(status=431))
        clock.advance(1)
        self.assertEqual([json.loads(path.read_text())["status"] for path in (self.old, self.path)], [400, 431])
        log.stop()

    def test_aFileThatCannotBeWritten(self) -> None:
        clock = Clock()
        log = FileAccessLog(clock, "/dev/full")
        log.log(REFUSAL)
        log.flush()
        self.assertEqual(log.lost, 1)


class TestLogFiles(FileTestCase):
    def test_movedAway(self) -> None:
        log = LogFile(str(self.path))
        log.write("1\n")
        self.path.rename(self.old)
        log.write("2\n")
        log.write("3\n")
        self.assertEqual((self.old.read_text(), self.path.read_text()), ("1\n", "2\n3\n"))
        log.close()

    def test_anotherInItsPlace(self) -> None:
        """As logrotate's C{create} leaves it."""
        log = LogFile(str(self.path))
        log.write("1\n")
        self.path.rename(self.old)
        self.path.touch()
        log.write("2\n")
        self.assertEqual((self.old.read_text(), self.path.read_text()), ("1\n", "2\n"))
        log.close()

    def test_removed(self) -> None:
        log = LogFile(str(self.path))
        self.path.unlink()
        log.write("2\n")
        self.assertEqual(self.path.read_text(), "2\n")
        log.close()

    def test_cutToNothing(self) -> None:
        """As logrotate's C{copytruncate} does."""
        log = LogFile(str(self.path))
        log.write("1\n")
        os.truncate(self.path, 0)
        log.write("2\n")
        self.assertEqual(self.path.read_text(), "2\n")
        log.close()

    def test_aDirectoryThatIsGone(self) -> None:
        """It goes on where it was, says so once, and comes back."""
        log = LogFile(str(self.path))
        moved = self.path.parent.with_name("moved")
        self.path.parent.rename(moved)
        for line in ("1\n", "2\n"):
            log.write(line)
        self.assertEqual((moved / "access.log").read_text(), "1\n2\n")
        moved.rename(self.path.parent)
        self.path.rename(self.old)
        log.write("3\n")
        self.assertEqual((self.old.read_text(), self.path.read_text()), ("1\n2\n", "3\n"))
        log.close()

    def test_theWorkingDirectoryDoesNotMatter(self) -> None:
        where = os.getcwd()
        log = LogFile(os.path.relpath(self.path))
        self.addCleanup(os.chdir, where)
        os.chdir("/")
        self.path.rename(self.old)
        log.write("1\n")
        self.assertEqual(self.path.read_text(), "1\n")
        log.close()

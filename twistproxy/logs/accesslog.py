"""Access logs: one record of each exchange, as a line of Apache's combined format or of JSON.

The record is what plugins that implement L{twistproxy.interfaces.IAccessLog} get too. Lines are written once a second
and at the end, so that logging does not cost a write per request. Nothing secret is in them: no header but Referer and
User-Agent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import IO, Any, Final, NamedTuple

from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.errors import NO_ANSWER, ProxyError
from twistproxy.exchange.exchange import Exchange
from twistproxy.exchange.explaining import describeTry
from twistproxy.interfaces import IAccessLog
from twistproxy.logs.logfile import LogFile
from twistproxy.messages import Address, InboundRequest, Try

_log = Logger()
_MAX_LINES: Final = 4096
"""Lines held before they are written without waiting for the second to end."""


class AccessRecord(NamedTuple):
    """One exchange. Times are seconds, sizes bytes.

    What could not be read as a request is in it too: C{method}, C{target} and C{protocol} are empty then.

    @ivar time: of its beginning, seconds since the epoch.
    @ivar status: what the client got; 499 when it left, 444 when it got nothing on purpose.
    @ivar reason: the word for what went wrong; empty for a complete answer.
    @ivar upstream: the key of who was asked last; empty for nobody.
    @ivar attempts: how many were asked.
    @ivar user: the name that the client has proved to be its own; empty for none.
    @ivar tries: each of them, with its times and what was decided after it.
    @ivar detail: what exactly went wrong, such as which of several limits it was; empty where the reason says it all.
    """

    time: float
    requestId: str
    client: str
    method: str
    target: str
    host: str
    protocol: str
    status: int
    reason: str
    route: str
    upstream: str
    attempts: int
    bytesIn: int
    bytesOut: int
    duration: float
    upgraded: bool
    referer: str
    userAgent: str
    tries: tuple[Try, ...] = ()
    user: str = ""
    detail: str = ""


def recordOf(exchange: Exchange, now: float) -> AccessRecord:
    """The record of an exchange that has ended at C{now}, by the reactor's clock."""
    inbound = exchange.inbound
    error = exchange.error
    duration = now - exchange.started
    return AccessRecord(
        time=time.time() - duration,
        requestId=inbound.id,
        client=inbound.client.host or "-",
        method=inbound.method.decode("latin-1"),
        target=_targetOf(inbound),
        host=inbound.host,
        protocol=f"HTTP/1.{inbound.minor}",
        status=exchange.code,
        reason="" if error is None else error.kind.reason,
        route="" if exchange.route is None else exchange.route.name,
        upstream="" if exchange.upstream is None else exchange.upstream.key,
        attempts=exchange.attempts,
        bytesIn=bytesFrom(exchange),
        bytesOut=exchange.bytesOut,
        duration=duration,
        upgraded=exchange.tunnel is not None,
        referer=inbound.headers.get("referer", ""),
        userAgent=inbound.headers.get("user-agent", ""),
        tries=exchange.tries,
        user=inbound.user,
        detail="" if error is None else error.detail,
    )


def bytesFrom(exchange: Exchange) -> int:
    """Bytes that the client has sent: of the body, or through the tunnel."""
    return exchange.inbound.body.size if exchange.tunnel is None else exchange.tunnel.client.received


def _targetOf(inbound: InboundRequest) -> str:
    """As the client wrote it, for a forward proxy's."""
    goal, target = inbound.destination, inbound.target.decode("latin-1")
    return f"{goal.scheme}://{goal.authority}{target}" if goal is not None and goal.scheme and goal.authority else target


def recordOfRefusal(peer: Address, error: ProxyError, requestId: str, size: int) -> AccessRecord:
    """The record of what could not be read as a request: nothing is known of it but who sent it.

    @param size: of the answer's body.
    """
    return AccessRecord(
        time=time.time(),
        requestId=requestId,
        client=peer.host or "-",
        method="",
        target="",
        host="",
        protocol="",
        status=NO_ANSWER if error.isSilent else error.kind.status,
        reason=error.kind.reason,
        route="",
        upstream="",
        attempts=0,
        bytesIn=0,
        bytesOut=size,
        duration=0.0,
        upgraded=False,
        referer="",
        userAgent="",
        detail=error.detail,
    )


class Recording:
    """Hands the record of each exchange to an access log."""

    def __init__(self, log: IAccessLog, clock: Any) -> None:
        """@param clock: the reactor."""
        self._log = log
        self._seconds = clock.seconds

    def log(self, exchange: Exchange) -> None:
        """What the engine calls."""
        self._log.log(recordOf(exchange, self._seconds()))

    def refused(self, peer: Address, error: ProxyError, requestId: str, size: int) -> None:
        """What the engine calls for what was no request.

        @param size: of the answer's body.
        """
        self._log.log(recordOfRefusal(peer, error, requestId, size))


def _quoted(text: str) -> str:
    """For between two quotation marks: what could end the field or the line is escaped, as Apache does it."""
    if not text:
        return "-"
    shown = text.replace("\\", "\\\\").replace('"', '\\"')
    if shown.isprintable():
        return shown
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in shown)


def _field(text: str) -> str:
    """One that ends with a space."""
    return _quoted(text).replace(" ", "\\x20")


def combinedLine(record: AccessRecord) -> str:
    """Apache's combined format, with the reason, upstream and duration behind it."""
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(record.time))
    line = f"{_quoted(record.method)} {_quoted(record.target)} {record.protocol}" if record.method else "-"
    return (
        f'{record.client} - {_field(record.user)} [{at}] "{line}" {record.status} '
        f'{record.bytesOut} "{_quoted(record.referer)}" "{_quoted(record.userAgent)}" '
        f"{record.reason or '-'} {_quoted(record.upstream)} {record.duration:.3f}"
    )


def jsonLine(record: AccessRecord) -> str:
    """One JSON object with the record's fields."""
    fields = record._asdict()
    fields["duration"] = round(record.duration, 6)
    fields["tries"] = [describeTry(each) for each in record.tries]
    return json.dumps(fields)


FORMATS: Final[dict[str, Callable[[AccessRecord], str]]] = {"combined": combinedLine, "json": jsonLine}


@implementer(IAccessLog)
class FileAccessLog:
    """Writes records to a file, and to a new one after that was moved away.

    @ivar lost: lines that could not be written.
    """

    def __init__(self, clock: Any, path: str, form: str = "combined") -> None:
        """
        @param clock: the reactor.
        @param path: of the file, appended to; C{-} for standard output.
        @param form: a key of L{FORMATS}.
        @raise OSError: when the file can't be opened.
        """
        self._format = FORMATS[form]
        self._path = path
        self._file: IO[str] | LogFile = sys.stdout if path == "-" else LogFile(path)
        self._lines: list[str] = []
        self._loop = LoopingCall(self.flush)
        self._loop.clock = clock
        self.lost = 0

    def start(self) -> None:
        """Write every second from now on."""
        self._loop.start(1.0, now=False)

    def stop(self) -> None:
        """Write what is left, and close the file."""
        if self._loop.running:
            self._loop.stop()
        self.flush()
        if self._path != "-":
            self._file.close()

    def log(self, record: AccessRecord) -> None:
        """L{IAccessLog.log}."""
        self._lines.append(self._format(record))
        if len(self._lines) >= _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._file.write("\n".join(lines) + "\n")
            self._file.flush()
        except OSError as error:
            if not self.lost:
                _log.error("The access log {path} can't be written: {error}", path=self._path, error=error)
            self.lost += len(lines)

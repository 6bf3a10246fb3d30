"""Upstreams from ZooKeeper: the children of a node.

ZooKeeper's watches fire once, and are lost with the connection. So a watch only says that something has changed: then
the node's children are read again, which sets the watch again in the same step and cannot miss anything in between;
and all is read again after each reconnection. Until then, and while there is none, the last upstreams stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.keeper import Keeper, KeeperOptions
from twistproxy.discovery.snapshots import MAX_MEMBERS
from twistproxy.discovery.subject import Observer, Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.plugin import Duration
from twistproxy.text.secret import Secret

_log: Final = Logger(namespace="twistproxy.discovery")
_AT_ONCE: Final = 32
"""Nodes that are asked for at the same time: kazoo's queue is woken through a socket whose buffer is small."""
_PAUSE: Final = 0.1
"""Seconds from the end of one reading to the next, when nodes change all the time."""
_READ_LIMIT: Final = 10.0
"""Seconds that a reading may take."""
_MAX_DATA: Final = 16 << 10
"""Longest data of a node that says something about an upstream."""
_LOST: Final = ("ConnectionLoss", "SessionExpiredError", "ConnectionClosedError")
"""kazoo's exceptions for what L{ZooKeeper._stateChanged} is told as well."""
_MAX_DELAY: Final = 30.0
"""Seconds: the longest wait before what failed is tried again."""
_NAME: Final = re.compile(r"[^/]+:\d{1,5}(?:/.*)?\Z|https?://")

Read = Literal["auto", "names", "data"]


def entryOf(name: str, data: bytes, read: Read) -> object:
    """What a child says of an upstream: pure.

    With C{auto}, data that is a JSON object says it, together with the name where it has no address; else the name, if
    it has a port or is a URL (percent-encoded, as a name has no slash); else the data.
    """
    if re.search("%(?:3A|2F)", name, re.IGNORECASE):
        name = unquote(name)
    if read == "names":
        return name
    text = data.decode("utf-8", "replace").strip()
    table: object = None
    if len(data) > _MAX_DATA:
        return f"{name}: more than {_MAX_DATA} bytes of data"  # no address: it is told to the log, and left out
    if text.startswith("{"):
        try:
            table = json.loads(text)
        except (ValueError, RecursionError):
            return f"{name}: {text}"
    isNamed = _NAME.match(name) is not None
    if isinstance(table, Mapping):
        hasAddress = any(table.get(key) for key in ("url", "address", "host", "ip", "ipAddr", "serviceEndpoint"))
        return {**table, "address": name} if isNamed and not hasAddress and read == "auto" else table
    return name if isNamed and read == "auto" else text


@implementer(IUpstreamSource)
class ZooKeeper(Service):
    """Upstreams are the children of a node of ZooKeeper: by their names, such as 10.0.0.1:80, or by their data, an
    address or a JSON object.

    What changes there is seen at once. While there is no connection the last upstreams stay; it is tried again every
    two seconds at most. Needs kazoo: pip install "twistproxy[zookeeper]".
    """

    def __init__(
        self,
        context: Any,
        path: str,
        hosts: str = "127.0.0.1:2181",
        format: str = "http://%s",
        read: Read = "auto",
        weight: int = 50,
        weights: Mapping[str, int] | None = None,
        timeout: Duration = 10.0,
        auth: Secret = Secret(),  # noqa: B008 - text
        tls: bool = False,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        """
        @param path: of the node.
        @param hosts: servers, host:port after commas; a /path at the end is what all paths are below of.
        @param format: the URL of an address, with %s in its place; options of an upstream may follow it, for all of them.
        @param read: names, data, or auto: JSON data, else the name if it has a port, else the data.
        @param weight: of those that have no other.
        @param weights: weights by address, or by host alone.
        @param timeout: of the session; a connection that is silent for two thirds of it is given up.
        @param auth: scheme:credential for nodes that not everybody may read, as digest:user:password.
        @param tls: whether to speak TLS, as to a secureClientPort; ca and cert imply it.
        @param ca: a PEM file with the authorities to trust; the platform's by default.
        @param cert: a PEM file with a certificate to show.
        @param key: its private key, when that is in another file.
        @raise ValueError: when one of these cannot be used, or kazoo is missing.
        """
        if not path.startswith("/") or "//" in path or (path.endswith("/") and path != "/"):
            raise ValueError(f"path: {path!r} is not the path of a node, such as /services/web")
        files = [str(each or "") for each in (ca, cert, key)]
        self._options = KeeperOptions(hosts, timeout, auth, tls or bool(ca or cert), *files)
        self._options.check()
        self._reactor = context.reactor
        self._path = path
        self._read = read
        self._reader = EntryReader(format, weights or {}, weight, directory=context.directory)
        self._subject = Subject(f"zookeeper {hosts}{path}")
        self._delay = backoffPolicy(initialDelay=1.0, maxDelay=_MAX_DELAY, factor=2.0)
        self._keeper: Any = None
        self._isConnected = False
        self._complaint = ""
        self._failures = 0
        self._reading: Deferred[None] | None = None
        self._isStale = False
        self._next: IDelayedCall | None = None
        self._known: dict[str, bytes] = {}
        self._changedMeanwhile: set[str] = set()

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell C{observer} all upstreams, once they were read, and at every change."""
        return self._subject.subscribe(observer)

    def makeKeeper(self) -> Any:
        """A client of ZooKeeper that calls back here."""
        return Keeper(self._reactor, self._options, self._stateChanged, self._nodeChanged, self._complained, self._ended)

    def startService(self) -> None:
        """Connect."""
        super().startService()  # type: ignore[no-untyped-call]
        self._begin()

    def _begin(self) -> None:
        self._next = None
        self._keeper = self.makeKeeper()
        self._keeper.start()

    def stopService(self) -> Deferred[None] | None:
        """Close the session.

        @return: fires when it is closed.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._forgetPlans()
        keeper, self._keeper = self._keeper, None
        stopping: Deferred[None] | None = keeper.stop() if keeper is not None else None
        return stopping

    def _forgetPlans(self) -> None:
        self._isConnected = False
        self._cancelNext()
        if self._reading is not None:
            self._reading.cancel()

    def _cancelNext(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    # From the client.

    def _stateChanged(self, state: str) -> None:
        if state == "CONNECTED":
            _log.info("{source}: connected", source=self._subject.name)
            self._isConnected, self._complaint, self._failures = True, "", 0
            self._known.clear()  # what was watched is not watched any more
            self._cancelNext()
            self._readSoon(0.0)
        elif self._isConnected:
            self._isConnected = False
            count = len(self._subject.snapshot or ())
            _log.warn("{source}: connection lost; its {count} upstreams stay", source=self._subject.name, count=count)

    def _nodeChanged(self, path: str | None) -> None:
        if path is None:
            return  # the connection is lost: all is read once there is one
        name = path.removeprefix(self._path).lstrip("/")
        self._known.pop(name, None)
        self._changedMeanwhile.add(name)
        self._readSoon(_PAUSE)

    def _complained(self, words: str) -> None:
        """Once for each time without a connection, for it is said at every attempt."""
        if not self._complaint:
            self._complaint = words
            _log.warn("{source}: {words}", source=self._subject.name, words=words)

    def _ended(self) -> None:
        """kazoo gave up; we don't."""
        self._forgetPlans()
        self._keeper.stop()
        self._keeper = None
        self._failures += 1
        wait, words = self._delay(self._failures), self._complaint
        _log.error("{source}: no session ({words}); again in {wait:.1f} s", source=self._subject.name, words=words, wait=wait)
        self._complaint = ""
        self._next = self._reactor.callLater(wait, self._begin)

    # Reading.

    def _readSoon(self, delay: float) -> None:
        """Read after C{delay} seconds, or when the reading under way has ended."""
        if self._reading is not None:
            self._isStale = True
        elif self._isConnected and self._next is None:  # without a connection: all is read once there is one
            self._next = self._reactor.callLater(delay, self._start)

    def _start(self) -> None:
        self._next, self._isStale = None, False
        if not self._isConnected:
            return
        self._changedMeanwhile.clear()
        reading: Deferred[Any] = Deferred.fromCoroutine(self._snapshot())
        self._reading = reading
        reading.addTimeout(_READ_LIMIT, self._reactor)
        reading.addCallbacks(self._found, self._failed)
        reading.addBoth(self._readingEnded)

    async def _snapshot(self) -> list[object]:
        """The entries of all children."""
        keeper = self._keeper
        names = await keeper.children(self._path)
        if names is None:
            if await keeper.exists(self._path):
                self._isStale = True  # it came just now
            return []
        chosen = sorted(names)[:MAX_MEMBERS]
        if self._read == "names":
            return [entryOf(name, b"", "names") for name in chosen]
        known = {name: self._known[name] for name in chosen if name in self._known}
        base = self._path.rstrip("/")
        for some in _inParts([name for name in chosen if name not in known]):
            found = await gatherResults([keeper.data(f"{base}/{name}") for name in some], consumeErrors=True)
            known.update((name, data[: _MAX_DATA + 1]) for name, data in zip(some, found, strict=True) if data is not None)
        # The word of a change may come before the answer that was sent before it: there are several threads in between.
        self._known = {name: data for name, data in known.items() if name not in self._changedMeanwhile}
        return [entryOf(name, known[name], self._read) for name in chosen if name in known]

    def _found(self, entries: Sequence[object]) -> None:
        self._failures = 0
        self._subject.tellEntries(self._reader, entries)

    def _failed(self, failure: Failure) -> None:
        if not self._isConnected:
            return  # lost, or stopped
        self._failures += 1
        wait = self._delay(self._failures)
        kind = type(failure.value).__name__
        if kind not in _LOST:
            words = f"{kind}: {failure.value}" if str(failure.value) else kind
            _log.warn("{source}: not read ({words}); again in {wait:.1f} s", source=self._subject.name, words=words, wait=wait)
        self._next = self._reactor.callLater(wait, self._start)

    def _readingEnded(self, result: Any) -> Any:
        self._reading = None
        if self._isStale and self._next is None:
            self._readSoon(_PAUSE)
        return result


def _inParts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), _AT_ONCE):
        yield names[at : at + _AT_ONCE]

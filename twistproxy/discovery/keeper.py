"""A session with ZooKeeper, for the reactor: kazoo and its threads on the other side of a narrow bridge.

kazoo calls back in threads of its own; all that its callbacks do here is C{reactor.callFromThread}. What is asked of it
goes into its queue and never waits. It connects by itself, for ever, and keeps its session alive.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log: Final = Logger(namespace="twistproxy.discovery")

MAX_RETRY_DELAY: Final = 2.0
"""Seconds: the longest wait before kazoo tries to connect again. Its own is a minute."""
_JITTER: Final = 0.25
_STOP_LIMIT: Final = 2.0
"""Seconds that a stop waits for kazoo, which may be within an attempt to connect."""

MISSING: Final = "the zookeeper source needs kazoo: pip install 'twistproxy[zookeeper]'"


@frozen
class KeeperOptions:
    """Where and how to connect.

    @ivar hosts: C{host:port,host:port}, and C{/path} after it that all paths are below of.
    @ivar sessionTimeout: seconds; how long the server keeps a session that it does not hear of.
    @ivar auth: C{scheme:credential}, such as C{digest:user:password}; empty: none.
    @ivar isSecure: whether to speak TLS. The servers' certificates are verified, and have to be for the hosts' names.
    @ivar ca: a PEM file with the authorities to trust; empty: those of the platform.
    @ivar cert: a PEM file with a certificate to show; empty for none.
    @ivar key: its private key; empty when it is in the same file.
    """

    hosts: str
    sessionTimeout: float = 10.0
    auth: str = field(default="", repr=False)
    isSecure: bool = False
    ca: str = ""
    cert: str = ""
    key: str = ""

    def check(self) -> None:
        """See that kazoo is there and understands this.

        @raise ValueError: with a sentence for the person who configured it.
        """
        try:
            from kazoo.hosts import collect_hosts
        except ImportError:
            raise ValueError(MISSING) from None
        try:
            collect_hosts(self.hosts)
        except ValueError as error:
            raise ValueError(f"hosts: {self.hosts!r} is not host:port,host:port ({error})") from None
        if self.sessionTimeout <= 0:
            raise ValueError("timeout: more than no time")
        if self.auth and ":" not in self.auth:
            raise ValueError("auth: scheme:credential, as in digest:user:password")
        if self.key and not self.cert:
            raise ValueError("a key needs its certificate: cert=FILE")
        for name, file in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            if file and not os.access(file, os.R_OK):
                raise ValueError(f"{name}: {file} cannot be read")
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.cert:
                context.load_cert_chain(self.cert, self.key or None)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{self.ca}{self.cert and ' ' + self.cert}: {error}".lstrip()) from None


class Keeper:
    """One client of ZooKeeper. All callbacks come in the reactor's thread, and none after C{stop}."""

    def __init__(
        self,
        reactor: Any,
        options: KeeperOptions,
        stateChanged: Callable[[str], None],
        nodeChanged: Callable[[str | None], None],
        complained: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        """
        @param stateChanged: gets C{CONNECTED}, C{SUSPENDED} or C{LOST}, as kazoo calls them.
        @param nodeChanged: gets the path of a node that was read and has changed; None: any may have.
        @param complained: gets what kazoo warns of.
        @param ended: kazoo gave up, as after a wrong password: this client is of no more use.
        """
        from kazoo.client import KazooClient
        from kazoo.exceptions import NoNodeError
        from kazoo.handlers.threading import SequentialThreadingHandler
        from kazoo.retry import KazooRetry

        self._reactor = reactor
        self._noNode = NoNodeError
        self._isStopped = False
        self._nodeChanged = nodeChanged
        handler = SequentialThreadingHandler()
        handler.spawn = self._watched(handler.spawn, ended)
        retry = KazooRetry(
            max_tries=-1, delay=0.1, backoff=2, max_jitter=_JITTER, max_delay=MAX_RETRY_DELAY / (1 + _JITTER),
            sleep_func=handler.sleep_func,
        )  # fmt: skip
        self._client = KazooClient(
            hosts=options.hosts,
            timeout=options.sessionTimeout,
            handler=handler,
            connection_retry=retry,
            use_ssl=options.isSecure,
            check_hostname=options.isSecure,
            ca=options.ca or None,
            certfile=options.cert or None,
            keyfile=options.key or options.cert or None,  # kazoo (2.11) shows no certificate without one
            auth_data=[tuple(options.auth.split(":", 1))] if options.auth else None,
            logger=_loggerTo(lambda words: self._tell(complained, words)),
        )
        self._client.add_listener(lambda state: self._tell(stateChanged, str(state)))

    def _tell(self, function: Callable[..., None], *args: Any) -> None:
        """In any thread: call C{function} in the reactor's."""
        self._reactor.callFromThread(self._told, function, args)

    def _told(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self._isStopped:
            function(*args)

    def _watched(self, spawn: Callable[..., Any], ended: Callable[[], None]) -> Callable[..., Any]:
        """Spawn threads whose end is noticed: kazoo's loop ends for good after some errors, and says so to nobody."""

        def spawnWatched(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
            def run() -> None:
                try:
                    function(*args, **options)
                finally:
                    self._tell(ended)

            return spawn(run)

        return spawnWatched

    def start(self) -> None:
        """Connect, and try again until C{stop}."""
        self._client.start_async()

    def children(self, path: str) -> Deferred[list[str] | None]:
        """The names of the children, which are watched from now on; None when there is no such node."""
        return self._ask(self._client.get_children_async, path)

    def data(self, path: str) -> Deferred[bytes | None]:
        """The data of a node, which is watched from now on; None when there is no such node."""
        return self._ask(self._client.get_async, path).addCallback(lambda found: None if found is None else found[0])

    def exists(self, path: str) -> Deferred[bool]:
        """Whether there is such a node, which is watched from now on, be it there or not."""
        return self._ask(self._client.exists_async, path).addCallback(lambda found: found is not None)

    def _ask(self, method: Callable[..., Any], path: str) -> Deferred[Any]:
        """@return: fires with None when there is no such node, and fails with kazoo's exceptions."""
        asked: Deferred[Any] = Deferred()

        def done(value: Any, error: Exception | None) -> None:
            if asked.called:
                return
            if error is None:
                asked.callback(value)
            elif isinstance(error, self._noNode):
                asked.callback(None)
            else:
                asked.errback(Failure(error))

        def linked(result: Any) -> None:
            self._tell(done, result.value, result.exception)

        method(path, watch=self._changed).rawlink(linked)
        return asked

    def _changed(self, event: Any) -> None:
        self._tell(self._nodeChanged, event.path)

    def stop(self) -> Deferred[None]:
        """Close the session.

        @return: fires when it is closed, or kazoo takes too long for it.
        """
        self._isStopped = True
        stopped: Deferred[None] = Deferred()

        def done() -> None:
            if not stopped.called:
                stopped.callback(None)

        def stop() -> None:
            try:
                self._client.stop()
                self._client.close()
            except Exception as error:
                self._reactor.callFromThread(_log.debug, "kazoo did not stop: {error!r}", error=error)
            self._reactor.callFromThread(done)

        # A thread of its own, not one of the reactor's: those are waited for when the program ends.
        Thread(target=stop, name="stop kazoo", daemon=True).start()
        return stopped.addTimeout(_STOP_LIMIT, self._reactor, lambda result, _: None)


def _loggerTo(complained: Callable[[str], None]) -> logging.Logger:
    """A logger for kazoo that hands warnings on; what is below them has passwords of sessions in it."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complained(record.getMessage())

    made = logging.Logger("twistproxy.kazoo", logging.WARNING)
    made.addHandler(Handler())
    return made

"""Who may come in: names with the hashes of their passwords in a file, as C{htpasswd} writes it."""

from __future__ import annotations

import hashlib
import os
from binascii import Error, a2b_base64
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.errors import QUEUE_FULL, RATE_LIMITED, ConfigurationError, ProxyError
from twistproxy.permissions.passwords import checkHash, matches

_KNOWN_FOR: Final = 300.0
"""Seconds for which a password that was right is not hashed again."""

_MOST_KNOWN: Final = 1024
_MOST_WAITING: Final = 64
_MOST_OF_ONE: Final = 16
"""Passwords of one client that wait."""

_AT_ONCE: Final = 2
"""Passwords that are hashed at the same time: the threads are also those that look up names."""

_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at the file."""

_log: Final = Logger(namespace="twistproxy.error")


def parseUsers(text: str, path: str) -> Mapping[str, bytes]:
    """Names and hashes of a file of lines C{name:hash}; empty lines and those that begin with C{#} do not count.

    @raise ConfigurationError: with a line for each mistake.
    """
    users: dict[str, bytes] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, mark, hashed = line.partition(":")
        if not mark or not name or not name.isprintable():
            problems.append(f"{path}: line {number} is not name:hash")
        elif name in users:
            problems.append(f"{path}: line {number}: {name!r} is there already")
        else:
            try:
                checkHash(hashed)
            except ValueError as error:
                problems.append(f"{path}: line {number}: {name!r}: {error}")
            else:
                users[name] = hashed.encode("ascii")
    if not users and not problems:
        problems.append(f"{path}: there are no users in it")
    if problems:
        raise ConfigurationError(*problems)
    return users


def readUsers(path: str) -> Mapping[str, bytes]:
    """Those of a file.

    @raise ConfigurationError: when it cannot be read, or with a line for each mistake.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parseUsers(file.read(), path)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None


def credentialsOf(header: bytes) -> tuple[str, bytes] | None:
    """Name and password of C{Basic} credentials (RFC 7617 section 2); None for what is none."""
    scheme, _, rest = header.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, mark, password = a2b_base64(rest.strip(), strict_mode=True).partition(b":")
        return (name.decode("utf-8"), password) if mark else None
    except (Error, ValueError):
        return None


def newPlaces() -> DeferredSemaphore:
    """For passwords to be hashed in."""
    return DeferredSemaphore(_AT_ONCE)


class Users:
    """The users of a file, which is read again when it has changed.

    Hashing takes a thread a tenth of a second, so what was right is remembered for a while, by a hash of its own that
    cannot be turned back; and only so many wait for it at once.
    """

    def __init__(
        self,
        path: str,
        run: Callable[..., Deferred[bool]],
        seconds: Callable[[], float],
        places: DeferredSemaphore | None = None,
    ) -> None:
        """
        @param run: calls a function with arguments in a thread.
        @param seconds: the clock.
        @param places: those in which passwords are hashed, for all that share threads; by default as L{newPlaces} makes them.
        @raise ConfigurationError: when the file cannot be read, or what its hashes need is not installed.
        """
        self._path = path
        self._run = run
        self._seconds = seconds
        self._salt = os.urandom(16)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._waiting: dict[bytes, list[Deferred[bool]]] = {}
        self._asking: Counter[bytes] = Counter()
        self._places = places or newPlaces()
        self._version = self._look()
        self._users = readUsers(path)
        self._hashes = list(self._users.values())
        self._looked = seconds()

    def _look(self) -> Any:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _refresh(self) -> None:
        if self._seconds() - self._looked < _LOOK_AGAIN:
            return
        self._looked = self._seconds()
        version = self._look()
        if version == self._version:
            return
        self._version = version
        try:
            self._users = readUsers(self._path)
            self._hashes = list(self._users.values())
        except ConfigurationError as error:
            _log.error("Users stay as they were: {problems}", problems="; ".join(error.problems))
        self._known.clear()

    def isKnown(self, name: str, password: bytes) -> bool:
        """Whether this was a user's password a little while ago, and nothing need be hashed."""
        self._refresh()
        until = self._known.get(self._keyOf(name, password))
        return until is not None and until > self._seconds()

    def _keyOf(self, name: str, password: bytes) -> bytes:
        return hashlib.sha256(self._digestOf(name) + password).digest()

    def _digestOf(self, name: str) -> bytes:
        return hashlib.sha256(self._salt + name.encode()).digest()

    def _somebodysHash(self, name: str) -> bytes:
        """That of a user, always the same for a name that nobody has: it takes as long as if it were somebody's."""
        return self._hashes[int.from_bytes(self._digestOf(name)) % len(self._hashes)]

    def check(self, name: str, password: bytes, client: bytes = b"") -> Deferred[bool]:
        """Whether this is a user's password.

        @param client: who asks, so that one leaves places to others.
        @raise ProxyError: 503 when too many passwords wait already, 429 when too many of this client do.
        """
        if self.isKnown(name, password):
            return succeed(True)
        key = self._keyOf(name, password)
        answer: Deferred[bool] = Deferred()  # who does not wait for it any more cannot cancel what a thread does
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(answer)
            return answer
        if self._asking[client] >= _MOST_OF_ONE:
            raise ProxyError(RATE_LIMITED, "passwords of this client wait to be checked", [("Retry-After", "1")])
        if len(self._waiting) >= _MOST_WAITING:
            raise ProxyError(QUEUE_FULL, "passwords wait to be checked")
        self._waiting[key] = [answer]
        self._asking[client] += 1
        hashed = self._users.get(name)
        # Who is unknown takes as much time as who is not, and is not told apart by it, where hashes differ in their cost too.
        checking = self._places.run(self._run, matches, password, hashed or self._somebodysHash(name))

        def decided(isRight: bool) -> bool:
            if not isRight or hashed is None or self._users.get(name) != hashed:
                return False
            self._known[key] = self._seconds() + _KNOWN_FOR
            self._known.move_to_end(key)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
            return True

        def settled(result: bool | Failure) -> None:
            self._asking[client] -= 1
            if not self._asking[client]:
                del self._asking[client]
            for each in self._waiting.pop(key):
                if not each.called:
                    each.callback(result)

        checking.addCallback(decided).addBoth(settled)
        return answer

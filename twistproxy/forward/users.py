"""Who may use a forward proxy: names with bcrypt hashes in a file, as C{htpasswd -B} writes it."""

from __future__ import annotations

import hashlib
import os
import re
from binascii import Error, a2b_base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.logger import Logger

from twistproxy.errors import QUEUE_FULL, ConfigurationError, ProxyError

_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}\Z")
_KNOWN_FOR: Final = 300.0
"""Seconds for which a password that was right is not hashed again."""

_MOST_KNOWN: Final = 1024
_MOST_WAITING: Final = 64
_AT_ONCE: Final = 2
"""Passwords that are hashed at the same time: the threads are also those that look up names."""

_LONGEST_PASSWORD: Final = 72
"""Bytes; bcrypt takes no more."""

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
        found = _BCRYPT.match(hashed)
        if not mark or not name:
            problems.append(f"{path}: line {number} is not name:hash")
        elif name in users:
            problems.append(f"{path}: line {number}: {name!r} is there already")
        elif found is None:
            problems.append(f"{path}: line {number}: the hash of {name!r} is not bcrypt's: make it by htpasswd -B")
        elif not 4 <= int(found[1]) <= 16:
            problems.append(f"{path}: line {number}: a cost of {int(found[1])} is too {'low' if int(found[1]) < 4 else 'high'}")
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


def checkUsers(path: str) -> None:
    """Whether there will be users.

    @raise ConfigurationError: as L{Users}.
    """
    if find_spec("bcrypt") is None:
        raise ConfigurationError("users need bcrypt: pip install 'twistproxy[forward]'")
    readUsers(path)


class Users:
    """The users of a file, which is read again when it has changed.

    Hashing takes a thread a tenth of a second, so what was right is remembered for a while, by a hash of its own that
    cannot be turned back; and only so many wait for it at once.
    """

    def __init__(self, path: str, run: Callable[..., Deferred[bool]], seconds: Callable[[], float]) -> None:
        """
        @param run: calls a function with arguments in a thread.
        @param seconds: the clock.
        @raise ConfigurationError: when the file cannot be read, or bcrypt is not installed.
        """
        checkUsers(path)
        import bcrypt  # an extra

        self._check: Callable[[bytes, bytes], bool] = bcrypt.checkpw
        self._path = path
        self._run = run
        self._seconds = seconds
        self._salt = os.urandom(16)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._waiting = 0
        self._places = DeferredSemaphore(_AT_ONCE)
        self._version = self._look()
        self._users = readUsers(path)
        self._looked = seconds()

    def _matches(self, password: bytes, hashed: bytes) -> bool:
        try:
            return self._check(password[:_LONGEST_PASSWORD], hashed)
        except ValueError:
            return False  # bcrypt takes no NUL

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
        except ConfigurationError as error:
            _log.error("Users stay as they were: {problems}", problems="; ".join(error.problems))
        self._known.clear()

    def check(self, name: str, password: bytes) -> Deferred[bool]:
        """Whether this is a user's password.

        @raise ProxyError: 503, when too many wait already.
        """
        self._refresh()
        key = hashlib.sha256(self._salt + name.encode() + b"\0" + password).digest()
        until = self._known.get(key)
        if until is not None and until > self._seconds():
            return succeed(True)
        if self._waiting >= _MOST_WAITING:
            raise ProxyError(QUEUE_FULL, "passwords wait to be checked")
        self._waiting += 1
        hashed = self._users.get(name)
        # Who is unknown takes as much time as who is not, and is not told apart by it.
        checking = self._places.run(self._run, self._matches, password, hashed or next(iter(self._users.values())))
        answer: Deferred[bool] = Deferred()  # who does not wait for it any more cannot cancel what a thread does

        def checked(result: Any) -> Any:
            self._waiting -= 1
            return result

        def decided(isRight: bool) -> bool:
            if not isRight or hashed is None or self._users.get(name) != hashed:
                return False
            self._known[key] = self._seconds() + _KNOWN_FOR
            self._known.move_to_end(key)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
            return True

        checking.addBoth(checked).addCallback(decided).addCallbacks(answer.callback, answer.errback)
        return answer

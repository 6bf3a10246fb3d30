"""L{twistproxy.permissions.users}: names and hashes, and who is right."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

import bcrypt
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errors import QUEUE_FULL, RATE_LIMITED, ConfigurationError, ProxyError
from twistproxy.permissions.passwords import apr1
from twistproxy.permissions.users import Users, credentialsOf, parseUsers

HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
APR1 = "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"


class TestFiles(SynchronousTestCase):
    def test_reading(self) -> None:
        text = f"# users\n\nali:{HASH}\n baba :{HASH.replace('$2b$', '$2y$')}\ncassim:{APR1}\n"
        self.assertEqual(list(parseUsers(text, "f")), ["ali", "baba ", "cassim"])

    def test_mistakes(self) -> None:
        for text, problem in (
            ("", "f: there are no users in it"),
            ("ali", "f: line 1 is not name:hash"),
            (f":{HASH}", "f: line 1 is not name:hash"),
            (f"a\tb:{HASH}", "f: line 1 is not name:hash"),
            ("ali:secret", "f: line 1: 'ali': the hash is neither bcrypt's nor apr1's: make it by htpasswd -B"),
            ("ali:$apr1$x$y", "f: line 1: 'ali': the hash is neither bcrypt's nor apr1's: make it by htpasswd -B"),
            (f"ali:{HASH}\nali:{HASH}", "f: line 2: 'ali' is there already"),
            (f"ali:{HASH.replace('$04$', '$31$')}", "f: line 1: 'ali': a cost of 31 is too high"),
            (f"ali:{HASH.replace('$04$', '$03$')}", "f: line 1: 'ali': a cost of 3 is too low"),
        ):
            error = self.assertRaises(ConfigurationError, parseUsers, text, "f")
            self.assertEqual(error.problems, (problem,))

    def test_credentials(self) -> None:
        def basic(text: bytes) -> bytes:
            return b"Basic " + b64encode(text)

        for header, want in (
            (basic(b"a:b"), ("a", b"b")), (basic(b"a:b:c"), ("a", b"b:c")), (basic("é:ü".encode()), ("é", "ü".encode())),
            (basic(b":"), ("", b"")), (basic(b"a:b").replace(b"Basic ", b"basic   "), ("a", b"b")), (basic(b"ab"), None),
            (b"Bearer abc", None), (b"Basic", None), (b"Basic !!", None), (basic(b"\xff:b"), None),
        ):  # fmt: skip
            self.assertEqual(credentialsOf(header), want, header)


class TestUsers(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = temporaryDirectory(self) / "users"
        self.path.write_text(f"ali:{HASH}\n")
        self.clock = Clock()
        self.calls: list[tuple[Any, Deferred[bool]]] = []
        self.users = Users(str(self.path), self.run_, self.clock.seconds)

    def run_(self, function: Any, *arguments: Any) -> Deferred[bool]:
        waiting: Deferred[bool] = Deferred()
        self.calls.append((lambda: waiting.callback(function(*arguments)), waiting))
        return waiting

    def settle(self) -> None:
        while self.calls:
            self.calls.pop(0)[0]()

    def isRight(self, name: str, password: bytes) -> bool:
        checking = self.users.check(name, password)
        self.settle()
        return self.successResultOf(checking)

    def test_who(self) -> None:
        self.assertTrue(self.isRight("ali", b"open sesame"))
        for name, password in (
            ("ali", b"open barley"), ("ali", b""), ("Ali", b"open sesame"), ("", b""), ("cassim", b"open sesame"),
            ("ali", b"open sesame\0"),
        ):  # fmt: skip
            self.assertFalse(self.isRight(name, password), (name, password))

    def test_unknownNamesTakeAsLong(self) -> None:
        self.users.check("cassim", b"x")
        self.assertEqual(len(self.calls), 1)

    def test_unknownNamesTakeAsLongAsSomebody(self) -> None:
        """One whose hash is always the same, like a user's: neither time nor its changes tell who is known."""
        self.path.write_text(f"ali:{APR1}\nbaba:{HASH}\n")
        compared: list[bytes] = []

        def run(function: Any, password: bytes, hashed: bytes) -> Deferred[bool]:
            compared.append(hashed)
            return succeed(False)

        users = Users(str(self.path), run, self.clock.seconds)
        for i in range(64):
            for _ in range(2):
                users.check(f"cassim{i}", b"x")
        self.assertEqual(compared[::2], compared[1::2])
        self.assertEqual(set(compared), {HASH.encode(), APR1.encode()})

    def test_whatIsKnownIsOfOneUser(self) -> None:
        """However name and password are put together; Apache's MD5 takes a NUL."""
        self.path.write_text(f"a:$apr1$s${apr1(b'b' + bytes(1) + b'c', b's').decode().rpartition('$')[2]}\n")
        self.clock.advance(2)
        self.assertTrue(self.isRight("a", b"b\0c"))
        self.assertFalse(self.users.isKnown("a\0b", b"c"))

    def test_both(self) -> None:
        self.path.write_text(f"ali:{HASH}\nbaba:{APR1}\n")
        self.clock.advance(2)
        self.assertTrue(self.isRight("ali", b"open sesame"))
        self.assertTrue(self.isRight("baba", b"myPassword"))
        self.assertFalse(self.isRight("baba", b"open sesame"))

    def test_theRightOneIsNotHashedAgain(self) -> None:
        self.isRight("ali", b"open sesame")
        self.assertTrue(self.successResultOf(self.users.check("ali", b"open sesame")))
        self.assertEqual(self.calls, [])
        self.clock.advance(301)
        self.users.check("ali", b"open sesame")
        self.assertEqual(len(self.calls), 1)

    def test_tooMany(self) -> None:
        for i in range(64):
            self.users.check("ali", b"x%d" % i, b"%d" % i)
        error = self.assertRaises(ProxyError, self.users.check, "ali", b"x", b"x")
        self.assertIs(error.kind, QUEUE_FULL)
        self.settle()
        self.assertTrue(self.isRight("ali", b"open sesame"))

    def test_tooManyOfOneClient(self) -> None:
        """Whoever guesses leaves places to others, who come in meanwhile."""
        for i in range(16):
            self.users.check("ali", b"x%d" % i, b"evil")
        error = self.assertRaises(ProxyError, self.users.check, "ali", b"x", b"evil")
        self.assertIs(error.kind, RATE_LIMITED)
        checking = self.users.check("ali", b"open sesame", b"good")
        self.settle()
        self.assertTrue(self.successResultOf(checking))
        self.users.check("ali", b"x", b"evil")

    def test_theSameAtTheSameTime(self) -> None:
        """A browser asks for a page and all that is in it at once; that is one password."""
        checking = [self.users.check("ali", b"open sesame", b"c") for _ in range(100)]
        wrong = [self.users.check("ali", b"x", b"c") for _ in range(2)]
        self.assertEqual(len(self.calls), 2)
        checking[0].cancel()
        self.failureResultOf(checking[0], CancelledError)
        self.settle()
        self.assertEqual([self.successResultOf(each) for each in (*checking[1:], *wrong)], [True] * 99 + [False] * 2)

    def test_failuresFreeTheirPlace(self) -> None:
        for _ in range(65):
            checking = self.users.check("ali", b"x")
            self.calls.pop()[1].errback(RuntimeError())
            self.failureResultOf(checking, RuntimeError)

    def test_threadsAreLeftToOthers(self) -> None:
        for i in range(5):
            self.users.check("ali", b"x%d" % i)
        self.assertEqual(len(self.calls), 2)

    def test_whoLeaves(self) -> None:
        """Does not make room for another while the thread goes on."""
        left = [self.users.check("ali", b"x%d" % i) for i in range(2)]
        for each in left:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        checking = self.users.check("ali", b"open sesame")
        self.assertEqual(len(self.calls), 2)
        self.settle()
        self.assertTrue(self.successResultOf(checking))

    def test_changes(self) -> None:
        self.isRight("ali", b"open sesame")
        self.path.write_text(f"cassim:{HASH}\nmore:{HASH}\n")
        self.clock.advance(2)
        self.assertFalse(self.isRight("ali", b"open sesame"))
        self.assertTrue(self.isRight("cassim", b"open sesame"))

    def test_changesMeanwhile(self) -> None:
        checking = self.users.check("ali", b"open sesame")
        self.path.write_text(f"cassim:{HASH}\nmore:{HASH}\n")
        self.clock.advance(2)
        self.users.check("cassim", b"x")
        self.settle()
        self.assertFalse(self.successResultOf(checking))

    def test_badChanges(self) -> None:
        """They are told, and nothing changes."""
        for change in (lambda: self.path.write_text("nonsense"), lambda: os.unlink(self.path)):
            change()
            self.clock.advance(2)
            self.assertTrue(self.isRight("ali", b"open sesame"))

    def test_atTheStart(self) -> None:
        for text in ("nonsense", None):
            if text is None:
                self.path.unlink()
            else:
                self.path.write_text(text)
            self.assertRaises(ConfigurationError, Users, str(self.path), self.run_, self.clock.seconds)

"""L{twistproxy.middleware.basicauth}: who may come, by name and password."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.unit.builtin import MiddlewareTestCase, asked
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errors import FORBIDDEN, UNAUTHORIZED
from twistproxy.messages import InboundRequest

APR1 = "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"


class Reactor(Clock):
    """One whose threads do their work when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Callable[[], object]] = []

    def getThreadPool(self) -> Reactor:
        return self

    def callInThreadWithCallback(self, onResult: Any, function: Any, *arguments: Any, **options: Any) -> None:
        self.work.append(lambda: onResult(True, function(*arguments, **options)))

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


class TestBasicAuth(MiddlewareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = temporaryDirectory(self)
        (self.directory / "users").write_text(f"ali:{APR1}\n")
        self.reactor = Reactor()

    def auth(self, options: str = "") -> Any:
        return self.build(f"basic-auth:users{options}", directory=str(self.directory), reactor=self.reactor)

    def asked(self, name: str, password: str, *headers: tuple[bytes, bytes]) -> InboundRequest:
        credentials = b"Basic " + b64encode(f"{name}:{password}".encode())
        return asked(b"/", (b"Authorization", credentials), *headers)

    def enter(self, auth: Any, request: InboundRequest) -> Any:
        """What becomes of it when the threads have done their work."""
        found = self.around(auth, request)
        if not isinstance(found, Deferred):
            return found
        self.assertEqual(self.proceeded, 0)
        results: list[Any] = []
        found.addBoth(results.append)
        self.reactor.work.pop()()
        return results[0]

    def test_aUser(self) -> None:
        request = self.asked("ali", "myPassword")
        self.assertIs(self.enter(self.auth(), request), self.answer)
        self.assertEqual(request.user, "ali")
        self.assertFalse(request.outbound.headers.hasHeader("Authorization"))

    def test_nobody(self) -> None:
        auth = self.auth(":realm=The cave")
        two = asked(b"/", (b"Authorization", b"Basic YTpi"), (b"Authorization", b"Basic YTpi"))
        for request in (asked(), two, asked(b"/", (b"Authorization", b"Bearer x")), asked(b"/", (b"Authorization", b"Basic !"))):
            self.assertIs(self.around(auth, request), UNAUTHORIZED)
            self.assertEqual(self.error.headers, [("WWW-Authenticate", 'Basic realm="The cave", charset="UTF-8"')])
        self.assertEqual((self.proceeded, self.reactor.work), (0, []))

    def test_whoIsWrong(self) -> None:
        auth = self.auth()
        for name, password in (("ali", "barley"), ("cassim", "myPassword"), ("ali", "")):
            request = self.asked(name, password)
            failure = self.enter(auth, request)
            self.assertIs(failure.value.kind, UNAUTHORIZED)
            self.assertEqual(failure.value.headers[0][0], "WWW-Authenticate")
            self.assertNotIn("barley", str(failure.value))
            self.assertEqual(request.user, "")
        self.assertEqual(self.proceeded, 0)

    def test_whoWasRightIsNotAskedOfAThreadAgain(self) -> None:
        auth = self.auth()
        self.enter(auth, self.asked("ali", "myPassword"))
        again = self.asked("ali", "myPassword")
        self.assertIs(self.around(auth, again), self.answer)
        self.assertEqual((again.user, self.reactor.work), ("ali", []))
        self.assertIsInstance(self.around(auth, self.asked("ali", "other")), Deferred)

    def test_threadsAreLeftToOthersByAllTogether(self) -> None:
        """They also look up names of upstreams, however many routes have passwords."""
        for _ in range(3):
            auth = self.auth()
            for i in range(3):
                self.around(auth, self.asked("ali", f"{i}"))
        self.assertEqual(len(self.reactor.work), 2)

    def test_theUpstreamIsToldOfNobodyElse(self) -> None:
        request = self.asked("ali", "myPassword", (b"X-User", b"root"), (b"x_user", b"root"))
        self.enter(self.auth(":header=X-User"), request)
        sent = [(name, value) for _, name, value in request.outbound.headers.items if b"ser" in name]
        self.assertEqual(sent, [(b"X-User", b"ali")])

    def test_onlySomeOfTheUsers(self) -> None:
        self.assertIs(self.enter(self.auth(":allow=baba,ali"), self.asked("ali", "myPassword")), self.answer)
        self.proceeded = 0
        auth = self.auth(":allow=baba")
        failure = self.enter(auth, request := self.asked("ali", "myPassword"))
        self.assertEqual((failure.value.kind, failure.value.headers, request.user), (FORBIDDEN, (), "ali"))
        self.assertIs(self.around(auth, self.asked("ali", "myPassword")), FORBIDDEN)
        self.assertIs(self.enter(auth, self.asked("ali", "barley")).value.kind, UNAUTHORIZED)

    def test_thePasswordIsPassedOnWhereThatIsWanted(self) -> None:
        request = self.asked("ali", "myPassword")
        self.enter(self.auth(":pass-on=yes"), request)
        self.assertTrue(request.outbound.headers.hasHeader("Authorization"))

    def test_mistakes(self) -> None:
        options = {"directory": str(self.directory), "reactor": self.reactor}
        quotes = "basic-auth: realm is printable ASCII without quotes and backslashes"
        self.refuses('basic-auth:users:realm=a"b', quotes, **options)
        missing = self.directory / "none"
        self.refuses("basic-auth:none", f"basic-auth: {missing}: No such file or directory", **options)
        wrong = "basic-auth: header: 'X User' is not the name of a header"
        self.refuses("basic-auth:users:header=X User", wrong, **options)

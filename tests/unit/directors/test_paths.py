"""strip-prefix, add-prefix and rewrite."""

from __future__ import annotations

from ipaddress import ip_network

from tests.unit.builtin import CLIENT, DirectorTestCase, asked
from twistproxy.messages import InboundRequest

PREFIX = b"X-Forwarded-Prefix"


class StripPrefixTests(DirectorTestCase):
    def stripped(self, request: InboundRequest, written: str = "strip-prefix:/api") -> tuple[bytes, bytes | None]:
        self.assertIs(self.direct(written, request), None)
        return request.outbound.target, request.outbound.headers.get(PREFIX)

    def test_byWholeSegments(self) -> None:
        for target, left in [
            (b"/api/users?a=/api", b"/users?a=/api"),
            (b"/api", b"/"),
            (b"/api?", b"/?"),
            (b"/api/", b"/"),
            (b"/api//x", b"//x"),
            (b"/api/%2Fa", b"/%2Fa"),
        ]:
            self.assertEqual(self.stripped(asked(target)), (left, b"/api"))

    def test_otherPathsStay(self) -> None:
        for target in (b"/", b"/apix", b"/API/x", b"/x/api", b"/api%2Fx", b"/api/../x", b"/api/x/../../y", b"/../x?/api/", b"*"):
            self.assertEqual(self.stripped(asked(target)), (target, None))

    def test_noSpellingGetsPast(self) -> None:
        for target, left in [
            (b"/%61pi/x", b"/x"), (b"//api//x", b"/x"), (b"/./api/x/", b"/x/"), (b"/y/../api/x?a/../b", b"/x?a/../b"),
            (b"/%2E/ap%69", b"/"), (b"/..//api/%2fx%2Dy", b"/%2Fx-y"),
        ]:  # fmt: skip
            self.assertEqual(self.stripped(asked(target)), (left, b"/api"))

    def test_noPathLeadsOut(self) -> None:
        for target, left in [
            (b"/api/x/../y", b"/y"), (b"/api/x/%2e%2E/", b"/"), (b"/api/x/..", b"/"), (b"/api/a/b/.", b"/a/b/"),
            (b"/api/x/../../api/y", b"/y"), (b"/api/x/../../../../api/../api/z", b"/z"),
        ]:  # fmt: skip
            self.assertEqual(self.stripped(asked(target)), (left, b"/api"))

    def test_dotsThatAreNoSegmentsStay(self) -> None:
        for rest in (b"/.well-known//x", b"/...", b"/a./.b/..c", b"/a%2e"):
            self.assertEqual(self.stripped(asked(b"/api" + rest)), (rest, b"/api"))

    def test_theFirstThatFits(self) -> None:
        for written in ("strip-prefix:/a/b,/a", {"use": "strip-prefix", "prefix": ["/a/b/", "/a"]}):
            self.assertEqual(self.stripped(asked(b"/a/b/c"), written), (b"/c", b"/a/b"))
            self.assertEqual(self.stripped(asked(b"/a/c"), written), (b"/c", b"/a"))

    def test_aClientsOwnClaimIsGone(self) -> None:
        self.assertEqual(self.stripped(asked(b"/api/x", (PREFIX, b"/evil"))), (b"/x", b"/api"))
        self.assertEqual(self.stripped(asked(b"/x", (PREFIX, b"/evil"), (b"X_Forwarded_Prefix", b"/evil"))), (b"/x", None))

    def test_aTrustedProxysIsKeptBefore(self) -> None:
        trusted = (ip_network(f"{CLIENT}/32"),)
        request = asked(b"/api/x", (PREFIX, b"/outer/, /mid"), trusted=trusted)
        self.assertEqual(self.stripped(request), (b"/x", b"/outer/mid/api"))
        self.assertEqual(self.stripped(asked(b"/x", (PREFIX, b"/outer"), trusted=trusted)), (b"/x", b"/outer"))

    def test_oneAfterTheOther(self) -> None:
        request = asked(b"/a/b/c")
        self.stripped(request, "strip-prefix:/a")
        self.assertEqual(self.stripped(request, "strip-prefix:/b"), (b"/c", b"/a/b"))

    def test_mistakes(self) -> None:
        self.refuses("strip-prefix", "strip-prefix: needs the option 'prefix'")
        self.refuses("strip-prefix:,", "strip-prefix: prefix: needs at least one")
        for written in ("api", "/", "//"):
            self.refuses(f"strip-prefix:{written}", f"strip-prefix: prefix: {written!r} is not a path such as /api")
        self.refuses("strip-prefix:/a/..", "strip-prefix: prefix: '/a/..' has what a path cannot have; percent-encode it")
        self.refuses("strip-prefix:/a b", "strip-prefix: prefix: '/a b' has what a path cannot have; percent-encode it")


class AddPrefixTests(DirectorTestCase):
    def test_joinedByOneSlash(self) -> None:
        for written in ("add-prefix:/app", "add-prefix:prefix=/app/"):
            self.assertEqual(self.target(written, b"/users?x"), b"/app/users?x")
            self.assertEqual(self.target(written, b"/"), b"/app/")
            self.assertEqual(self.target(written, b"/a%2Fb/"), b"/app/a%2Fb/")
            self.assertEqual(self.target(written, b"*"), b"*")

    def test_nobodyGetsOut(self) -> None:
        for path, joined in [
            (b"/../private", b"/app/private"), (b"/a/%2e./../../x/?q", b"/app/x/?q"), (b"/a/..", b"/app/"),
            (b"/a/./b", b"/app/a/b"), (b"/..a//.b", b"/app/..a//.b"),
        ]:  # fmt: skip
            self.assertEqual(self.target("add-prefix:/app", path), joined)

    def test_mistakes(self) -> None:
        self.refuses("add-prefix:app", "add-prefix: prefix: 'app' is not a path such as /api")
        self.refuses("add-prefix:/a?b", "add-prefix: prefix: '/a?b' has what a path cannot have; percent-encode it")


class RewriteTests(DirectorTestCase):
    def test_asInTheTutorial(self) -> None:
        written = "rewrite:^/dir(.*):$1"
        for target, rewritten in [
            (b"/dir/a?b=1", b"/a?b=1"),
            (b"/dir", b"/"),
            (b"/directory", b"/ectory"),
            (b"/other/dir/a", b"/other/dir/a"),
            (b"/dir/%2e%2E/a%2Fb", b"/%2e%2E/a%2Fb"),
        ]:
            self.assertEqual(self.target(written, target), rewritten)

    def test_everyMatchIsReplaced(self) -> None:
        self.assertEqual(self.target("rewrite:/+:/", b"//a///b/c//"), b"/a/b/c/")

    def test_groups(self) -> None:
        table = {"use": "rewrite", "pattern": r"^/(?P<user>\w+)/(\w+)(/x)?$", "to": "/$2/${user}0/$$1${2}b$3"}
        self.assertEqual(self.target(table, b"/ann/mail"), b"/mail/ann0/$1mailb")
        self.assertEqual(self.target("rewrite:^.*$:/all$0", b"/a"), b"/all/a")

    def test_pluginStringsTakeBackslashes(self) -> None:
        self.assertEqual(self.target(r"rewrite:^/(\\d+)\:(.*):/$1-$2", b"/12:a"), b"/12-a")

    def test_aQueryComesBeforeTheRequests(self) -> None:
        written = {"use": "rewrite", "pattern": "^/user/([^/]+)$", "to": "/user?id=$1&new"}
        self.assertEqual(self.target(written, b"/user/7"), b"/user?id=7&new")
        self.assertEqual(self.target(written, b"/user/7?id=8"), b"/user?id=7&new&id=8")
        self.assertEqual(self.target(written, b"/users?id=8"), b"/users?id=8")

    def test_whatAURLCannotHaveIsEncoded(self) -> None:
        self.assertEqual(self.target("rewrite:^/x:/é ü", b"/x%20y"), b"/%C3%A9%20%C3%BC%20y")

    def test_notOfThePathOfOptions(self) -> None:
        self.assertEqual(self.target("rewrite:.*:/x", b"*"), b"*")

    def test_mistakes(self) -> None:
        self.refuses("rewrite:(:/x", "rewrite: pattern: '(' is not a regular expression: missing ), unterminated subpattern "
                     "at position 0")  # fmt: skip
        self.refuses("rewrite:^/(a):$2", "rewrite: '$2': there is no $2 (there is $0, $1)")
        self.refuses("rewrite:^/(?P<user>a):$usr", "rewrite: '$usr': there is no $usr; did you mean 'user'?")
        self.refuses("rewrite:^/a:/$", "rewrite: '/$': write $$ for a dollar sign")
        self.refuses("rewrite:^/a:/#b", "rewrite: to: '/#b' has a #, which no request has; percent-encode it")
        self.refuses("rewrite:^/a", "rewrite: needs the option 'to'")

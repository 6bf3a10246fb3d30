"""request-headers, and with it the edits of headers in general."""

from __future__ import annotations

from typing import Any

from tests.unit.builtin import DirectorTestCase, asked, items

Pairs = list[tuple[bytes, bytes]]


class RequestHeadersTests(DirectorTestCase):
    def edited(self, written: Any, *headers: tuple[bytes, bytes]) -> Pairs:
        """The headers that are sent on, but for those that the proxy has made."""
        request = asked(b"/", *headers)
        self.assertIs(self.direct(written, request), None)
        ours = {b"Host", b"X-Forwarded-For", b"X-Real-IP", b"X-Forwarded-Proto", b"X-Forwarded-Host"}
        return [each for each in items(request.outbound.headers) if each[0] not in ours]

    def test_stringAndTableSayTheSame(self) -> None:
        for written in (
            "request-headers:set=X-A=1,X-B=2:remove=Cookie,X-C",
            {"use": "request-headers", "set": {"X-A": "1", "X-B": "2"}, "remove": ["Cookie", "X-C"]},
        ):
            self.assertEqual(
                self.edited(written, (b"cookie", b"a"), (b"X-C", b"c"), (b"X-D", b"d")),
                [(b"X-D", b"d"), (b"X-A", b"1"), (b"X-B", b"2")],
            )

    def test_setReplacesAllLinesInPlace(self) -> None:
        had = ((b"x-a", b"1"), (b"X-B", b"2"), (b"X-A", b"3"))
        self.assertEqual(self.edited("request-headers:set=X-A=new", *had), [(b"X-A", b"new"), (b"X-B", b"2")])

    def test_addKeepsWhatThereIs(self) -> None:
        had = ((b"x-a", b"1"),)
        self.assertEqual(self.edited("request-headers:add=X-A=2", *had), [(b"x-a", b"1"), (b"X-A", b"2")])

    def test_severalLinesOfOneName(self) -> None:
        lines = [(b"X-A", b"1"), (b"X-A", b"2")]
        for option in ("set", "add"):
            self.assertEqual(self.edited(f"request-headers:{option}=X-A=1,X-A=2"), lines)
            self.assertEqual(self.edited({"use": "request-headers", option: {"X-A": ["1", "2"]}}), lines)

    def test_valuesWithCommasAndOtherSigns(self) -> None:
        line = [(b"Cache-Control", b"no-cache, a=b:c")]
        self.assertEqual(self.edited(r"request-headers:set=Cache-Control=no-cache\\, a=b\:c"), line)
        self.assertEqual(self.edited({"use": "request-headers", "set": {"Cache-Control": "no-cache, a=b:c"}}), line)
        self.assertEqual(self.edited("request-headers:set=X-A="), [(b"X-A", b"")])

    def test_renameKeepsTheValues(self) -> None:
        written = "request-headers:rename=X-Old=X-New"
        self.assertEqual(
            self.edited(written, (b"x-old", b"1"), (b"X-New", b"client's"), (b"X-OLD", b"2")),
            [(b"X-New", b"1"), (b"X-New", b"2")],
        )
        self.assertEqual(self.edited(written, (b"X-New", b"1")), [(b"X-New", b"1")])

    def test_renameChangesTheSpellingOfAName(self) -> None:
        self.assertEqual(self.edited("request-headers:rename=X_Old=x-old", (b"X_Old", b"1")), [(b"x-old", b"1")])

    def test_theOrderOfTheEditsDoesNotDependOnTheirPlace(self) -> None:
        written = "request-headers:add=X-C=3:set=X-B=2:rename=X-A=X-B:remove=X-C"
        self.assertEqual(
            self.edited(written, (b"X-A", b"1"), (b"X-C", b"client's")), [(b"X-B", b"2"), (b"X-C", b"3")]
        )

    def test_removeAllThatBeginsSo(self) -> None:
        had = ((b"X-Auth-User", b"1"), (b"x_auth_role", b"2"), (b"X-Author", b"3"), (b"X-Auth-", b"4"))
        self.assertEqual(self.edited("request-headers:remove=X-Auth-*", *had), [(b"X-Author", b"3")])

    def test_noOtherSpellingGetsPast(self) -> None:
        had = ((b"X_User", b"eve"), (b"x-user", b"eve"), (b"X-Role", b"admin"), (b"X_Role", b"admin"))
        self.assertEqual(
            self.edited("request-headers:set=X-User=ann:remove=X-Role", *had), [(b"X-User", b"ann")]
        )

    def test_theClientsRequestIsNotTouched(self) -> None:
        request = asked(b"/", (b"X-A", b"1"))
        self.direct("request-headers:remove=X-A", request)
        self.assertEqual(request.headers.get(b"X-A"), b"1")

    def test_forwardingHeadersCanBeTakenOut(self) -> None:
        request = asked()
        self.direct("request-headers:remove=X-Forwarded-*,X-Real-IP", request)
        self.assertEqual(items(request.outbound.headers), [(b"Host", b"www.example")])

    def test_mistakes(self) -> None:
        self.refuses("request-headers", "request-headers: needs one of the options remove, rename, set, add")
        self.refuses("request-headers:set=X A=1", "request-headers: set: 'X A' is not the name of a header")
        self.refuses("request-headers:set=X-A", "request-headers: set: 'X-A' is not NAME=VALUE")
        self.refuses("request-headers:remove=*", "request-headers: remove: a star alone would remove all headers")
        options = "(its options: remove, rename, set, add)"
        self.refuses("request-headers:X-A", f"request-headers: takes no argument 'X-A' {options}")
        self.refuses("request-headers:delete=X-A", f"request-headers: has no option 'delete' {options}")
        self.refuses(
            {"use": "request-headers", "set": {"X-A": "a\r\nX-B: b"}},
            "request-headers: set: the value of X-A has a control character",
        )
        for option in ("set=Host=a", "add=host=a", "remove=HOST", "rename=X=Host", "rename=Host=X"):
            self.refuses(
                f"request-headers:{option}",
                "request-headers: Host is the business of the director 'host', as in host:www.example.com",
            )
        for name in ("Connection", "content-length", "Transfer_Encoding", "TE"):
            self.refuses(
                f"request-headers:set={name}=1",
                f"request-headers: set: {name} is the proxy's own: it frames the message or belongs to one connection",
            )

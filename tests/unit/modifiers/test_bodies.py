"""body-prefix and body-replace, as the client gets them."""

from __future__ import annotations

from typing import Any

from tests.unit.builtin import ModifierTestCase, answered, asked, built, items
from tests.unit.support import Message, ProxyTestCase, Script, answer, get, head
from twistproxy.interfaces import IResponseModifier

TEXT = b"Content-Type: text/plain"
HELLO = {"use": "body-prefix", "text": "hello "}


class BodyTestCase(ProxyTestCase):
    def gets(self, script: Script, *written: Any, request: bytes = get()) -> Message:
        """What a client gets through these modifiers."""
        self.proxy(script, modifiers=[built(IResponseModifier, each) for each in written])
        return self.answerTo(request)


class BodyPrefixTests(BodyTestCase):
    def test_lengthKept(self) -> None:
        message = self.gets(answer(b"world", TEXT), HELLO)
        self.assertEqual((message.code, message.body, message.get(b"content-length")), (200, b"hello world", b"11"))
        self.assertEqual(message.get(b"transfer-encoding"), None)

    def test_anEmptyBody(self) -> None:
        message = self.gets(answer(b"", TEXT), HELLO)
        self.assertEqual((message.body, message.get(b"content-length")), (b"hello ", b"6"))

    def test_ofUnknownLengthItStreams(self) -> None:
        begun = head(TEXT, b"Transfer-Encoding: chunked")
        self.proxy(lambda peer, _: peer.send(begun), modifiers=[built(IResponseModifier, HELLO)])
        client = self.ask(get())
        self.assertIn(b"Transfer-Encoding: chunked\r\n", client.take())
        self.send(self.origin.peer, b"5\r\nworld\r\n")
        self.assertEqual(client.take(), b"b\r\nhello world\r\n")
        self.send(self.origin.peer, b"1\r\n!\r\n0\r\n\r\n")
        self.assertEqual(client.take(), b"1\r\n!\r\n0\r\n\r\n")

    def test_unknownAndEmpty(self) -> None:
        self.assertEqual(self.gets(head(TEXT, b"Transfer-Encoding: chunked") + b"0\r\n\r\n", HELLO).body, b"hello ")

    def test_overTheLimitItStreams(self) -> None:
        message = self.gets(answer(b"x" * 100, TEXT), {**HELLO, "limit": 99})
        self.assertEqual((message.body, message.get(b"content-length")), (b"hello " + b"x" * 100, None))

    def test_upToTheLimitItIsHeld(self) -> None:
        self.assertEqual(self.gets(answer(b"x" * 100, TEXT), {**HELLO, "limit": 100}).get(b"content-length"), b"106")

    def test_oneBehindTheOther(self) -> None:
        other = {"use": "body-prefix", "text": "oh, "}
        message = self.gets(answer(b"world", TEXT), HELLO, other)
        self.assertEqual((message.body, message.get(b"content-length")), (b"oh, hello world", b"15"))

    def test_oneBehindTheOtherInAStream(self) -> None:
        other = {"use": "body-prefix", "text": "oh, "}
        self.assertEqual(self.gets(answer(b"x" * 9, TEXT), {**HELLO, "limit": 3}, other).body[:13], b"oh, hello xxx")

    def test_byStatus(self) -> None:
        for written, status, body in [
            ("200", b"200 OK", b"hello world"),
            ("200", b"404 Not Found", b"world"),
            ("!200", b"404 Not Found", b"hello world"),
            ("!200", b"200 OK", b"world"),
            ("4xx,500", b"500 No", b"hello world"),
        ]:
            modifier = built(IResponseModifier, {**HELLO, "status": written})
            response = answered(int(status[:3]), body=b"world")
            response.headers.setRawHeaders("Content-Length", [b"5"])
            result = modifier.modify(asked(), response)
            self.assertEqual(result is not None, body != b"world", (written, status))
            if result is not None:
                result.close()

    def test_headHasNoLength(self) -> None:
        message = self.gets(head(TEXT, b"Content-Length: 5", b'ETag: "a"'), HELLO, request=get(method=b"HEAD"))
        self.assertEqual((message.code, message.body, message.get(b"content-length")), (200, b"", None))
        self.assertEqual(message.get(b"etag"), b'W/"a"')

    def test_whereThereIsNoBody(self) -> None:
        for status in (b"204 No Content", b"304 Not Modified"):
            message = self.gets(head(TEXT, status=status), HELLO)
            self.assertEqual((message.code, message.body), (int(status[:3]), b""))
            self.tearDown()
            self.setUp()

    def test_whatIsTrueOfTheOldBytesGoes(self) -> None:
        lines = (b'ETag: "a"', b"Content-MD5: x", b"Digest: x", b"Repr-Digest: x", b"Accept-Ranges: bytes", b"X-Other: y")
        message = self.gets(answer(b"world", TEXT, *lines), HELLO)
        names = [name.lower() for name, _ in message.fields]
        self.assertEqual(sorted(names), [b"content-length", b"content-type", b"etag", b"x-other"])
        self.assertEqual(message.get(b"etag"), b'W/"a"')


class BodyReplaceTests(BodyTestCase):
    def test_wholly(self) -> None:
        message = self.gets(answer(b"old", TEXT), "body-replace:brand new")
        self.assertEqual((message.body, message.get(b"content-length")), (b"brand new", b"9"))

    def test_whollyWithoutWaitingForTheOld(self) -> None:
        message = self.gets(lambda peer, _: peer.send(head(TEXT, b"Content-Length: 10")), "body-replace:new:status=!404")
        self.assertEqual(message.body, b"new")

    def test_byPattern(self) -> None:
        written = r"body-replace:https\://$1.example:pattern=http\://(\\w+)\\.internal"
        body = b'<a href="http://app.internal/">http://db.internal http://x.intern</a>'
        message = self.gets(answer(body, b"Content-Type: text/html"), written)
        replaced = b'<a href="https://app.example/">https://db.example http://x.intern</a>'
        self.assertEqual((message.body, message.get(b"content-length")), (replaced, b"%d" % len(replaced)))

    def test_anotherCharset(self) -> None:
        message = self.gets(answer(b"caf\xe9 \xff", b"Content-Type: text/plain; charset=latin-1"), "body-replace:bar:pattern=caf")
        self.assertEqual(message.body, b"bar\xe9 \xff")

    def test_chunkedInPieces(self) -> None:
        self.network.segmentSize = 1
        message = self.gets(
            head(TEXT, b"Transfer-Encoding: chunked") + b"2\r\nfo\r\n1\r\no\r\n0\r\n\r\n", "body-replace:bar:pattern=foo"
        )
        self.assertEqual((message.body, message.get(b"content-length")), (b"bar", b"3"))

    def test_overTheLimitNothingGetsPast(self) -> None:
        message = self.gets(answer(b"secret " * 9, TEXT), "body-replace:x:pattern=secret:limit=62")
        self.assertEqual(message.code, 502)
        self.assertNotIn(b"secret", message.raw)
        self.assertEqual(self.accessLog.lines, [(502, "response_too_large")])

    def test_headHasNoLength(self) -> None:
        message = self.gets(head(TEXT, b"Content-Length: 5"), "body-replace:x:pattern=y", request=get(method=b"HEAD"))
        self.assertEqual((message.code, message.get(b"content-length")), (200, None))


class SelectionTests(ModifierTestCase):
    def changes(self, *headers: tuple[bytes, bytes], code: int = 200, types: Any = None) -> bool:
        table = {"use": "body-replace", "to": "x", **({} if types is None else {"types": types})}
        response = self.modify(table, asked(), answered(code, *headers, body=b"old"))
        return response.body.contents == b"x"

    def test_whatIsText(self) -> None:
        for kind in (
            b"text/plain", b"TEXT/HTML; charset=utf-8", b"application/json", b"application/problem+json", b"image/svg+xml",
            b"application/javascript;x", b"application/xhtml+xml",
        ):  # fmt: skip
            self.assertTrue(self.changes((b"Content-Type", kind)), kind)
        self.assertTrue(self.changes())

    def test_whatIsNot(self) -> None:
        for kind in (b"image/png", b"application/octet-stream", b"application/jsonp", b"text", b"", b"text/event-stream; x"):
            self.assertFalse(self.changes((b"Content-Type", kind)), kind)

    def test_namedTypes(self) -> None:
        self.assertTrue(self.changes((b"Content-Type", b"image/png"), types="image/*"))
        self.assertTrue(self.changes((b"Content-Type", b"Image/PNG"), types=["text", "image/png"]))
        self.assertTrue(self.changes((b"Content-Type", b"x/y"), types="*/*"))
        self.assertFalse(self.changes((b"Content-Type", b"text/html"), types="text/plain"))
        self.assertFalse(self.changes((b"Content-Type", b"text/event-stream"), types="*/*"))

    def test_notInAContentCoding(self) -> None:
        self.assertFalse(self.changes((b"Content-Encoding", b"gzip")))
        self.assertFalse(self.changes((b"Content-Encoding", b"identity"), (b"Content-Encoding", b"gzip")))
        for coding in (b"identity", b" Identity", b""):
            self.assertTrue(self.changes((b"Content-Encoding", coding)))

    def test_notAPart(self) -> None:
        self.assertFalse(self.changes((b"Content-Range", b"bytes 0-2/9"), code=206))

    def test_whatIsLeftAloneKeepsItsHeaders(self) -> None:
        headers = ((b"Content-Type", b"image/png"), (b"ETag", b'"a"'), (b"Digest", b"x"))
        response = answered(200, *headers, body=b"old")
        self.assertEqual(items(self.modify("body-replace:x", asked(), response).headers), list(headers))

    def test_mistakes(self) -> None:
        self.refuses("body-replace:x:types=html", "body-replace: types: 'html' is no content type such as text/html or text/*")
        self.refuses("body-replace:$1:pattern=a", "body-replace: '$1': there is no $1 (there is $0)")
        self.refuses("body-prefix:x:status=ok", "body-prefix: status: 'ok' is no status (want 404, 5xx, 400-499 or !200)")
        self.refuses("body-prefix", "body-prefix: needs the option 'text'")

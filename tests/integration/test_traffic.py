"""Requests and answers of every framing, through the proxy on real sockets."""

from __future__ import annotations

import hashlib
import random
import zlib

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.support.dialogue import Peer, settled
from tests.support.messages import CHUNKED, LAST_CHUNK, chunk, request, response
from tests.support.network import Hurried, Network


@pytest_twisted.ensureDeferred
async def test_requestAndAnswerPassWithTheirFields(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/a%2Fb?c=d&e", b"X-MiXed: Case", b"Cookie: a=b"))
    server, asked = await upstream.request()
    assert asked.head.line == b"GET /a%2Fb?c=d&e HTTP/1.1"
    assert (b"X-MiXed", b"Case") in asked.head.fields
    assert asked.head.get(b"host") == b"example.test"
    assert asked.head.get(b"x-forwarded-for") == b"127.0.0.1"
    assert asked.head.get(b"x-forwarded-proto") == b"http"
    assert asked.head.get(b"x-forwarded-host") == b"example.test"
    assert asked.head.all(b"connection") == asked.head.all(b"user-agent") == []
    server.write(response(b"hello", b"Set-Cookie: a=1", b"sET-cookie: b=2", status=b"203 As You Like It"))
    answer = await client.readMessage()
    assert answer.head.line == b"HTTP/1.1 203 As You Like It"
    assert answer.head.fields[:2] == [(b"Set-Cookie", b"a=1"), (b"sET-cookie", b"b=2")]
    assert answer.body == b"hello"
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_bothConnectionsAreKeptAndUsedAgain(network: Network) -> None:
    client, upstream = await network.chain()
    upstream.answer(response(b"again"))
    for number in range(20):
        client.write(request(b"/%d" % number))
        assert (await client.readMessage()).body == b"again"
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_manyClientsAtOnceGetTheirOwnAnswers(network: Network) -> None:
    upstream = await network.upstream()
    proxy = await network.proxy(upstream)

    async def serve(peer: Peer) -> None:
        while True:
            asked = await peer.readMessage()
            await deferLater(reactor, random.random() / 100)
            peer.write(response(asked.head.line.split()[1] + asked.body))

    upstream.handle(serve)
    clients = [await proxy.connect() for _ in range(50)]
    for turn in range(4):
        for number, client in enumerate(clients):
            client.write(request(b"/%d.%d" % (number, turn), method=b"POST", body=b"=" * number))
        for number, client in enumerate(clients):
            assert (await client.readMessage()).body == b"/%d.%d" % (number, turn) + b"=" * number
    assert len(upstream.connections) <= 50


@pytest_twisted.ensureDeferred
async def test_pipelinedRequestsAreAnsweredInOrder(network: Network) -> None:
    client, upstream = await network.chain()

    async def serve(peer: Peer) -> None:
        while True:
            asked = await peer.readMessage()
            await deferLater(reactor, random.random() / 100)
            peer.write(response(asked.head.line + asked.body))

    upstream.handle(serve)
    pipelined = [request(b"/1"), request(b"/2", method=b"POST", body=b"two"), request(b"/3", method=b"HEAD"), request(b"/4")]
    client.write(*pipelined)
    assert (await client.readMessage()).body == b"GET /1 HTTP/1.1"
    assert (await client.readMessage()).body == b"POST /2 HTTP/1.1two"
    assert (await client.readHead()).get(b"content-length") == b"16"
    assert (await client.readMessage()).body == b"GET /4 HTTP/1.1"


@pytest_twisted.ensureDeferred
async def test_whatIsReadAheadOfPipelinedRequestsIsBounded(network: Network) -> None:
    client, upstream = await network.chain()
    flood = request(b"/", b"X-Long: " + b"x" * 50000)
    client.write(request(b"/slow"))
    server, _ = await upstream.request()
    count = 640  # 32 MB: far more than the sockets on the way hold
    pouring = client.pour(flood, count)
    await settled(reactor, lambda: pouring.poured)
    assert not pouring.done, "the proxy read it all"

    async def answerAll() -> None:
        server.write(response(b"first"))
        for _ in range(count):
            await server.readMessage()
            server.write(response())

    network.spawn(answerAll())
    assert (await client.readMessage()).body == b"first"
    for _ in range(count):
        assert (await client.readMessage()).body == b""


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest_twisted.ensureDeferred
async def test_messagesPassHoweverTheirBytesAreCut(network: Network, size: int) -> None:
    client, upstream = await network.chain()
    for body in (b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"):
        await client.dribble(b"POST / HTTP/1.1\r\nHost: a\r\n" + body, size)
        server = upstream.connections[0] if upstream.connections else await upstream.accept()
        assert (await server.readMessage()).body == b"hello"
        await server.dribble(b"HTTP/1.1 200 OK\r\n" + body, size)
        assert (await client.readMessage()).body == b"hello"
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_chunksGoOnAtOnceInBothDirections(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", CHUNKED, method=b"POST"))
    client.write(chunk(b"one"))
    server = await upstream.accept()
    head = await server.readHead()
    assert head.get(b"transfer-encoding") == b"chunked"
    assert await server.readChunk() == b"one"
    client.write(chunk(b"two"))
    assert await server.readChunk() == b"two"
    server.write(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n\r\n")
    assert (await client.readHead()).get(b"transfer-encoding") == b"chunked"
    server.write(chunk(b"ONE"))
    assert await client.readChunk() == b"ONE"
    client.write(chunk(b"three"), LAST_CHUNK)
    assert await server.readChunk() == b"three"
    assert await server.readChunk() == b""
    assert await server.readTrailers() == []
    server.write(chunk(b"TWO"), LAST_CHUNK)
    assert await client.readChunk() == b"TWO"
    assert await client.readChunk() == b""


@pytest_twisted.ensureDeferred
async def test_eventStreamIsNotHeldBack(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/events", b"Accept: text/event-stream"))
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    head = await client.readHead()
    assert head.get(b"transfer-encoding") == b"chunked"
    for number in range(3):
        event = b"data: %d\n\n" % number
        server.write(event)
        assert await client.readChunk() == event
    server.close()
    assert await client.readChunk() == b""


@pytest_twisted.ensureDeferred
async def test_trailersPassInBothDirections(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", CHUNKED, b"Trailer: X-Sum", b"TE: trailers", b"Connection: TE", method=b"POST"))
    client.write(chunk(b"data"), b"0\r\nX-Sum: 1\r\nX-Unannounced: yes\r\nContent-Length: 9\r\n\r\n")
    server, asked = await upstream.request()
    assert asked.head.get(b"trailer") == b"X-Sum"
    assert asked.head.get(b"te") == b"trailers"
    assert asked.trailers == [(b"X-Sum", b"1"), (b"X-Unannounced", b"yes")]
    server.write(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n" + CHUNKED + b"\r\n\r\n" + chunk(b"DATA"))
    head = await client.readHead()
    assert head.get(b"trailer") == b"X-Sum"
    server.write(b"0\r\nX-Sum: 2\r\nX-Unannounced: YES\r\nTransfer-Encoding: x\r\n\r\n")
    assert await client.readBody(head) == (b"DATA", [(b"X-Sum", b"2"), (b"X-Unannounced", b"YES")])


@pytest_twisted.ensureDeferred
async def test_informationalAnswersPassAsTheyCome(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request())
    server, _ = await upstream.request()
    for code, links in ((b"103 Early Hints", 2), (b"102 Processing", 3)):
        fields = b"".join(b"Link: </%d>\r\n" % number for number in range(links))
        server.write(b"HTTP/1.1 " + code + b"\r\nConnection: X-Hop\r\nX-Hop: 1\r\n" + fields + b"\r\n")
        head = await client.readHead()
        assert head.line == b"HTTP/1.1 " + code
        assert len(head.all(b"link")) == len(head.fields) == links
    server.write(response(b"Hello", b"Link: </final>"))
    answer = await client.readMessage()
    assert (answer.head.all(b"link"), answer.body) == ([b"</final>"], b"Hello")


@pytest_twisted.ensureDeferred
async def test_continueGoesEndToEnd(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Expect: 100-continue", b"Content-Length: 4", method=b"PUT"))
    server = await upstream.accept()
    assert (await server.readHead()).get(b"expect") == b"100-continue"
    await client.silent()
    server.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (await client.readHead()).code == 100
    client.write(b"body")
    assert await server.read(4) == b"body"
    server.write(response(status=b"201 Created"))
    assert (await client.readMessage()).code == 201


@pytest_twisted.ensureDeferred
async def test_refusalInPlaceOfContinueEndsTheConnection(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Expect: 100-continue", b"Content-Length: 4", method=b"PUT"))
    server = await upstream.accept()
    await server.readHead()
    server.write(response(b"no", status=b"417 Expectation Failed"))
    answer = await client.readMessage()
    assert (answer.code, answer.head.get(b"connection")) == (417, b"close")
    await client.ended()


@pytest_twisted.ensureDeferred
async def test_clientThatWaitsForContinueIsNotLeftWaiting(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, expectContinueTimeout=0.1)
    client.write(request(b"/", b"Expect: 100-continue", b"Content-Length: 4", method=b"PUT"))
    server = await upstream.accept()
    await server.readHead()
    assert (await client.readHead()).code == 100
    client.write(b"body")
    assert await server.read(4) == b"body"
    server.write(response())
    assert (await client.readMessage()).code == 200


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest_twisted.ensureDeferred
async def test_answersWithoutABodyKeepTheConnection(network: Network, status: bytes) -> None:
    client, upstream = await network.chain()
    upstream.answer(b"HTTP/1.1 " + status + b'\r\nETag: "a"\r\n\r\n')
    for _ in range(3):
        client.write(request())
        answer = await client.readMessage()
        assert answer.head.line == b"HTTP/1.1 " + status
        assert answer.head.fields == [(b"ETag", b'"a"')]
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_headKeepsItsLengthAndHasNoBody(network: Network) -> None:
    client, upstream = await network.chain()

    async def serve(peer: Peer) -> None:
        while True:
            asked = await peer.readMessage()
            full = response(b"x" * 1234)
            peer.write(full if asked.head.line.startswith(b"GET") else full[:-1234])

    upstream.handle(serve)
    for _ in range(3):
        client.write(request(method=b"HEAD"))
        assert (await client.readHead()).get(b"content-length") == b"1234"
        client.write(request())
        assert len((await client.readMessage()).body) == 1234
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_http10ClientGetsItsAnswerUntilTheClose(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(minor=0))
    server, asked = await upstream.request()
    assert asked.head.line == b"GET / HTTP/1.1"
    server.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    server.write(b"HTTP/1.1 200 OK\r\n", CHUNKED, b"\r\n\r\n", chunk(b"old "), chunk(b"school"), LAST_CHUNK)
    head = await client.readHead()
    assert head.code == 200
    assert head.all(b"transfer-encoding") == head.all(b"content-length") == []
    assert await client.readToEnd() == b"old school"


@pytest_twisted.ensureDeferred
async def test_http10ClientMayKeepItsConnection(network: Network) -> None:
    client, upstream = await network.chain()
    upstream.answer(response(b"kept"))
    for _ in range(3):
        client.write(request(b"/", b"Connection: keep-alive", minor=0))
        answer = await client.readMessage()
        assert (answer.body, answer.head.get(b"connection")) == (b"kept", b"keep-alive")
    client.write(request(minor=0))
    assert (await client.readMessage()).body == b"kept"
    await client.ended()


@pytest_twisted.ensureDeferred
async def test_http10ClientWithoutHostIsServed(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(b"GET / HTTP/1.0\r\n\r\n")
    server, asked = await upstream.request()
    assert asked.head.get(b"host") == upstream.url.removeprefix("http://").encode()
    server.write(response(b"ok"))
    assert (await client.readMessage()).body == b"ok"


@pytest_twisted.ensureDeferred
async def test_closeIsHonouredOnEitherSide(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Connection: close"))
    server, asked = await upstream.request()
    assert asked.head.all(b"connection") == []
    server.write(response(b"bye", b"Connection: close"))
    answer = await client.readMessage()
    assert (answer.body, answer.head.get(b"connection")) == (b"bye", b"close")
    await client.ended()
    await server.ended()


@pytest_twisted.ensureDeferred
async def test_earlyAnswerReachesAClientThatStillSends(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Content-Length: 50000000", method=b"POST"), b"x" * 1000)
    server = await upstream.accept()
    await server.readHead()
    server.write(response(b"too much", status=b"413 Content Too Large"))
    client.write(b"x" * 20000)
    answer = await client.readMessage()
    assert (answer.code, answer.body, answer.head.get(b"connection")) == (413, b"too much", b"close")
    await client.ended()
    await server.gone()


@pytest_twisted.ensureDeferred
async def test_bodiesOfEveryFramingArriveWhole(network: Network) -> None:
    client, upstream = await network.chain()
    made = random.Random(1)
    size = 12 << 20
    data = made.randbytes(size)
    digest = hashlib.sha256(data).digest()
    pieces: list[bytes] = []
    at = 0
    while at < size:
        count = made.choice((1, 100, 5000, 70000, 1 << 20))
        pieces.append(data[at : at + count])
        at += count
    chunked = b"".join(map(chunk, pieces)) + LAST_CHUNK
    heads = b"Content-Length: %d\r\n\r\n" % size, CHUNKED + b"\r\n\r\n", b"\r\n"
    for head, payload in zip(heads, (data, chunked, data), strict=True):
        if head != b"\r\n":
            client.write(b"POST / HTTP/1.1\r\nHost: a\r\n", head, payload)
        else:
            client.write(request())
        server = upstream.connections[0] if upstream.connections else await upstream.accept()
        asked = await server.readMessage()
        if head != b"\r\n":
            assert hashlib.sha256(asked.body).digest() == digest
        server.write(b"HTTP/1.1 200 OK\r\n", head, payload)
        if head == b"\r\n":
            server.close()
        answer = await client.readMessage()
        assert hashlib.sha256(answer.body).digest() == digest
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_compressedBodiesAreNotTouched(network: Network) -> None:
    client, upstream = await network.chain()
    packed = zlib.compress(b"hello" * 1000)
    upstream.answer(response(packed, b"Content-Encoding: deflate", b"Vary: Accept-Encoding"))
    client.write(request(b"/", b"Accept-Encoding: deflate"))
    answer = await client.readMessage()
    assert (answer.body, answer.head.get(b"content-encoding")) == (packed, b"deflate")


@pytest_twisted.ensureDeferred
async def test_severalUpstreamsAreAskedInTurn(network: Network) -> None:
    upstreams = [await network.upstream() for _ in range(3)]
    for number, upstream in enumerate(upstreams):
        upstream.answer(response(b"%d" % number))
    client = await (await network.proxy(*upstreams)).connect()
    bodies = []
    for _ in range(9):
        client.write(request())
        bodies.append((await client.readMessage()).body)
    assert bodies == [b"0", b"1", b"2"] * 3

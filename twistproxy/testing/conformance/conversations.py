"""The conversations in which a plugin is tried. Each is a function of a stage; its docstring is its name in the report.

What a plugin does with a request is its own business: it may answer by itself, refuse, go elsewhere. What is asserted
holds for all of them: everybody gets an answer that is proper HTTP, in sequence, or the end of the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twistproxy.messages import HeadersLike
from twistproxy.testing import composing
from twistproxy.testing.client import Client, Tunnel
from twistproxy.testing.composing import BodyLike
from twistproxy.testing.conformance.stage import Stage
from twistproxy.testing.recorded import Answer
from twistproxy.testing.upstream import FakeUpstream

TEXT: Final = b"Lorem ipsum dolor sit amet.\n"
LONG: Final = TEXT * 40_000

Conversation = Callable[[Stage], None]


def _ask(stage: Stage, method: str = "GET", headers: HeadersLike = (), body: BodyLike = b"") -> Answer:
    """Ask on a connection of its own, and see it answered to the end."""
    client = stage.harness.connect()
    answer = client.request(method, stage.path, stage.all(headers), body)
    stage.end(client)
    if not answer.isComplete:
        raise AssertionError(f"the answer to {method} is cut off: {answer!r}, {answer.raw[-200:]!r}")
    return answer


def _askAgain(stage: Stage) -> None:
    """The connection of the newest client is still good for another request, or closed."""
    client = stage.harness.clients[-1]
    if client.isIdle:
        client.request("GET", stage.path, stage.all())
        stage.end(client)
        if not client.answers[-1].isComplete:
            raise AssertionError(f"the next request on the same connection is not answered: {client.received[-300:]!r}")


def get(stage: Stage) -> None:
    """GET"""
    stage.play(FakeUpstream(200, {"Content-Type": "text/plain", "ETag": '"1"'}, TEXT))
    _ask(stage)
    _askAgain(stage)


def getChunked(stage: Stage) -> None:
    """GET, answered in chunks and with trailers"""
    stage.play(FakeUpstream().respond(200, {"Content-Type": "text/html", "Trailer": "X-T"}, [TEXT, b"x", TEXT], {"X-T": "1"}))
    _ask(stage, headers={"TE": "trailers"})
    _askAgain(stage)


def getUntilClose(stage: Stage) -> None:
    """GET, answered until the connection is closed"""
    stage.play(FakeUpstream().raw(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + TEXT, close=True))
    _ask(stage)


def getStatuses(stage: Stage) -> None:
    """GET, answered 301, 404, 500 and 503"""
    upstream = FakeUpstream()
    stage.play(upstream)
    for code in (301, 404, 500, 503):
        upstream.respond(code, {"Location": "/there", "Set-Cookie": "a=b; Path=/"}, TEXT)
        _ask(stage)


def getOld(stage: Stage) -> None:
    """GET of HTTP/1.0"""
    stage.play(FakeUpstream(200, (), TEXT))
    client = stage.harness.connect()
    client.raw(composing.request("GET", stage.path, stage.all(), version="1.0"))
    stage.end(client)
    if not client.isEnded or not client.answers[0].isComplete:
        raise AssertionError(f"it is not answered: {client.received!r}")


def head(stage: Stage) -> None:
    """HEAD"""
    stage.play(FakeUpstream(200, {"Content-Type": "text/plain"}, TEXT))
    _ask(stage, "HEAD")
    _askAgain(stage)


def notModified(stage: Stage) -> None:
    """304"""
    stage.play(FakeUpstream().respond(304, {"ETag": '"1"', "Content-Length": str(len(TEXT))}).respond(200, (), TEXT))
    _ask(stage, headers={"If-None-Match": '"1"'})
    _askAgain(stage)


def noContent(stage: Stage) -> None:
    """204"""
    stage.play(FakeUpstream().respond(204).respond(200, (), TEXT))
    _ask(stage, "DELETE")
    _askAgain(stage)


def post(stage: Stage) -> None:
    """POST, streamed"""
    stage.play(FakeUpstream(200, (), TEXT))
    _upload(stage, {"Content-Length": str(len(TEXT))}, [TEXT[:10], TEXT[10:11], TEXT[11:]])
    _askAgain(stage)
    coded = composing.chunk(TEXT) + composing.chunk(b"x") + b"0\r\nX-T: 1\r\n\r\n"
    _upload(stage, {"Transfer-Encoding": "chunked"}, [coded[:3], coded[3:50], coded[50:]])
    _askAgain(stage)


def _upload(stage: Stage, headers: HeadersLike, pieces: list[bytes]) -> Client:
    client = stage.harness.connect()
    client.raw(composing.request("POST", stage.path, stage.all(headers)))
    for piece in pieces:
        stage.harness.advance(1)
        if client.answers[0].isComplete or client.isEnded:
            break  # answered early
        client.raw(piece)
    stage.end(client)
    if not client.answers[0].isComplete:
        raise AssertionError(f"the answer to POST is cut off: {client.received!r}")
    return client


def postLong(stage: Stage) -> None:
    """POST and answer of a megabyte"""
    stage.play(FakeUpstream(200, {"Content-Type": "text/plain"}, LONG))
    client = stage.harness.connect()
    answer = client.request("POST", stage.path, stage.all(), LONG)
    stage.end(client)
    if not answer.isComplete and not client.isEnded:
        raise AssertionError(f"the answer to POST does not end: {answer!r}")


def expectContinue(stage: Stage) -> None:
    """POST that waits for a 100"""
    stage.play(FakeUpstream().inform(100).respond(200, (), TEXT))
    client = stage.harness.connect()
    client.raw(composing.request("POST", stage.path, stage.all({"Expect": "100-continue", "Content-Length": "5"})))
    answer = client.answers[0]
    stage.waitUntil(lambda: bool(answer.informational or answer.status) or client.isEnded, "neither 100 nor an answer came")
    if answer.informational:
        client.raw(b"hello")
    stage.end(client)


def informational(stage: Stage) -> None:
    """103 before the answer"""
    stage.play(FakeUpstream().inform(103, {"Link": "</a.css>"}).wait(1).respond(200, (), TEXT))
    _ask(stage)
    _askAgain(stage)


def events(stage: Stage) -> None:
    """Server-sent events"""
    stage.play(FakeUpstream().events(["one", "two", "three"], every=2.0))
    _ask(stage, headers={"Accept": "text/event-stream"})


def pipelined(stage: Stage) -> None:
    """Three requests at once on one connection"""
    stage.play(FakeUpstream(200, (), TEXT))
    client = stage.harness.connect()
    client.raw(b"".join(composing.request(each, stage.path, stage.all()) for each in ("GET", "HEAD", "GET")))
    stage.end(client)
    if not client.isEnded and len(client.answers) != 3:
        raise AssertionError(f"three requests got {len(client.answers)} answers")


def slowClient(stage: Stage) -> None:
    """A client that takes nothing for a while"""
    stage.play(FakeUpstream(200, {"Content-Type": "text/plain"}, LONG))
    client = stage.harness.stallClient()
    answer = client.request("GET", stage.path, stage.all())
    stage.harness.advance(10)
    client.resume()
    stage.end(client)
    if not answer.isComplete:
        raise AssertionError(f"its answer is cut off: {answer!r}")


def upgrade(stage: Stage) -> None:
    """Upgrade to a WebSocket"""
    stage.play(FakeUpstream().upgrade(greeting=b"welcome "))
    tunnel = stage.harness.websocket(stage.path, stage.headers)
    _useTunnel(stage, tunnel)
    tunnel = stage.harness.websocket(stage.path, stage.headers)
    tunnel.abort()


def _useTunnel(stage: Stage, tunnel: Tunnel) -> None:
    stage.waitUntil(lambda: bool(tunnel.answer.status) or tunnel.client.isEnded, "the upgrade is not answered")
    if not tunnel.isOpen:
        stage.end(tunnel.client)
        return
    tunnel.send(b"ping")
    stage.harness.advance(1)
    if tunnel.received != b"welcome ping":
        raise AssertionError(f"after the 101 the tunnel does not carry what it should: {tunnel.received!r}")
    tunnel.halfClose()
    stage.waitUntil(lambda: tunnel.client.isEnded, "a tunnel does not end when its client closes it")


def upgradeRefused(stage: Stage) -> None:
    """Upgrade that the upstream refuses"""
    stage.play(FakeUpstream(403, (), TEXT))
    tunnel = stage.harness.websocket(stage.path, stage.headers)
    stage.end(tunnel.client)
    if tunnel.answer.status == 101:
        raise AssertionError("an upgrade that the upstream refused became a 101")


def clientLeaves(stage: Stage) -> None:
    """A client that leaves: while it waits, in its request, in its answer"""
    upstream = FakeUpstream().stall()
    harness = stage.play(upstream)
    client = harness.connect()
    client.request("GET", stage.path, stage.all())
    client.abort()
    harness.advance(1)
    client = harness.connect()
    client.raw(composing.request("POST", stage.path, stage.all({"Content-Length": "1000"})) + b"some of it")
    client.abort()
    harness.advance(1)
    upstream.respond(200, {"Content-Type": "text/plain"}, LONG)
    client = harness.stallClient()
    client.request("GET", stage.path, stage.all())
    client.abort()
    harness.advance(1)
    if harness.engine.inFlight:
        raise AssertionError(f"{harness.engine.inFlight} exchanges are under way though all clients have left")


def upstreamRefuses(stage: Stage) -> None:
    """An upstream that takes no connections"""
    stage.play(FakeUpstream()).upstream.refuse()
    _ask(stage)
    _ask(stage, "POST", body=TEXT)
    _ask(stage, "HEAD")


def upstreamAborts(stage: Stage) -> None:
    """An upstream that breaks off: before its answer, in the head, in the body"""
    whole = {"Content-Type": "text/plain"}
    for count in (0, 20):
        stage.play(FakeUpstream(200, whole, LONG).resetAfter(count))
        _ask(stage)
        _ask(stage, "POST", body=TEXT)
        stage.close()
    for upstream in (
        FakeUpstream(200, whole, LONG).resetAfter(100_000),
        FakeUpstream(200, whole, LONG).closeAfter(100_000),
        FakeUpstream().closeMidChunk(whole, [TEXT]),
    ):
        client = stage.play(upstream).connect()
        answer = client.request("GET", stage.path, stage.all())
        stage.end(client)
        if answer.isComplete and answer.body and answer.status == 200 and (LONG.startswith(answer.body) or TEXT in answer.body):
            raise AssertionError(f"{len(answer.body)} bytes of a longer answer that broke off are passed off as the whole")
        stage.close()


def upstreamStalls(stage: Stage) -> None:
    """An upstream that never answers"""
    stage.play(FakeUpstream().stall())
    _ask(stage)


CONVERSATIONS: Final[tuple[Conversation, ...]] = (
    get, getChunked, getUntilClose, getStatuses, getOld, head, notModified, noContent, post, postLong, expectContinue,
    informational, events, pipelined, slowClient, upgrade, upgradeRefused, clientLeaves, upstreamRefuses, upstreamAborts,
    upstreamStalls,
)  # fmt: skip
"""All of them."""

IN_SINGLE_BYTES: Final[tuple[Conversation, ...]] = (get, getChunked, head, notModified, post, expectContinue, upgrade)
"""Those that are had again with segments of one byte."""

"""A client of the proxy in the hands of a test. What it does happens at once: the network is pumped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twistproxy.messages import HeadersLike
from twistproxy.testing import composing
from twistproxy.testing.composing import BodyLike
from twistproxy.testing.framing import Malformed
from twistproxy.testing.peers import RawClient, RawPeer
from twistproxy.testing.reading import AnswerReader, RequestReader
from twistproxy.testing.recorded import Answer, RecordedRequest


class Client:
    """One connection to the proxy, which carries one request after the other."""

    answers: list[Answer]
    """What it got, and still waits for, in the order of its requests."""

    peer: RawClient
    """The connection below."""

    def __init__(self, peer: RawClient, pump: Callable[[], object]) -> None:
        """
        @param pump: lets everything happen that can happen.
        """
        self.peer = peer
        self.answers = []
        self._pump = pump
        self._waiting: deque[Answer] = deque()
        self._asked = RequestReader(self._requestSent)
        self._reader = AnswerReader(self._nextAnswer)
        peer.onData = self._received
        peer.onEnd = self._ended

    # Sending.

    def request(self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), body: BodyLike = b"") -> Answer:
        """Send a request; the headers are sent as they are, with the body's framing added.

        @return: the answer, as far as it came; it goes on growing while the network is pumped.
        @raise Malformed: when that is no request; C{raw} sends anything.
        """
        data = composing.request(method, path, headers, body)
        self._asked.receive(data)
        if self._asked.problem is not None:
            raise self._asked.problem
        answer = self.answers[-1]
        self._send(data)
        return answer

    def raw(self, data: bytes) -> bytes:
        """Send bytes, whatever they are; several requests, or a part of one.

        @return: what came since the last time.
        """
        if self._asked.problem is None and not self._reader.isTunnel:
            self._asked.receive(data)
        self._send(data)
        return self.take()

    def _send(self, data: bytes) -> None:
        self.peer.send(data)
        self._pump()

    def halfClose(self) -> None:
        """Send no more."""
        self.peer.halfClose()
        self._pump()

    def close(self) -> None:
        """Close the connection."""
        self.peer.close()
        self._pump()

    def abort(self) -> None:
        """Go, by a reset."""
        self.peer.abort()
        self._pump()

    # Receiving.

    @property
    def received(self) -> bytes:
        """Every byte that came."""
        return self.peer.received

    def take(self) -> bytes:
        """What came since the last time."""
        return self.peer.take()

    @property
    def tunneled(self) -> bytes:
        """What came behind a 101."""
        return bytes(self._reader.rest)

    def stall(self) -> None:
        """Take nothing from now on."""
        self.peer.pause()
        self._pump()

    def resume(self) -> None:
        """Take everything again."""
        self.peer.resume()
        self._pump()

    @property
    def isEnded(self) -> bool:
        """Whether the proxy has closed the connection, by whatever means."""
        return self.peer.eof or self.peer.closed is not None

    @property
    def wasReset(self) -> bool:
        """Whether the connection ended, but was not closed properly."""
        return self.peer.closed is not None and not self.peer.eof

    @property
    def isIdle(self) -> bool:
        """Whether a further request can be sent: the connection is there, and all that was asked for has come."""
        return not self.isEnded and not self._reader.isTunnel and all(each.isComplete for each in self.answers)

    @property
    def problem(self) -> Malformed | None:
        """What came that was no HTTP; None as long as nothing did."""
        return self._reader.problem

    # From the connection.

    def _requestSent(self, request: RecordedRequest) -> None:
        answer = Answer(request.method)
        self._waiting.append(answer)
        self.answers.append(answer)

    def _nextAnswer(self) -> Answer:
        if self._waiting:
            return self._waiting.popleft()
        # To what was no request, or to none.
        answer = Answer()
        self.answers.append(answer)
        return answer

    def _received(self, peer: RawPeer, data: bytes) -> None:
        self._reader.receive(data)

    def _ended(self, peer: RawPeer) -> None:
        if peer.eof:
            self._reader.end()
        for answer in self.answers:
            answer.isTruncated = not answer.isComplete

    def __repr__(self) -> str:
        return f"<Client {self.peer!r}, {len(self.answers)} answers>"


class Tunnel:
    """What a client's connection becomes when it asks for an upgrade."""

    answer: Answer
    """The 101, or what the proxy said in its place."""

    client: Client
    """The connection."""

    def __init__(self, client: Client, answer: Answer) -> None:
        self.client = client
        self.answer = answer
        self._taken = 0

    @property
    def isOpen(self) -> bool:
        """Whether bytes go through, as far as the client can tell."""
        return self.answer.status == 101 and not self.client.isEnded

    def send(self, data: bytes) -> bytes:
        """Send bytes through the tunnel.

        @return: what came through since the last time.
        """
        self.client.raw(data)
        return self.take()

    @property
    def received(self) -> bytes:
        """Every byte that came through."""
        return self.client.tunneled

    def take(self) -> bytes:
        """What came through since the last time."""
        new = self.received[self._taken :]
        self._taken += len(new)
        return new

    def halfClose(self) -> None:
        """Send no more."""
        self.client.halfClose()

    def close(self) -> None:
        """Close it."""
        self.client.close()

    def abort(self) -> None:
        """Go, by a reset."""
        self.client.abort()

    def __repr__(self) -> str:
        return f"<Tunnel {self.answer.status}, {'open' if self.isOpen else 'closed'}, {len(self.received)} bytes received>"

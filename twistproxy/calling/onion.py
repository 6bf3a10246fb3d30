"""The middleware around one exchange: C{proceed} at most once each, and an answer within the time limit.

The limit is on a middleware's own time: while what is inside runs, upstreams have limits of their own.

Most middleware decides beforehand, and returns what C{proceed} gave it. Such a layer costs its call and no more: all
that pass hand the same Deferred outwards, and nobody looks at it on its way back. When all of them pass, the answer goes
to the client as if there were none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.calling.hooks import asDeferred, describeFailure, isPending, nameOf
from twistproxy.errors import DIRECTOR_ERROR, INTERNAL, ProxyError
from twistproxy.messages import InboundRequest, Response
from twistproxy.sweep import NEVER, Sweeper

_log: Final = Logger(namespace="twistproxy.error")


class Core(Protocol):
    """The exchange that the middleware is around."""

    inbound: InboundRequest
    error: ProxyError | None

    @property
    def isOver(self) -> bool:
        """Whether nothing of it is wanted any more."""

    def proceed(self) -> None:
        """All middleware has let it through: answer by L{Onion.answered} or L{Onion.failed}."""

    def proceedingCancelled(self) -> None:
        """The middleware has lost its patience."""

    def surrounded(self, result: Response | Failure) -> None:
        """What came out at last."""


class _Proceeding(Deferred[Response]):
    """What the core will answer; knows whether anybody has added to it.

    @ivar additions: how many callbacks were added.
    @ivar isOver: whether the exchange has ended before it was told anything, as nobody listened.
    """

    additions = 0
    isOver = False

    def addCallbacks(self, *arguments: Any, **keywords: Any) -> Any:
        self._added()
        return super().addCallbacks(*arguments, **keywords)

    def addCallback(self, *arguments: Any, **keywords: Any) -> Any:
        self._added()
        return super().addCallback(*arguments, **keywords)

    def addErrback(self, *arguments: Any, **keywords: Any) -> Any:
        self._added()
        return super().addErrback(*arguments, **keywords)

    def addBoth(self, callback: Any, *arguments: Any, **keywords: Any) -> Any:
        self._added()
        return super().addBoth(callback, *arguments, **keywords)

    def _added(self) -> None:
        self.additions += 1
        if self.isOver and not self.called:
            self.errback(ProxyError(INTERNAL, "the exchange is over"))


class Onion:
    """All layers of one exchange. It must be released when the exchange is over.

    @ivar sweeper: looks at the layers' deadlines.
    @ivar limit: seconds that each layer may take.
    """

    _proceeding: _Proceeding | None = None  # what the innermost layer waits for
    _whole: Deferred[Any] | None = None
    _innermost: _Layer | None = None
    _response: Response | None = None  # the core's
    _hasPassed = False  # all layers are through with it: the core's answer is the answer

    def __init__(self, core: Core, middleware: Sequence[Any], sweeper: Sweeper, limit: float) -> None:
        self.core = core
        self.middleware = middleware
        self.sweeper = sweeper
        self.limit = limit

    def run(self) -> None:
        """Call the first, and through it the others."""
        whole = self.enter(0, None)
        if type(whole) is _Proceeding and not whole.additions and not whole.called:
            self._hasPassed = True
        else:
            self._whole = whole
            whole.addBoth(self.core.surrounded)

    def enter(self, index: int, outside: _Layer | None) -> Deferred[Response]:
        """Run the layer of that number, or the core inside of all.

        @param outside: the layer that proceeds to it.
        """
        core = self.core
        if core.isOver:
            return fail(core.error or ProxyError(INTERNAL, "proceed was called after the exchange was over"))
        if index < len(self.middleware):
            return _Layer(self, index, outside).run()
        self._innermost = outside
        self._proceeding = proceeding = _Proceeding(self._cancelled)
        core.proceed()
        return proceeding

    def _cancelled(self, proceeding: Deferred[Response]) -> None:
        self.core.proceedingCancelled()

    @property
    def seesAnswers(self) -> bool:
        """Whether any middleware waits for the core's answer, or has said whom to ask instead of some; if none, it may go to
        the client as it comes."""
        proceeding = self._proceeding
        return not self._hasPassed or proceeding is None or proceeding.additions != 0 or self.core.inbound.standIn is not None

    @property
    def isWaiting(self) -> bool:
        """Whether middleware waits for the core's answer."""
        return self._proceeding is not None and not self._proceeding.called

    def answered(self, response: Response) -> None:
        """The core has an answer, for which L{isWaiting}."""
        proceeding = self._proceeding
        assert proceeding is not None
        if self._hasPassed:
            proceeding.callback(response)  # for whoever kept it, against the custom
            self.core.surrounded(response)
            return
        self._response = response
        if self._innermost is not None:
            self._innermost.cameBack()
        proceeding.callback(response)

    @property
    def isReading(self) -> bool:
        """Whether a body is being read, the request's or the answer's: for how it comes there are limits of their own."""
        response = self._response
        return self.core.inbound.body.isBeingRead or (response is not None and response.body.isBeingRead)

    def failed(self, error: ProxyError) -> None:
        """The core has failed; L{isWaiting}."""
        proceeding = self._proceeding
        assert proceeding is not None
        if self._hasPassed:
            proceeding.errback(error)
            proceeding.addErrback(_drop)
            self.core.surrounded(Failure(error))
            return
        if self._innermost is not None:
            self._innermost.cameBack()
        proceeding.errback(error)

    def release(self, error: ProxyError | None) -> None:
        """The exchange is over, and nobody waits for any layer: those that still wait for something learn it."""
        proceeding, whole = self._proceeding, self._whole
        if proceeding is not None and not proceeding.called:
            if not proceeding.additions:
                proceeding.isOver = True
            else:
                proceeding.errback(error or ProxyError(INTERNAL, "the exchange is over"))
                proceeding.addErrback(_drop)  # if nobody listens any more
        if whole is not None:
            whole.cancel()
        self._proceeding = self._whole = self._innermost = self._response = None


def _drop(failure: Failure) -> None:
    """Nobody is left whom it concerns."""


class _Layer:
    """One call of C{around}.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    deadline = NEVER
    _inner: Deferred[Response] | None = None  # what proceed returned
    _additions = 0  # to it, when it was returned
    _hasProceeded = _isInside = _isLate = _isDone = _hasPassed = False
    _waiting: Deferred[Any] | None = None

    def __init__(self, onion: Onion, index: int, outside: _Layer | None) -> None:
        self._onion = onion
        self._index = index
        self._outside = outside

    def run(self) -> Deferred[Response]:
        """Call it."""
        onion = self._onion
        try:
            result = onion.middleware[self._index].around(onion.core.inbound, self.proceed)
        except Exception:
            return self._over(self._failed(Failure()))
        inner = self._inner
        if result is inner and type(inner) is _Proceeding and inner.additions == self._additions and not inner.called:
            self._hasPassed = True
            return inner
        if not isPending(result):
            return self._over(self._checked(result))
        self._waiting = waiting = asDeferred(result)
        if not self._isInside:
            self._expectAnswer()
        return waiting.addBoth(self._settled)

    def proceed(self) -> Deferred[Response]:
        """What plugins call."""
        if self._hasProceeded:
            raise RuntimeError("proceed may be called once")
        self._hasProceeded = self._isInside = True
        self._forgetDeadline()
        self._inner = inner = self._onion.enter(self._index + 1, self)
        if inner.called:
            self._isInside = False
        elif type(inner) is _Proceeding:
            self._additions = inner.additions
        return inner

    def cameBack(self) -> None:
        """What is inside has answered: from now on the time is this layer's, or that of one outside if it just passes."""
        layer: _Layer | None = self
        while layer is not None and layer._hasPassed:
            layer = layer._outside
        if layer is not None:
            layer._isInside = False
            if layer._waiting is not None and not layer._isDone:
                layer._expectAnswer()

    def _expectAnswer(self) -> None:
        self.deadline = self._onion.sweeper.after(self._onion.limit)
        self._onion.sweeper.watch(self)

    def _forgetDeadline(self) -> None:
        if self.deadline != NEVER:
            self.deadline = NEVER
            self._onion.sweeper.forget(self)

    def deadlinePassed(self) -> None:
        """It took too long, unless it reads a body."""
        self._forgetDeadline()
        if self._onion.isReading:
            self._expectAnswer()
            return
        self._isLate = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _over(self, result: Response | Failure) -> Deferred[Response]:
        """It answered at once."""
        self._isDone = True
        return fail(result) if isinstance(result, Failure) else succeed(result)

    def _settled(self, result: Any) -> Response | Failure:
        self._isDone = True
        self._waiting = self._inner = None  # whose results lead back to here
        self._forgetDeadline()
        if self._outside is not None:
            self._outside.cameBack()
        return self._failed(result) if isinstance(result, Failure) else self._checked(result)

    def _checked(self, response: Any) -> Response | Failure:
        if isinstance(response, Response):
            return response
        return self._failed(Failure(TypeError(f"around returned a {type(response).__name__}, not a Response")))

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, ProxyError) or (failure.check(CancelledError) and not self._isLate):
            return failure  # an error with a status of its own; or the exchange is over
        name = nameOf(self._onion.middleware[self._index])
        detail = "it did not answer in time" if self._isLate else describeFailure(failure)
        _log.failure(
            "Plugin {plugin} failed in {hook}: {detail} (request {request})",
            failure, plugin=name, hook="around", detail=detail, request=self._onion.core.inbound.id,
        )  # fmt: skip
        return Failure(ProxyError(DIRECTOR_ERROR, f"{name}.around: {detail}"))


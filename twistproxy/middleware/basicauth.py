"""Who may come, by name and password."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from twistproxy.errors import FORBIDDEN, UNAUTHORIZED, ProxyError
from twistproxy.headeredits import OwnHeaders, checkedNames
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.networks import clientNetwork
from twistproxy.messages import USER, InboundRequest, Response
from twistproxy.permissions.users import Users, credentialsOf, newPlaces

_AUTHORIZATION: Final = b"authorization"

_places: Final[WeakKeyDictionary[Any, DeferredSemaphore]] = WeakKeyDictionary()
"""Where passwords are hashed, by reactor, whose threads they share with all other routes and with look-ups of names."""


@implementer(IMiddleware)
class BasicAuth:
    """Let those in who give a name and its password (RFC 7617), as basic-auth:users:header=X-User; others get a 401.

    Passwords are compared in threads, and what was right is remembered for five minutes. The file is read again when it
    changes. The name stands in C{request.user} and in the access log.
    """

    def __init__(
        self,
        file: Path,
        *,
        realm: str = "restricted",
        allow: Sequence[str] = (),
        header: str = "",
        passOn: bool = False,
        context: Any = None,
    ) -> None:
        """
        @param file: lines C{name:hash} as htpasswd writes them, with hashes of bcrypt or apr1.
        @param realm: what browsers show to those who are asked.
        @param allow: who of the users may pass; others of them get a 403. By default all may.
        @param header: in which the upstream gets the name; what a client says there is removed.
        @param passOn: whether the upstream gets Authorization too, and with it the password.
        @raise ValueError: with a sentence for the person who wrote it.
        @raise ConfigurationError: about the file.
        """
        if not realm.isascii() or not realm.isprintable() or '"' in realm or "\\" in realm:
            raise ValueError("realm is printable ASCII without quotes and backslashes")
        checkedNames("header", [header] if header else [])
        self._own = OwnHeaders([header] if header else [])
        self._challenge = [("WWW-Authenticate", f'Basic realm="{realm}", charset="UTF-8"')]
        self._allowed = frozenset(allow)
        self._header = header
        self._passesOn = passOn
        reactor = context.reactor

        def run(function: Callable[..., bool], *arguments: Any) -> Deferred[bool]:
            made: Deferred[bool] = deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)
            return made

        self._users = Users(str(file), run, reactor.seconds, _places.setdefault(reactor, newPlaces()))

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        given = request.headers.getRawHeaders(_AUTHORIZATION) or []
        credentials = credentialsOf(given[0]) if len(given) == 1 else None
        if credentials is None:
            raise ProxyError(UNAUTHORIZED, "basic-auth: no name and password", self._challenge)
        name, password = credentials
        if not self._users.isKnown(name, password):
            return self._check(request, proceed, name, password)
        self._enter(request, name)
        return proceed()

    async def _check(self, request: InboundRequest, proceed: Callable[[], Any], name: str, password: bytes) -> Response:
        if not await self._users.check(name, password, clientNetwork(request.client.host)):
            raise ProxyError(UNAUTHORIZED, f"basic-auth: a wrong name or password for {name[:100]!r}", self._challenge)
        self._enter(request, name)
        response: Response = await proceed()
        return response

    def _enter(self, request: InboundRequest, name: str) -> None:
        request.state[USER] = name
        if self._allowed and name not in self._allowed:
            raise ProxyError(FORBIDDEN, f"basic-auth: {name!r} may not pass here")
        headers = request.outbound.headers
        if not self._passesOn:
            headers.removeHeader(_AUTHORIZATION)
        self._own.take(request)
        if self._header:
            headers.setRawHeaders(self._header, [name])

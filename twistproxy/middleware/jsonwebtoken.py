"""Who may pass, by JSON Web Tokens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from zope.interface import implementer

from twistproxy.errors import AUTH_UNAVAILABLE, BAD_REQUEST, FORBIDDEN, UNAUTHORIZED, ProxyError
from twistproxy.headeredits import OwnHeaders, checkedNames
from twistproxy.interfaces import IMiddleware
from twistproxy.keys import keyFrom
from twistproxy.messages import USER, InboundRequest, Response
from twistproxy.permissions.fetching import authoritiesIn, fetch, isDocumentURL
from twistproxy.plugin import Duration
from twistproxy.text.secret import Secret

_MAX_BYTES: Final = 1 << 20
"""Longest JWK set."""

_COOLDOWN: Final = 30.0
"""Seconds between loads for the sake of unknown key ids."""


@implementer(IMiddleware)
class JSONWebToken(Service):
    """Let requests with a good JSON Web Token pass, as jwt:jwks=https\\://login.example/jwks.json:algorithms=RS256. It stands
    behind Authorization: Bearer, or in a cookie. Needs PyJWT: pip install "twistproxy[jwt]".

    Others get a 401 that says in WWW-Authenticate what is wrong (RFC 6750), or a 403 when a scope or a claim's value is missing.
    A token with an audience is good only for audience. What C{set} names is taken out of the client's request first, in every
    spelling.
    """

    def __init__(
        self,
        algorithms: Sequence[str],
        key: Secret | None = None,
        jwks: str = "",
        issuer: Sequence[str] = (),
        audience: Sequence[str] = (),
        require: Sequence[str] = ("exp",),
        scope: Sequence[str] = (),
        claims: Mapping[str, str] | None = None,
        set: Mapping[str, str] | None = None,
        user: str = "sub",
        cookie: str = "",
        leeway: Duration = 10.0,
        lifetime: Duration = 3600.0,
        stale: Duration = 86400.0,
        timeout: Duration = 5.0,
        realm: str = "api",
        *,
        ca: Path | None = None,
        optional: bool = False,
        passOn: bool = True,
        context: Any = None,
    ) -> None:
        """
        @param algorithms: those that are believed, such as RS256,ES256; never what only the token says.
        @param key: the secret (HS256 and the like, file:PATH for a file), or the public key as PEM.
        @param jwks: or a JWK set: a file, or a URL at which it is.
        @param issuer: who must have made the token (iss): one of these.
        @param audience: for whom it must be (aud): one of these.
        @param require: claims that it must have.
        @param scope: scopes that it must have, all of them.
        @param claims: values that claims must have, or have among others, all of them, as realm_access.roles=admin.
        @param set: headers for the upstream by claims, as X-User=sub,X-Roles=realm_access.roles.
        @param user: the claim that names the user in access logs.
        @param cookie: where the token may be as well.
        @param leeway: by how much clocks may differ.
        @param lifetime: after which a JWK set is loaded again; also when a token names a key that it lacks.
        @param stale: after which its keys are not used any more, if it could not be loaded again.
        @param timeout: for loading it.
        @param realm: that clients are told.
        @param ca: a PEM file with the authorities that may say who its server is; by default those of the platform.
        @param optional: whether requests without any token pass too; bad ones never do.
        @param passOn: whether the upstream gets the Authorization header.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        try:
            from twistproxy.permissions.jsonwebtokens import (
                Judge,
                KeySet,
                checkAlgorithms,
                checkScope,
                claimText,
                hasClaim,
                scopesOf,
            )
            from twistproxy.permissions.keycache import KeyCache
        except ImportError:
            raise ValueError('PyJWT is not installed: pip install "twistproxy[jwt]"') from None
        checkAlgorithms(algorithms)
        checkScope(scope)
        if (key is None) == (not jwks):
            raise ValueError("needs one of the options key and jwks")
        if '"' in realm or "\\" in realm or not (realm.isascii() and realm.isprintable()):
            raise ValueError("realm: has a character that it cannot")
        self._judge = Judge(algorithms, issuer, audience, require, leeway)
        self._claimText, self._scopesOf, self._hasClaim = claimText, scopesOf, hasClaim
        self._keys: KeySet | None = None
        self._cache: KeyCache | None = None
        if key is not None:
            self._keys = KeySet.ofKey(key, algorithms)
        else:

            async def load() -> KeySet:
                content = await fetch(context.reactor, jwks, timeout, _MAX_BYTES, trust) if isURL else _readFile(path)
                return KeySet.ofDocument(content, algorithms)

            trust = authoritiesIn(ca) if ca else None
            isURL = jwks.startswith(("http://", "https://"))
            path = os.path.join(context.directory, jwks)
            if isURL and not (isDocumentURL(jwks) and jwks.isascii()):
                raise ValueError("jwks: is no URL that can be fetched")
            if stale < lifetime:
                raise ValueError("stale: is shorter than lifetime")
            self._cache = KeyCache(context.reactor, f"jwks {jwks.partition('?')[0]}", load, lifetime, stale, _COOLDOWN, timeout)
            if not isURL:
                try:
                    self._cache.put(KeySet.ofDocument(_readFile(path), algorithms))
                except OSError as error:
                    raise ValueError(f"jwks: the file {jwks} cannot be read: {error.strerror}") from None
                except ValueError as error:
                    raise ValueError(f"jwks: the file {jwks} {error}") from None
        self._set = dict(set or {})
        checkedNames("set", self._set)
        self._own = OwnHeaders(list(self._set))
        self._scope = frozenset(scope)
        self._wanted = dict(claims or {})
        self._user = user
        self._cookie = keyFrom(f"cookie:{cookie}") if cookie else None
        self._realm = realm
        self._isOptional = optional
        self._passesOn = passOn

    def stopService(self) -> Any:
        """Give up what is being loaded."""
        if self._cache is not None:
            self._cache.stop()
        return super().stopService()  # type: ignore[no-untyped-call]

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        self._own.take(request)
        token = self._token(request)
        if not self._passesOn:
            request.outbound.headers.removeHeader(b"authorization")
        if not token:
            if self._isOptional:
                return proceed()
            raise self._refusal(UNAUTHORIZED, "no token")
        if self._cache is not None:
            return self._aroundLoading(token, request, proceed)
        assert self._keys is not None
        self._judged(token, self._keys.find, request)
        return proceed()

    async def _aroundLoading(self, token: str, request: InboundRequest, proceed: Callable[[], Any]) -> Response:
        from twistproxy.permissions.jsonwebtokens import TokenRefused

        assert self._cache is not None
        try:
            key = await self._cache.find(*self._judge.keyId(token))
        except TokenRefused as error:
            raise self._refusal(UNAUTHORIZED, str(error), "invalid_token") from None
        except LookupError as error:
            raise ProxyError(AUTH_UNAVAILABLE, f"jwt: {error.args[0]}") from None
        self._judged(token, lambda algorithm, kid: key, request)
        response: Response = await proceed()
        return response

    def _judged(self, token: str, find: Callable[[str, str | None], Any], request: InboundRequest) -> None:
        """Tell what a good token says to whom it concerns.

        @raise ProxyError: when it is not good.
        """
        from twistproxy.permissions.jsonwebtokens import TokenRefused

        try:
            algorithm, kid = self._judge.keyId(token)
            claims = self._judge.claims(token, algorithm, find(algorithm, kid))
            texts = {name: self._claimText(claims, claim) for name, claim in self._set.items()}
            user = self._claimText(claims, self._user) if self._user else None
        except TokenRefused as error:
            raise self._refusal(UNAUTHORIZED, str(error), "invalid_token") from None
        if not self._scope <= self._scopesOf(claims):
            raise self._refusal(FORBIDDEN, "The token lacks a scope", "insufficient_scope")
        if not all(self._hasClaim(claims, name, value) for name, value in self._wanted.items()):
            raise self._refusal(FORBIDDEN, "The token is not for this", "insufficient_scope")
        for name, text in texts.items():
            if text is not None:
                request.outbound.headers.setRawHeaders(name, [text])
        if user:
            request.state[USER] = user

    def _token(self, request: InboundRequest) -> str:
        """The token; empty for none."""
        values: Sequence[bytes] = request.headers.getRawHeaders(b"authorization", ())
        if len(values) > 1:
            raise self._refusal(BAD_REQUEST, "There is more than one Authorization", "invalid_request")
        scheme, _, token = values[0].strip().partition(b" ") if values else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            token = (self._cookie(request) or b"") if self._cookie is not None else b""
        return token.strip().decode("latin-1")

    def _refusal(self, kind: Any, description: str, error: str = "") -> ProxyError:
        """RFC 6750 section 3: no error where no token came."""
        challenge = f'Bearer realm="{self._realm}"'
        if error:
            challenge += f', error="{error}", error_description="{description}"'
        if error == "insufficient_scope" and self._scope:
            challenge += f', scope="{" ".join(sorted(self._scope))}"'
        return ProxyError(kind, f"jwt: {description}", [("WWW-Authenticate", challenge)])


def _readFile(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(_MAX_BYTES + 1)

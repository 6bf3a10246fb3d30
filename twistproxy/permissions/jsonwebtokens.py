"""JSON Web Tokens (RFC 7519), judged by PyJWT: keys by algorithm and key id, and what is wrong with a token. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
from jwt.algorithms import get_default_algorithms

ALGORITHMS: Final = tuple(sorted(set(get_default_algorithms()) - {"none"}))
"""Those that there are. A token's own word, C{none} above all, never chooses among others than a configuration names."""

_SECRET_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+\Z")

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.ExpiredSignatureError, "The token has expired"),
    (jwt.ImmatureSignatureError, "The token is not valid yet"),
    (jwt.InvalidAudienceError, "The token is for somebody else"),
    (jwt.InvalidIssuerError, "The token is from somebody else"),
    (jwt.InvalidSignatureError, "The token's signature is wrong"),
    (jwt.MissingRequiredClaimError, "The token lacks a claim"),
)


class TokenRefused(Exception):
    """A token that is not good. Its text is for the client."""


def checkScope(scope: Sequence[str]) -> None:
    """Complain of what no token can have as a scope, nor a challenge (RFC 6749 section 3.3).

    @raise ValueError: with a sentence for the person who wrote it.
    """
    for each in scope:
        if _SCOPE.match(each) is None:
            raise ValueError(f"scope: {each!r} is no scope")


def checkAlgorithms(algorithms: Sequence[str]) -> None:
    """Complain of algorithms that there are not, or that may not be believed with the same keys: a public key that served as
    a secret would let everybody make tokens (RFC 8725 section 3.1).

    @raise ValueError: with a sentence for the person who wrote it.
    """
    if not algorithms:
        raise ValueError("algorithms: name at least one, such as RS256")
    for each in algorithms:
        if each not in ALGORITHMS:
            raise ValueError(f"algorithms: {each!r} is none of {', '.join(ALGORITHMS)}")
    if len({each.startswith("HS") for each in algorithms}) > 1:
        raise ValueError("algorithms: HS256 and the like are for secrets, the others for public keys: not both")


class KeySet:
    """Keys by algorithm."""

    def __init__(self) -> None:
        self._keys: dict[str, list[tuple[str | None, Any]]] = {}

    @classmethod
    def ofKey(cls, text: str, algorithms: Sequence[str]) -> KeySet:
        """A secret, or a public key as PEM.

        @raise ValueError: with a sentence for the person who wrote it.
        """
        made = cls()
        for name in algorithms:
            least = _SECRET_BYTES.get(name)
            if least is not None and len(text.encode()) < least:
                raise ValueError(f"key: {name} wants a secret of {least} bytes or more (RFC 7518 section 3.2)")
            try:
                key = get_default_algorithms()[name].prepare_key(text)
            except Exception:
                if least is not None:
                    raise ValueError(f"key: is a public key, and {name} wants a secret") from None
                raise ValueError(f"key: is no public key in PEM such as {name} wants") from None
            if hasattr(key, "private_bytes"):
                raise ValueError("key: is a private key; the proxy wants the public one")
            if get_default_algorithms()[name].check_key_length(key):
                raise ValueError(f"key: is too short for {name}")
            made._keys[name] = [(None, key)]
        return made

    @classmethod
    def ofDocument(cls, content: bytes, algorithms: Sequence[str]) -> KeySet:
        """Those of a JWK set (RFC 7517) that can be used with C{algorithms}: public keys or secrets that are for signatures,
        of the right kind and curve, and not too short (RFC 7518 section 3).

        @raise ValueError: when it is none, or none of them can.
        """
        try:
            entries = json.loads(content)["keys"]
            usable = [each for each in entries if isinstance(each, dict) and _isForSignatures(each)]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError("is no JWK set: an object with a list keys") from None
        made = cls()
        for entry in usable:
            for name in algorithms:
                if entry.get("alg", name) == name:
                    rules = get_default_algorithms()[name]
                    try:
                        key = rules.prepare_key(jwt.PyJWK(entry, name).key)
                        isFit = not (hasattr(key, "private_bytes") or rules.check_key_length(key))
                    except Exception:  # PyJWT's and cryptography's, of many kinds
                        continue
                    if isFit:
                        made._keys.setdefault(name, []).append((entry.get("kid"), key))
        if not made._keys:
            raise ValueError(f"has no key for {' or '.join(algorithms)}")
        return made

    def find(self, algorithm: str, kid: str | None) -> Any:
        """The key of that id. A token without an id may mean the only key; a key without one is for any. None for none."""
        keys = self._keys.get(algorithm, [])
        if kid is None:
            return keys[0][1] if len(keys) == 1 else None
        return next((key for known, key in keys if known == kid), keys[0][1] if len(keys) == 1 and keys[0][0] is None else None)


def _isForSignatures(entry: Mapping[str, Any]) -> bool:
    """Whether a key says nothing else (RFC 7517 sections 4.2 and 4.3)."""
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


class Judge:
    """Judges tokens."""

    def __init__(
        self, algorithms: Sequence[str], issuer: Sequence[str], audience: Sequence[str], require: Sequence[str], leeway: float
    ) -> None:
        """@param leeway: seconds by which clocks may differ."""
        self._algorithms = frozenset(algorithms)
        self._issuer = list(issuer) or None
        self._audience = list(audience) or None
        self._require = list(require)
        self._leeway = leeway

    def keyId(self, token: str) -> tuple[str, str | None]:
        """Algorithm and key id, as the token says.

        @raise TokenRefused: when it is no token, or of an algorithm that was not asked for.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRefused("The token is malformed") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise TokenRefused("The token's algorithm is not accepted")
        if "crit" in header:  # RFC 7515 section 4.1.11: there is no extension that is understood here
            raise TokenRefused("The token is malformed")
        return algorithm, kid if isinstance(kid, str) else None

    def claims(self, token: str, algorithm: str, key: Any) -> dict[str, Any]:
        """What a good token says.

        @raise TokenRefused: when it is not good.
        """
        if key is None:
            raise TokenRefused("The token's key is not known")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": self._require},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "The token is malformed")
            raise TokenRefused(reason) from None


def scopesOf(claims: Mapping[str, Any]) -> frozenset[str]:
    """What the token is good for: C{scope} (RFC 8693 section 4.2), or C{scp} as others write it."""
    found = claims.get("scope", claims.get("scp", ""))
    return frozenset(found.split()) if isinstance(found, str) else frozenset(map(str, found if isinstance(found, list) else ()))


def claimText(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim as a header has it, a list with commas; a name with dots may be one within another. None when there is none.

    @raise TokenRefused: when it cannot be told in a header without ambiguity.
    """
    value = _claim(claims, name)
    if value is None:
        return None
    texts = _texts(value)
    if not all(isinstance(each, str) and each.isprintable() and each == each.strip() for each in texts):
        raise TokenRefused("The token has a claim that no header can tell")
    if isinstance(value, list) and any("," in each for each in texts):
        raise TokenRefused("The token has a claim that no header can tell")
    return ",".join(texts)


def hasClaim(claims: Mapping[str, Any], name: str, value: str) -> bool:
    """Whether a claim, by a name as L{claimText} takes it, is this, or a list that has it."""
    return value in _texts(_claim(claims, name))


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    value: Any = claims.get(name)
    if value is None and "." in name:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _texts(value: Any) -> list[Any]:
    """Each of it as text, but for what has a structure of its own, and null."""
    parts = value if isinstance(value, list) else [value]
    return [json.dumps(each) if isinstance(each, (bool, int, float)) else each for each in parts]

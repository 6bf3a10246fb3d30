"""jwt: which tokens are good, what is told of the others, and how keys are had."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from unittest.mock import patch

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.unit.builtin import MiddlewareTestCase, asked
from twistproxy.errors import BAD_REQUEST, FORBIDDEN, UNAUTHORIZED, ConfigurationError
from twistproxy.messages import InboundRequest, Response
from twistproxy.permissions.jsonwebtokens import Judge, KeySet, TokenRefused, claimText, scopesOf
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness

SECRET = "0123456789abcdef0123456789abcdef"
HS = {"use": "jwt", "algorithms": ["HS256"], "key": SECRET}
PRIVATE, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, drop: str = "", **claims: Any) -> str:
    content = {"sub": "alice", "exp": time.time() + 1000, **claims}
    content.pop(drop, None)
    return jwt.encode(content, key, algorithm, headers={"kid": kid} if kid else None)


def bearing(text: str, *more: tuple[bytes, bytes]) -> InboundRequest:
    return asked(b"/", (b"Authorization", b"Bearer " + text.encode()), *more)


def rsaPublic(bits: int) -> str:
    """A public key as PEM."""
    key = rsa.generate_private_key(65537, bits).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def b64encode(data: bytes) -> str:
    """As tokens have it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwks(**keys: Any) -> bytes:
    """A JWK set of these public keys by their ids."""
    entries = [{**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in keys.items()]
    return json.dumps({"keys": entries}).encode()


class TokenTests(MiddlewareTestCase):
    """By one key."""

    def refused(self, written: Any, request: InboundRequest, error: str | None, kind: Any = UNAUTHORIZED) -> None:
        self.assertIs(self.around(written, request), kind)
        challenge = dict(self.error.headers)["WWW-Authenticate"]
        self.assertEqual(challenge, 'Bearer realm="api"' + (f', {error}' if error else ""))
        self.assertEqual(self.proceeded, 0)

    def invalid(self, written: Any, text: str, why: str) -> None:
        self.refused(written, bearing(text), f'error="invalid_token", error_description="The token {why}"')

    def test_goodOnesPass(self) -> None:
        for written, text in [
            (HS, token()),
            ({**HS, "issuer": "me", "audience": ["a", "b"]}, token(iss="me", aud="b")),
            ({"use": "jwt", "algorithms": ["ES256"], "key": PEM}, token(PRIVATE, "ES256")),
            ({**HS, "issuer": ["you", "me"]}, token(iss="me")),
            (HS, token(exp=time.time() - 5)),
        ]:
            request = bearing(text)
            self.assertIsInstance(self.around(written, request), Response)
            self.assertEqual(request.user, "alice")
            self.assertTrue(request.outbound.headers.hasHeader("Authorization"))
        self.assertIsInstance(self.around(HS, asked(b"/", (b"Authorization", b"bearer   " + token().encode()))), Response)

    def test_withoutAToken(self) -> None:
        for request in (asked(), asked(b"/", (b"Authorization", b"Basic eDp5")), asked(b"/", (b"Authorization", b"Bearer"))):
            self.refused(HS, request, None)
        self.assertIsInstance(self.around({**HS, "optional": True}, asked()), Response)

    def test_badOnes(self) -> None:
        self.invalid(HS, token(exp=time.time() - 60), "has expired")
        self.invalid(HS, token(nbf=time.time() + 60), "is not valid yet")
        self.invalid(HS, token(drop="exp"), "lacks a claim")
        self.invalid({**HS, "issuer": "me"}, token(iss="you"), "is from somebody else")
        self.invalid({**HS, "issuer": ["a", "me"]}, token(iss="m"), "is from somebody else")
        self.invalid({**HS, "issuer": "me"}, token(), "lacks a claim")
        self.invalid({**HS, "audience": ["me"]}, token(aud="you"), "is for somebody else")
        self.invalid(HS, token(aud="you"), "is for somebody else")
        self.refused(HS, bearing(token("x" * 32)), 'error="invalid_token", error_description="The token\'s signature is wrong"')
        for text in ("x", "a.b.c", "..", token() + "." + token(), "\xff", "[" * 5000):
            self.invalid(HS, text, "is malformed")
        self.assertIs(self.around({**HS, "optional": True}, bearing("x")), UNAUTHORIZED)

    def test_onlyTheAlgorithmsThatAreNamed(self) -> None:
        accepted = 'error="invalid_token", error_description="The token\'s algorithm is not accepted"'
        public = {"use": "jwt", "algorithms": ["ES256"], "key": PEM}
        self.refused(public, bearing(token(SECRET, "HS256")), accepted)
        self.refused(HS, bearing(jwt.encode({"sub": "x"}, None, "none")), accepted)
        self.refused(HS, bearing(token(SECRET * 2, "HS512")), accepted)
        with_pem_as_secret = ".".join(self.signedWith(PEM.encode()))
        self.refused(public, bearing(with_pem_as_secret), accepted)

    def signedWith(self, secret: bytes) -> tuple[str, str, str]:
        """HS256 by a secret that PyJWT would not take."""
        content = json.dumps({"sub": "x", "exp": time.time() + 99}).encode()
        head, body = b64encode(b'{"alg":"HS256","typ":"JWT"}'), b64encode(content)
        return head, body, self.signature(f"{head}.{body}", secret)

    def signature(self, text: str, secret: bytes = SECRET.encode()) -> str:
        """That of HS256."""
        return b64encode(hmac.digest(secret, text.encode(), "sha256"))

    def test_headersThatAreNone(self) -> None:
        """What stands in the token's own head is anybody's word."""
        for head in ({"alg": ["HS256"]}, {"alg": {}}, {"alg": None}, {}, [], {"alg": "HS256", "kid": 5},
                     {"alg": "HS256", "crit": ["exp"], "exp": 1}, {"alg": "HS256", "crit": ["b64"], "b64": False}):  # fmt: skip
            _, body, _ = token().split(".")
            signed = f"{b64encode(json.dumps(head).encode())}.{body}"
            self.assertIs(self.around(HS, bearing(f"{signed}.{self.signature(signed)}")), UNAUTHORIZED, head)
        self.assertEqual(self.proceeded, 0)

    def test_severalAuthorizations(self) -> None:
        request = bearing(token(), (b"Authorization", b"Bearer x"))
        words = 'error="invalid_request", error_description="There is more than one Authorization"'
        self.refused(HS, request, words, BAD_REQUEST)

    def test_scope(self) -> None:
        written = {**HS, "scope": ["read", "write"]}
        self.assertIsInstance(self.around(written, bearing(token(scope="write other read"))), Response)
        self.assertIsInstance(self.around(written, bearing(token(scp=["read", "write"]))), Response)
        self.proceeded = 0
        words = 'error="insufficient_scope", error_description="The token lacks a scope", scope="read write"'
        self.refused(written, bearing(token(scope="read")), words, FORBIDDEN)
        self.refused(written, bearing(token()), words, FORBIDDEN)
        self.assertEqual(scopesOf({"scope": 1}), frozenset())

    def test_claimsThatItMustHave(self) -> None:
        written = {**HS, "claims": {"realm.roles": "admin", "verified": "true"}}
        for claims in ({"realm": {"roles": ["user", "admin"]}}, {"realm": {"roles": "admin"}}):
            self.assertIsInstance(self.around(written, bearing(token(verified=True, **claims))), Response)
        self.proceeded = 0
        words = 'error="insufficient_scope", error_description="The token is not for this"'
        for bad in ({}, {"realm": {"roles": ["admins"]}}, {"realm": "admin"}, {"realm": {"roles": {"admin": 1}}}):
            self.refused(written, bearing(token(verified=True, **bad)), words, FORBIDDEN)
        self.refused(written, bearing(token(realm={"roles": "admin"}, verified="yes")), words, FORBIDDEN)

    def test_headersForTheUpstream(self) -> None:
        """They are the token's word only, in whatever spelling (edge case 2)."""
        written = {**HS, "set": {"X-User": "sub", "X-Roles": "realm.roles", "X-Admin": "admin"}, "optional": True}
        forged = ((b"x_user", b"root"), (b"x.user", b"root"), (b"X-User", b"root"), (b"X-Roles", b"all"), (b"X-Admin", b"true"))
        request = bearing(token(realm={"roles": ["a", "b"]}), *forged)
        self.around(written, request)
        headers = request.outbound.headers
        self.assertEqual((headers.get("X-User"), headers.get("X-Roles"), headers.get("X-Admin")), ("alice", "a,b", None))
        self.assertFalse(headers.hasHeader("x_user"))
        request = asked(b"/", *forged)
        self.around(written, request)
        names = {name for name, _, _ in request.outbound.headers.items}
        self.assertFalse(names & {b"x-user", b"x_user", b"x.user", b"x-roles", b"x-admin"})
        self.proceeded = 0
        self.invalid(written, token(realm={"roles": ["a,b"]}), "has a claim that no header can tell")
        for sub in ("a\r\nX: y", " root", "root ", "root\u00a0"):
            self.invalid(written, token(sub=sub), "has a claim that no header can tell")
        self.invalid(written, token(realm={"roles": ["user", " admin"]}), "has a claim that no header can tell")

    def test_trailersForTheUpstream(self) -> None:
        """Some servers take trailers for headers."""
        trailers = b"X-User: root\r\nx_user: root\r\nX-Ssl-Client-Verify: SUCCESS\r\nX-Sum: 1\r\n"
        with ProxyHarness(middleware=self.build({**HS, "set": {"X-User": "sub"}})) as harness:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer %b\r\n\r\n"
            harness.connect().raw(head % token().encode() + b"0\r\n" + trailers + b"\r\n")
            (sent,) = harness.upstream.requests
            self.assertEqual([name for name, _ in sent.trailers.getAllRawHeaders()], [b"X-Sum"])
            self.assertEqual(sent.headers.getRawHeaders("X-User"), ["alice"])

    def test_claims(self) -> None:
        for value, text in [("x", "x"), (1, "1"), (True, "true"), (["a", 2], "a,2"), (None, None), ("a,b", "a,b")]:
            self.assertEqual(claimText({"c": value}, "c"), text)
        self.assertEqual(claimText({"a.b": "x", "a": {"b": "y"}}, "a.b"), "x")
        self.assertIs(claimText({"a": "x"}, "a.b.c"), None)
        self.assertRaises(TokenRefused, claimText, {"c": {"d": 1}}, "c")

    def test_theTokenMayStayHere(self) -> None:
        request = bearing(token())
        self.around({**HS, "passOn": False}, request)
        self.assertFalse(request.outbound.headers.hasHeader("Authorization"))

    def test_cookie(self) -> None:
        written = {**HS, "cookie": "session"}
        self.assertIsInstance(self.around(written, asked(b"/", (b"Cookie", b"a=b; session=" + token().encode()))), Response)
        self.proceeded = 0
        self.refused(written, asked(b"/", (b"Cookie", b"a=b")), None)

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=60) | st.lists(st.text("eyJhbGciOi.{}[]\":", max_size=30), min_size=3, max_size=3).map(".".join))
    def test_nothingBreaksIt(self, text: str) -> None:
        judge = Judge(["HS256"], (), (), ("exp",), 0)
        try:
            algorithm, _ = judge.keyId(text)
            judge.claims(text, algorithm, SECRET.encode())
        except TokenRefused:
            return
        self.fail("it was believed")

    def test_mistakes(self) -> None:
        for options, problem in [
            ({"key": SECRET}, "needs the option 'algorithms'"),
            ({"key": SECRET, "algorithms": ["HS256", "RS256"]},
             "algorithms: HS256 and the like are for secrets, the others for public keys: not both"),
            ({"algorithms": ["HS256"]}, "needs one of the options key and jwks"),
            ({"key": "short", "algorithms": ["HS256"]}, "key: HS256 wants a secret of 32 bytes or more (RFC 7518 section 3.2)"),
            ({"key": PEM, "algorithms": ["HS256"]}, "key: is a public key, and HS256 wants a secret"),
            ({"key": PEM, "algorithms": ["RS256"]}, "key: is no public key in PEM such as RS256 wants"),
            ({"key": PRIVATE_PEM, "algorithms": ["ES256"]}, "key: is a private key; the proxy wants the public one"),
            ({"jwks": "/nowhere", "algorithms": ["ES256"]}, "jwks: the file /nowhere cannot be read: No such file or directory"),
            ({"jwks": "http://", "algorithms": ["ES256"]}, "jwks: is no URL that can be fetched"),
            ({"jwks": "http://a/", "algorithms": ["ES256"], "stale": "1m"}, "stale: is shorter than lifetime"),
            ({"key": rsaPublic(1024), "algorithms": ["RS256"]}, "key: is too short for RS256"),
            ({"key": SECRET, "algorithms": ["HS256"], "scope": ['a"b']}, "scope: 'a\"b' is no scope"),
            ({"key": SECRET, "algorithms": ["HS256"], "scope": ["a b"]}, "scope: 'a b' is no scope"),
        ]:  # fmt: skip
            self.refuses({"use": "jwt", **options}, f"jwt: {problem}")
        error = self.assertRaises(ConfigurationError, self.build, {**HS, "algorithms": ["none"]})
        self.assertIn("'none' is none of", str(error))
        with patch.dict("sys.modules", {"twistproxy.permissions.jsonwebtokens": None}):
            self.refuses(HS, 'jwt: PyJWT is not installed: pip install "twistproxy[jwt]"')


class KeySetTests(MiddlewareTestCase):
    """By a JWK set."""

    def harness(self, server: FakeUpstream | None, *options: str) -> ProxyHarness:
        network = MemoryNetwork()
        if server is not None:
            server.listen(network, "10.0.9.9:81")
        written = ":".join(["jwt:algorithms=ES256:jwks=http\\://10.0.9.9\\:81/keys", *options])
        harness = ProxyHarness(network=network, middleware=written)
        self.addCleanup(harness.close)
        return harness

    def ask(self, harness: ProxyHarness, text: str) -> int:
        return harness.get("/", {"Authorization": f"Bearer {text}"}).status

    def test_whichKeysAreUsed(self) -> None:
        """Not what is for something else, too short, of another curve, or private and for nobody to see."""
        long, short = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 1024)
        curve = ec.generate_private_key(ec.SECP384R1()).public_key()
        public = RSAAlgorithm.to_jwk(long.public_key(), as_dict=True)

        def ids(algorithm: str, *entries: Any) -> list[str | None]:
            document = json.dumps({"keys": [{**each, "kid": str(i)} for i, each in enumerate(entries)]}).encode()
            made = KeySet.ofDocument(document, [algorithm])
            return [str(i) for i in range(len(entries)) if made.find(algorithm, str(i)) is not None]

        others = [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": 5}, {"alg": "RS512"}, {"alg": ["RS256"]}]
        private, weak = RSAAlgorithm.to_jwk(long, as_dict=True), RSAAlgorithm.to_jwk(short.public_key(), as_dict=True)
        self.assertEqual(ids("RS256", public, *({**public, **each} for each in others), private, weak), ["0"])
        self.assertEqual(ids("RS256", {**public, "use": "sig", "key_ops": ["verify"]}), ["0"])
        good = ECAlgorithm.to_jwk(PRIVATE.public_key(), as_dict=True)
        bad = ECAlgorithm.to_jwk(curve, as_dict=True), ECAlgorithm.to_jwk(PRIVATE, as_dict=True)
        self.assertEqual(ids("ES256", good, *bad), ["0"])
        secrets = [{"kty": "oct", "k": b64encode(each)} for each in (SECRET.encode(), b"short", b"")]
        self.assertEqual(ids("HS256", *secrets), ["0"])
        self.assertRaises(ValueError, ids, "RS256", private)

    def test_keysAreLoadedOnce(self) -> None:
        server = FakeUpstream(body=jwks(one=PRIVATE))
        harness = self.harness(server)
        self.assertEqual([self.ask(harness, token(PRIVATE, "ES256", "one")) for _ in range(3)], [200] * 3)
        self.assertEqual(self.ask(harness, token(OTHER, "ES256", "one")), 401)
        self.assertEqual(self.ask(harness, token(PRIVATE, "ES256")), 200, "the only key")
        self.assertEqual(len(server.requests), 1)

    def test_aNewKey(self) -> None:
        """A key that is not there has them loaded, but not more often than every 30 seconds."""
        server = FakeUpstream().respond(200, {}, jwks(one=PRIVATE)).respond(200, {}, jwks(one=PRIVATE, two=OTHER))
        harness = self.harness(server)
        self.assertEqual(self.ask(harness, token(PRIVATE, "ES256", "one")), 200)
        self.assertEqual([self.ask(harness, token(OTHER, "ES256", "two")) for _ in range(5)], [401] * 5)
        self.assertEqual(len(server.requests), 1)
        harness.advance(31)
        self.assertEqual(self.ask(harness, token(OTHER, "ES256", "two")), 200)
        self.assertEqual([self.ask(harness, token(OTHER, "ES256", "three")) for _ in range(5)], [401] * 5)
        self.assertEqual(len(server.requests), 2)

    def test_theyAreRenewed(self) -> None:
        server = FakeUpstream().respond(200, {}, jwks(one=PRIVATE)).respond(500).respond(200, {}, jwks(two=OTHER))
        harness = self.harness(server, "lifetime=60s")
        text = token(PRIVATE, "ES256", "one")
        self.assertEqual(self.ask(harness, text), 200)
        harness.advance(61)
        self.assertEqual([self.ask(harness, text), self.ask(harness, text)], [200, 200], "the old ones stay good")
        self.assertEqual(len(server.requests), 2)
        harness.advance(31)
        self.assertEqual([self.ask(harness, text), self.ask(harness, text)], [200, 401], "the first had them renewed")

    def test_whoComesAfterALongTimeWaits(self) -> None:
        """A key may have been taken back long ago."""
        server = FakeUpstream().respond(200, {}, jwks(one=PRIVATE)).respond(200, {}, jwks(two=OTHER))
        harness = self.harness(server, "lifetime=60s")
        text = token(PRIVATE, "ES256", "one")
        self.assertEqual(self.ask(harness, text), 200)
        harness.advance(121)
        self.assertEqual((self.ask(harness, text), len(server.requests)), (401, 2))

    def test_keysThatAreTooOld(self) -> None:
        """Nobody knows for how long a server that does not answer would still say the same."""
        server = FakeUpstream().respond(200, {}, jwks(one=PRIVATE)).respond(500)
        harness = self.harness(server, "lifetime=60s", "stale=200s")
        text = token(PRIVATE, "ES256", "one", exp=time.time() + 1000)
        found = []
        for _ in range(5):
            found.append(self.ask(harness, text))
            harness.advance(61)
        self.assertEqual(found, [200, 200, 200, 200, 503])
        server.respond(200, {}, jwks(one=PRIVATE))
        self.assertEqual(self.ask(harness, text), 200)

    def test_whileThereAreNone(self) -> None:
        server = FakeUpstream().respond(200, {}, b"no JSON").respond(200, {}, b'{"keys": []}').respond(200, {}, jwks(one=PRIVATE))
        harness = self.harness(server)
        text = token(PRIVATE, "ES256", "one")
        self.assertEqual([self.ask(harness, text) for _ in range(3)], [503] * 3)
        self.assertEqual(self.ask(harness, "x"), 401, "that needs no key")
        self.assertEqual(len(server.requests), 1)
        harness.advance(1)
        self.assertEqual(self.ask(harness, text), 503)
        harness.advance(1)
        self.assertEqual(self.ask(harness, text), 200)

    def test_allWaitForOneLoad(self) -> None:
        server = FakeUpstream().wait(2).respond(200, {}, jwks(one=PRIVATE))
        harness = self.harness(server)
        text = {"Host": "www.example", "Authorization": f"Bearer {token(PRIVATE, 'ES256', 'one')}"}
        answers = [harness.connect().request("GET", "/", text) for _ in range(3)]
        harness.clients[1].abort()
        harness.advance(2)
        self.assertEqual([answers[0].status, answers[2].status], [200, 200])
        self.assertEqual((len(server.requests), len(harness.upstream.requests)), (1, 2))

    def test_aLoadThatTakesTooLong(self) -> None:
        harness = self.harness(FakeUpstream().stall(), "timeout=3s")
        answer = harness.get("/", {"Authorization": f"Bearer {token(PRIVATE, 'ES256', 'one')}"})
        harness.advance(3.1)
        self.assertEqual(answer.status, 503)

    def test_files(self) -> None:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(jwks(one=PRIVATE))
        middleware = {"use": "jwt", "algorithms": ["ES256"], "jwks": path}
        with ProxyHarness(middleware=self.build(middleware, reactor=MemoryNetwork())) as harness:
            self.assertEqual(self.ask(harness, token(PRIVATE, "ES256", "one")), 200)
            self.assertEqual(self.ask(harness, token(OTHER, "ES256", "one")), 401)
        for content, words in [(b"[]", "is no JWK set: an object with a list keys"), (b'{"keys": [{}]}', "has no key for ES256")]:
            with open(path, "wb") as file:
                file.write(content)
            self.refuses(middleware, f"jwt: jwks: the file {path} {words}")

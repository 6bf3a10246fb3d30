"""Whose certificate the client showed: who may pass with it, and what the upstream is told."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Literal

from zope.interface import implementer

from twistproxy.errors import FORBIDDEN, ProxyError
from twistproxy.headeredits import OwnHeaders, checkedNames
from twistproxy.interfaces import IDirector, IMiddleware
from twistproxy.messages import USER, InboundRequest, OutboundRequest, Response
from twistproxy.tls.client import ClientCertificate


@implementer(IDirector, IMiddleware)
class ClientCertificateDirector:
    """Tell the upstream in headers whose certificate the client showed to a listener with client-ca, as
    client-certificate:subject=X-Client-Subject:require=yes. What a client says in these headers is removed first.

    As middleware it comes before all directors, so that none of them can answer first, and before the middleware that is
    named after it, such as limits by user.

    @param require: whether a client without a certificate gets 403; for routes behind a listener with
        client-cert=request.
    @param allow: whose certificates may pass, all others get 403: subjects as CN=alice,O=Example, common names as CN:alice,
        alternative names as DNS:app.example, or fingerprints as SHA256:9f86d0... Within a string a comma in a value is
        written \\\\,.
    @param header: the header for the whole certificate, as RFC 9440 has it; empty for none.
    @param subject: the header for the subject, as RFC 4514 writes it; empty for none.
    @param fingerprint: the header for the SHA-256 fingerprint, in hexadecimal; empty for none.
    @param sans: the header for the alternative names, each after its kind and a colon, a comma within one after a backslash;
        empty for none.
    @param user: what names the user in access logs and limits: the common name, or the subject where there is none;
        the subject; the fingerprint; the first alternative name with its kind; or nothing.
    """

    def __init__(
        self,
        *,
        require: bool = False,
        allow: Sequence[str] = (),
        header: str = "Client-Cert",
        subject: str = "",
        fingerprint: str = "",
        sans: str = "",
        user: Literal["common-name", "subject", "fingerprint", "san", "none"] = "common-name",
    ) -> None:
        """@raise ValueError: when one of the headers can't be set, or nobody can be allowed so."""
        self._allowed = frozenset(map(_checkedName, allow))
        self._require = require or bool(self._allowed)
        self._user = user
        self._names = {"header": header, "subject": subject, "fingerprint": fingerprint, "sans": sans}
        for option, name in self._names.items():
            checkedNames(option, [name] if name else [])
        self._own = OwnHeaders([name for name in self._names.values() if name])

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Response | None:
        """Set the headers, or refuse."""
        refusal = self._enter(inbound, outbound)
        if refusal:
            return Response(403, [(b"Content-Type", b"text/plain; charset=utf-8")], refusal.encode() + b"\n")
        return None

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        refusal = self._enter(request, request.outbound)
        if refusal:
            raise ProxyError(FORBIDDEN, f"client-certificate: {refusal} {request.clientCertificate or ''}")
        return proceed()

    def _enter(self, inbound: InboundRequest, outbound: OutboundRequest) -> str:
        """Tell whose certificate it is.

        @return: why the client may not pass; empty when it may.
        """
        certificate = inbound.clientCertificate
        if certificate is None:
            if self._require:
                return "A client certificate is required."
        elif self._allowed and self._allowed.isdisjoint(_namesOf(certificate)):
            return "This client certificate is not accepted here."
        self._own.take(inbound)
        if certificate is not None:
            for option, value in _values(certificate).items():
                if value and self._names[option]:
                    outbound.headers.setRawHeaders(self._names[option], [value])
            if self._user != "none":
                inbound.state[USER] = _userOf(certificate, self._user)
        return ""


def _checkedName(text: str) -> str:
    kind, _, value = text.partition(":")
    if kind == "SHA256":
        value = value.replace(":", "").lower()
        if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise ValueError("allow: a fingerprint has 64 hexadecimal digits")
        return f"SHA256:{value}"
    if "=" not in kind and (kind not in ("CN", "DNS", "email", "URI", "IP") or not value):
        words = "a subject as CN=alice,O=Example nor CN:, DNS:, email:, URI:, IP: or SHA256: with a name"
        raise ValueError(f"allow: {text!r} is neither {words}")
    return text


def _namesOf(certificate: ClientCertificate) -> list[str]:
    """All that it may be called in C{allow}."""
    names = [certificate.subject, f"SHA256:{certificate.fingerprint}", *certificate.sans]
    return [*names, f"CN:{certificate.commonName}"] if certificate.commonName else names


def _userOf(certificate: ClientCertificate, kind: str) -> str:
    if kind == "fingerprint":
        return certificate.fingerprint
    if kind == "san":
        return next(iter(certificate.sans), "")
    return (certificate.commonName if kind == "common-name" else "") or certificate.subject


def _values(certificate: ClientCertificate) -> dict[str, str]:
    return {
        "header": f":{b64encode(certificate.der).decode('ascii')}:",
        "subject": certificate.subject,
        "fingerprint": certificate.fingerprint,
        "sans": ", ".join(each.replace("\\", "\\\\").replace(",", "\\,") for each in certificate.sans),
    }

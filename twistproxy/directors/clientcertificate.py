"""Whose certificate the client showed, for the upstream."""

from __future__ import annotations

from base64 import b64encode

from zope.interface import implementer

from twistproxy.headeredits import checkedNames, replaceHeader
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest, Response
from twistproxy.tls.client import ClientCertificate


@implementer(IDirector)
class ClientCertificateDirector:
    """Tell the upstream in headers whose certificate the client showed to a listener with client-ca, as
    client-certificate:subject=X-Client-Subject:require=yes. What a client says in these headers is removed first.

    @param require: whether a client without a certificate gets 403; for routes behind a listener with
        client-cert=request.
    @param header: the header for the whole certificate, as RFC 9440 has it; empty for none.
    @param subject: the header for the subject, as RFC 4514 writes it; empty for none.
    @param fingerprint: the header for the SHA-256 fingerprint, in hexadecimal; empty for none.
    @param sans: the header for the alternative names, each after its kind and a colon; empty for none.
    """

    def __init__(
        self, *, require: bool = False, header: str = "Client-Cert", subject: str = "", fingerprint: str = "", sans: str = ""
    ) -> None:
        """@raise ValueError: when one of the headers can't be set."""
        self._require = require
        self._names = {"header": header, "subject": subject, "fingerprint": fingerprint, "sans": sans}
        for option, name in self._names.items():
            checkedNames(option, [name] if name else [])

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Response | None:
        """Set the headers, or refuse."""
        certificate = inbound.clientCertificate
        if certificate is None:
            if self._require:
                return Response(403, [(b"Content-Type", b"text/plain; charset=utf-8")], b"A client certificate is required.\n")
            values = {}
        else:
            values = _values(certificate)
        for option, name in self._names.items():
            if name:
                replaceHeader(outbound.headers, name, values.get(option, ""))
        return None


def _values(certificate: ClientCertificate) -> dict[str, str]:
    return {
        "header": f":{b64encode(certificate.der).decode('ascii')}:",
        "subject": certificate.subject,
        "fingerprint": certificate.fingerprint,
        "sans": ", ".join(certificate.sans),
    }

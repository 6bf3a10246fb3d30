"""The certificate that a client showed, as plugins see it: taken apart when they ask for it, once for a connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Protocol

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_KINDS: Final = ((x509.DNSName, "DNS"), (x509.RFC822Name, "email"), (x509.UniformResourceIdentifier, "URI"))


class ClientCertificate:
    """A certificate that was verified by the authorities of the listener.

    @ivar der: as it came.
    """

    def __init__(self, der: bytes) -> None:
        self.der = der

    def __repr__(self) -> str:
        return f"<ClientCertificate {self.subject}>"

    @cached_property
    def certificate(self) -> x509.Certificate:
        """All of it, for those who need more than the rest."""
        return x509.load_der_x509_certificate(self.der)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of it, in lower-case hexadecimal."""
        return self.certificate.fingerprint(SHA256()).hex()

    @cached_property
    def subject(self) -> str:
        """Whose it is, as RFC 4514 writes it: C{CN=alice,O=Example}. Control characters are escaped, so that it can stand
        in a header."""
        return _named(self.certificate.subject)

    @cached_property
    def issuer(self) -> str:
        """Who issued it, in the same manner."""
        return _named(self.certificate.issuer)

    @cached_property
    def commonName(self) -> str:
        """The last common name of the subject; empty without one."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return _escaped(str(names[-1].value)) if names else ""

    @cached_property
    def sans(self) -> tuple[str, ...]:
        """The alternative names of the subject, each after its kind: C{DNS:}, C{email:}, C{URI:} or C{IP:}."""
        return tuple(_alternatives(self.certificate))

    @property
    def serial(self) -> int:
        """Its number, unique for its issuer."""
        return self.certificate.serial_number

    @property
    def notAfter(self) -> datetime:
        """When it expires, in UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def pem(self) -> str:
        """As PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")


def _named(name: x509.Name) -> str:
    return _escaped(name.rfc4514_string())


def _escaped(text: str) -> str:
    """Control characters as RFC 4514 section 2.4 lets them be written."""
    return _CONTROL.sub(lambda found: f"\\{ord(found[0]):02x}", text)


def _alternatives(certificate: x509.Certificate) -> Iterator[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for each in names:
        if isinstance(each, x509.IPAddress):
            yield f"IP:{each.value}"
        for kind, word in _KINDS:
            if isinstance(each, kind):
                yield f"{word}:{_escaped(str(each.value))}"


def certificateOf(transport: Any) -> ClientCertificate | None:
    """The certificate of the client at the other end of a TLS connection; None when it showed none.

    @param transport: an C{ISSLTransport}, ours or one of Twisted's.
    """
    if hasattr(transport, "peerCertificateDER"):
        der = transport.peerCertificateDER
    else:
        from OpenSSL import crypto

        shown = transport.getPeerCertificate()
        der = None if shown is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, shown)
    return None if der is None else ClientCertificate(der)


class CertificateSource(Protocol):
    """What knows the certificate of a connection's client."""

    @property
    def certificate(self) -> ClientCertificate | None:
        """It, or None when the client showed none."""


@frozen
class ShownCertificate:
    """One that is known already."""

    certificate: ClientCertificate | None


class ConnectionCertificate:
    """Asks a connection when somebody wants to know, once."""

    def __init__(self, transport: Any) -> None:
        """@param transport: an C{ISSLTransport}."""
        self._transport = transport

    @cached_property
    def certificate(self) -> ClientCertificate | None:
        """The client's. The handshake has to be over, as it is for everybody who has seen a request."""
        transport = self._transport
        del self._transport
        return certificateOf(transport)

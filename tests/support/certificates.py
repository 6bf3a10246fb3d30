"""Certificates for tests, made once in a run: an authority that is trusted, one that is not, and what they issue."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from twisted.internet import ssl

EXPIRED = datetime(2020, 1, 1, tzinfo=UTC)


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


def authority(name: str = "ours") -> trustme.CA:
    """An authority; another for another name."""
    return _authority(name)


@cache
def issued(*names: str, by: str = "ours", expires: datetime | None = None, client: str = "") -> trustme.LeafCert:
    """A certificate for these names.

    @param client: the common name of a client's.
    """
    options: dict[str, Any] = {"not_after": expires, "common_name": client or None, "organization_name": "tests"}
    if expires is not None:
        options["not_before"] = datetime(2019, 1, 1, tzinfo=UTC)
    return authority(by).issue_cert(*names, **options)


def pem(certificate: trustme.LeafCert) -> bytes:
    """Key and certificate in one."""
    return certificate.private_key_and_cert_chain_pem.bytes()


def write(directory: Path, certificate: trustme.LeafCert, cert: str = "cert.pem", key: str = "key.pem") -> tuple[str, str]:
    """Put a certificate and its key into files.

    @return: their paths.
    """
    paths = directory / cert, directory / key
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    paths[0].write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    paths[1].write_bytes(certificate.private_key_pem.bytes())
    return str(paths[0]), str(paths[1])


def writeAuthority(directory: Path, name: str = "ours", file: str = "ca.pem") -> str:
    """Put an authority's certificate into a file.

    @return: its path.
    """
    path = directory / file
    path.write_bytes(authority(name).cert_pem.bytes())
    return str(path)


def ofTwisted(certificate: trustme.LeafCert) -> ssl.PrivateCertificate:
    """The same for pyOpenSSL."""
    return ssl.PrivateCertificate.loadPEM(pem(certificate))


def trustOfTwisted(name: str = "ours") -> Any:
    """An authority as pyOpenSSL's peers trust it."""
    return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(authority(name).cert_pem.bytes())])


def parsed(certificate: trustme.LeafCert) -> x509.Certificate:
    """To be looked into."""
    return x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())

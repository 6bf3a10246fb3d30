"""Certificates and keys in files: found, read, and checked with a sentence for each mistake. Nothing here listens.

What OpenSSL says about a file that it does not like is the place in its own source; so the files are read here first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from twistproxy.errors import ConfigurationError
from twistproxy.tls.config import CertificateFiles

CHAIN_NAME: Final = "fullchain.pem"
KEY_NAME: Final = "privkey.pem"
"""What certbot calls the files of a certificate."""

Signature = tuple[tuple[str, int, int, int], ...]
"""What tells that files have changed: path, time of modification, size and inode of each."""


@frozen
class ServerCertificate:
    """A certificate that was read and fits its key.

    @ivar names: the DNS names that it is for, in lower case; a wildcard has a star as its first label.
    @ivar notAfter: when it expires, in UTC.
    """

    files: CertificateFiles
    names: tuple[str, ...]
    notAfter: datetime


def readFile(path: str) -> bytes:
    """The contents.

    @raise ConfigurationError: when they can't be had.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None


def readCertificates(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, at least one.

    @raise ConfigurationError: when there is none, or one is damaged.
    """
    try:
        return x509.load_pem_x509_certificates(readFile(path))
    except ValueError:
        raise ConfigurationError(f"{path}: holds no certificate (want PEM)") from None


def readCertificate(files: CertificateFiles) -> ServerCertificate:
    """The certificate in C{files}, with its key.

    @raise ConfigurationError: when a file can't be read, holds something else, or the key is another one's.
    """
    certificate = readCertificates(files.cert)[0]
    data = readFile(files.key)
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        raise ConfigurationError(f"{files.key}: the private key is encrypted; a server needs one without a password") from None
    except ValueError:
        raise ConfigurationError(f"{files.key}: holds no private key (want PEM)") from None
    if _publicBytes(key.public_key()) != _publicBytes(certificate.public_key()):
        raise ConfigurationError(f"{files.key}: is not the private key of {files.cert}")
    if files.chain:
        readCertificates(files.chain)
    return ServerCertificate(files, dnsNames(certificate), certificate.not_valid_after_utc)


def _publicBytes(key: object) -> bytes:
    made: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return made


def dnsNames(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names that a certificate is for, in lower case; that of the subject only when there are no others, as
    it was before RFC 6125."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found: Iterable[str] = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        found = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(each.lower().rstrip(".") for each in found)


def certificatesIn(directory: str) -> list[CertificateFiles]:
    """What a directory holds: C{NAME/fullchain.pem} with C{NAME/privkey.pem}, as certbot's C{live} has them, and
    C{NAME.pem} with both in one, as HAProxy takes them; by name.

    @raise ConfigurationError: when it can't be read, or holds none.
    """
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror or error}") from None
    found = list(_found(directory, names))
    if not found:
        raise ConfigurationError(f"{directory}: holds no certificates (want NAME/{CHAIN_NAME} and NAME/{KEY_NAME}, or NAME.pem)")
    return found


def _found(directory: str, names: Sequence[str]) -> Iterator[CertificateFiles]:
    for name in names:
        path = os.path.join(directory, name)
        if name.endswith(".pem") and not os.path.isdir(path):
            yield CertificateFiles(path, path)
        elif os.path.lexists(os.path.join(path, CHAIN_NAME)):
            yield CertificateFiles(os.path.join(path, CHAIN_NAME), os.path.join(path, KEY_NAME))


def signature(paths: Iterable[str]) -> Signature:
    """Changes when one of the files does; a file that is not there counts as such."""
    return tuple(_stat(path) for path in paths)


def _stat(path: str) -> tuple[str, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return path, 0, 0, 0
    return path, found.st_mtime_ns, found.st_size, found.st_ino

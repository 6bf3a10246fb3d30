"""From configuration to the standard library's C{SSLContext}, for either side."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from tempfile import NamedTemporaryFile
from typing import Final

from attrs import evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from twistproxy.errors import ConfigurationError
from twistproxy.tls.certificates import Signature, readCertificate, readCertificates, readFile, signature
from twistproxy.tls.config import CertificateFiles, ServerTLS, UpstreamTLS
from twistproxy.tls.errors import explainTLS

_INTERVAL: Final = 10.0
"""Seconds between two looks whether an upstream's files have changed, at most one for each new connection."""

_log: Final = Logger(namespace="twistproxy.error")
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY: Final = {"none": ssl.CERT_NONE, "request": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}


def serverContext(config: ServerTLS, protocols: Sequence[bytes], files: CertificateFiles | None = None) -> ssl.SSLContext:
    """A context for connections of clients. Session tickets are on, as OpenSSL has them.

    @param protocols: what clients may choose by ALPN, best first.
    @param files: the certificate; None for a context that gets another put in its place for each connection.
    @raise ConfigurationError: when a file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.minVersion]
    context.options |= ssl.OP_NO_RENEGOTIATION
    if protocols:
        context.set_alpn_protocols([each.decode("ascii") for each in protocols])
    if config.clientCA:
        trust(context, config.clientCA)
    context.verify_mode = _VERIFY[config.clientCertificates]
    if files is not None:
        loadChain(context, files)
    return context


def clientContext(tls: UpstreamTLS) -> ssl.SSLContext:
    """A context for connections to upstreams. Nothing is offered by ALPN: HTTP/1.1 is what a server speaks then, and
    Twisted's own (26.10) breaks off when it is offered a protocol and was told of none.

    @raise ConfigurationError: when a file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.hostname_checks_common_name = False  # RFC 9525 section 2: a name is what the alternative names say
    if tls.isInsecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca:
        trust(context, tls.ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # so that an upstream's own certificate will do
    else:
        context.load_default_certs()
    if tls.cert:
        files = CertificateFiles(tls.cert, tls.key or tls.cert)
        readCertificate(files)
        loadChain(context, files)
    return context


class ClientContexts:
    """The contexts for upstreams: made once for each way of TLS, and again when its files have changed."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._made: dict[UpstreamTLS, tuple[ssl.SSLContext, Signature, float]] = {}

    def of(self, tls: UpstreamTLS, upstream: str) -> ssl.SSLContext:
        """The context; the one before, when changed files can't be used.

        @param upstream: what the log calls it.
        @raise ConfigurationError: when there is none before.
        """
        tls = evolve(tls, serverName="") if tls.serverName else tls  # which is no matter of a context
        now = self._clock.seconds()
        known = self._made.get(tls)
        if known is not None and (not tls.files or now - known[2] < _INTERVAL):
            return known[0]
        seen = signature(tls.files)
        if known is not None and known[1] == seen:
            context = known[0]
        else:
            try:
                context = clientContext(tls)
            except ConfigurationError as error:
                if known is None:
                    raise
                _log.error("TLS to {upstream} stays as it was: {problem}", upstream=upstream, problem=error)
                context = known[0]
            if known is None and tls.isInsecure:
                _log.warn("The certificate of {upstream} is not verified: anybody may pose as it", upstream=upstream)
        self._made[tls] = context, seen, now
        return context


def trust(context: ssl.SSLContext, path: str) -> None:
    """Have C{context} trust the authorities of a PEM file.

    @raise ConfigurationError: when it can't be used.
    """
    readCertificates(path)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{path}: {explainTLS(error)}") from None


def loadChain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    """Have C{context} show a certificate.

    @raise ConfigurationError: when it can't be used.
    """
    try:
        if not files.chain:
            context.load_cert_chain(files.cert, files.key, password=_noPassword)
            return
        with NamedTemporaryFile(suffix=".pem") as both:  # nothing secret: OpenSSL takes the certificates from one file
            both.write(readFile(files.cert) + b"\n" + readFile(files.chain))
            both.flush()
            context.load_cert_chain(both.name, files.key, password=_noPassword)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigurationError(f"{files.cert}: {explainTLS(error)}") from None


def _noPassword() -> str:
    """Else OpenSSL would ask on the terminal."""
    raise ValueError("the private key is encrypted")

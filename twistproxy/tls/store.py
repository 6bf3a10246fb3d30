"""The certificates of a listener: one for each name that a client asks for, and new ones without a restart.

A client says by SNI (RFC 6066 section 3) which host it wants. Its certificate is the one for exactly that name, else for
a wildcard in place of the first label, else the first one there is. All connections start on one context, which holds
the keys of session tickets, so that sessions outlive a new certificate; the context with the certificate is put in its
place during the handshake. Only when other authorities are trusted with clients' certificates do sessions end.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen
from twisted.logger import Logger

from twistproxy.errors import ConfigurationError
from twistproxy.tls.certificates import ServerCertificate, Signature, certificatesIn, readCertificate, signature
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.contexts import serverContext

EXPIRY_WARNING: Final = timedelta(days=7)
"""A certificate that expires sooner is worth a line in the log: whoever renews it had weeks to do so."""

_log: Final = Logger(namespace="twistproxy.error")


@frozen
class _Loaded:
    """A certificate with its context, and what its files were like."""

    certificate: ServerCertificate
    context: ssl.SSLContext
    signature: Signature


@frozen
class _Names:
    """Contexts by name.

    @ivar default: for any other name, and for none.
    """

    default: ssl.SSLContext
    byName: dict[str, ssl.SSLContext]

    def find(self, name: str | None) -> ssl.SSLContext:
        """The context for a host name."""
        if name is None:
            return self.default
        name = name.lower().rstrip(".")
        found = self.byName.get(name)
        if found is None:
            found = self.byName.get(f"*.{name.partition('.')[2]}", self.default)
        return found


def _byName(loaded: Sequence[_Loaded]) -> _Names:
    """Where several certificates are for a name it is the one that is valid longest, the first of equals."""
    best: dict[str, _Loaded] = {}
    for each in loaded:
        for name in each.certificate.names:
            other = best.setdefault(name, each)
            if each.certificate.notAfter > other.certificate.notAfter:
                best[name] = each
    return _Names(loaded[0].context, {name: each.context for name, each in best.items()})


class CertificateStore:
    """Everything that a listener needs for TLS.

    @ivar context: what all its connections start on.
    @ivar certificates: those in use.
    """

    def __init__(self, config: ServerTLS, protocols: Sequence[bytes] = (b"http/1.1",)) -> None:
        """
        @param protocols: what clients may choose by ALPN, best first.
        @raise ConfigurationError: with a line for each file that can't be used.
        """
        self._config = config
        self._protocols = tuple(protocols)
        self._loaded: dict[CertificateFiles, _Loaded] = {}
        self._authorities: Signature = ()
        self._complaints: tuple[str, ...] = ()
        problems = self._load()
        if problems:
            raise ConfigurationError(*problems)

    @property
    def certificates(self) -> tuple[ServerCertificate, ...]:
        """The first is for clients that name no host."""
        return tuple(each.certificate for each in self._loaded.values())

    def reload(self) -> bool:
        """Read what has changed. What can't be read stays as it is, and the log says so, once.

        @return: whether anything has changed.
        """
        before = list(self._loaded.values())
        problems = tuple(self._load())
        if problems != self._complaints:
            self._complaints = problems
            for each in problems:
                _log.error("A certificate was not loaded, the one before stays in use: {problem}", problem=each)
        after = list(self._loaded.values())
        for one in after:
            if one not in before:
                _log.info("Loaded the certificate {path}", path=one.certificate.files.cert)
        return before != after

    def complain(self, now: datetime | None = None) -> None:
        """Log what has expired, or will do so soon."""
        now = now or datetime.now(UTC)
        for each in self.certificates:
            path, when = each.files.cert, f"{each.notAfter:%Y-%m-%d}"
            if each.notAfter <= now:
                _log.error("The certificate {path} has expired on {when}", path=path, when=when)
            elif each.notAfter - now < EXPIRY_WARNING:
                _log.warn("The certificate {path} expires on {when}", path=path, when=when)

    def _load(self) -> list[str]:
        """@return: a line for each mistake; where there was none before, something is in use in any case."""
        problems: list[str] = []
        files = list(self._config.certificates)
        if self._config.directory:
            try:
                files += certificatesIn(self._config.directory)
            except ConfigurationError as error:
                problems += error.problems
                files += self._loaded
        loaded: dict[CertificateFiles, _Loaded] = {}
        for each in dict.fromkeys(files):
            now = signature([*each.paths, self._config.clientCA])
            known = self._loaded.get(each)
            if known is not None and known.signature == now:
                loaded[each] = known
                continue
            try:
                loaded[each] = _Loaded(readCertificate(each), serverContext(self._config, self._protocols, each), now)
            except ConfigurationError as error:
                problems += [line for line in error.problems if line not in problems]
                if known is not None:
                    loaded[each] = known
        authorities = signature([self._config.clientCA])
        if loaded and not problems and authorities != self._authorities:
            self._authorities = authorities
            self.context = serverContext(self._config, self._protocols)
            self.context.sni_callback = self._choose
        if loaded:
            self._loaded = loaded
            self._names = _byName(list(loaded.values()))
        return problems

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """The SNI callback of C{ssl}."""
        connection.context = self._names.find(name)

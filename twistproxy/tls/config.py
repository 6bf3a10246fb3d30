"""What is said about TLS, as frozen plain data."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

ClientCertificates = Literal["none", "request", "require"]


@frozen
class CertificateFiles:
    """Where a certificate is.

    @ivar cert: the certificate, with those of intermediate authorities behind it.
    @ivar key: its private key; the same file when both are in one.
    @ivar chain: further certificates of intermediate authorities; empty for none.
    """

    cert: str
    key: str
    chain: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys(each for each in (self.cert, self.key, self.chain) if each))


@frozen
class ServerTLS:
    """TLS towards clients.

    @ivar certificates: by themselves; the first is for clients that name no host, or one that no certificate is for.
    @ivar directory: with further certificates, see L{twistproxy.tls.certificates.certificatesIn}; empty for none.
    @ivar clientCA: a PEM file with the authorities that may have issued clients' certificates; empty: clients are
        asked for none.
    @ivar clientCertificates: whether a client may come without one.
    @ivar minVersion: the oldest version of TLS, C{"1.2"} or C{"1.3"}.
    """

    certificates: tuple[CertificateFiles, ...] = ()
    directory: str = ""
    clientCA: str = ""
    clientCertificates: ClientCertificates = "none"
    minVersion: Literal["1.2", "1.3"] = "1.2"


@frozen
class UpstreamTLS:
    """TLS towards an upstream. Its certificate is verified, and has to be for its name.

    @ivar serverName: the name that is asked for by SNI and that the certificate has to be for; empty: the URL's host.
    @ivar ca: a PEM file with the authorities to trust, or the upstream's own certificate; empty: those of the platform.
    @ivar cert: a PEM file with a certificate to show; empty for none.
    @ivar key: its private key; the same file when both are in one.
    @ivar isInsecure: whether anybody may pose as the upstream.
    """

    serverName: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    isInsecure: bool = False

    @property
    def words(self) -> dict[str, str]:
        """As one would write them behind a URL."""
        named = {"server-name": self.serverName, "ca": self.ca, "cert": self.cert, "key": self.key}
        words = {name: value for name, value in named.items() if value}
        return {**words, "insecure": "yes"} if self.isInsecure else words

    @property
    def files(self) -> tuple[str, ...]:
        """What is to be read for it."""
        return tuple(each for each in (self.ca, self.cert, self.key) if each)


BY_DEFAULT: Final = UpstreamTLS()
"""What holds for an https upstream of which nothing is said."""

"""What went wrong in TLS, in words for a log."""

from __future__ import annotations

from ssl import SSLCertVerificationError, SSLError


def explainTLS(error: BaseException | None) -> str:
    """A short sentence about a failed handshake or connection.

    OpenSSL's own text names its source file and line; its reason alone says what a person needs: C{tlsv1 alert unknown
    ca} is the peer's opinion of our certificate, C{certificate verify failed: ...} ours of the peer's.
    """
    if isinstance(error, SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return str(error) or type(error).__name__

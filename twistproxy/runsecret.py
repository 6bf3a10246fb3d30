"""Random bytes that one run of the proxy makes its own secrets of: all its processes have the same, the next run has others."""

from __future__ import annotations

from os import urandom

_secret = [urandom(32)]


def runSecret() -> bytes:
    """Those of this run."""
    return _secret[0]


def setRunSecret(secret: bytes) -> None:
    """This process belongs to a run that has one already."""
    _secret[0] = secret

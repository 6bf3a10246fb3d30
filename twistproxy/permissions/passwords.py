"""Passwords and their hashes, as C{htpasswd} makes them: bcrypt, and Apache's own MD5 for files that have it already.

All of it takes a while, and is for threads.
"""

from __future__ import annotations

import re
from hashlib import md5
from hmac import compare_digest
from importlib.util import find_spec
from typing import Final

_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}\Z")
_APR1: Final = re.compile(r"\$apr1\$([^$:\s]{1,8})\$[./A-Za-z0-9]{22}\Z", re.ASCII)
_LONGEST_OF_BCRYPT: Final = 72
"""Bytes; it takes no more."""

_LONGEST: Final = 1024
"""Bytes; nobody types more, and Apache's MD5 would take long."""

_ALPHABET: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def checkHash(text: str) -> None:
    """Look whether passwords can be compared with this hash, in reasonable time.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    found = _BCRYPT.match(text)
    if found is None:
        if _APR1.match(text) is None or not text.isascii():
            raise ValueError("the hash is neither bcrypt's nor apr1's: make it by htpasswd -B")
    elif not 4 <= int(found[1]) <= 16:
        raise ValueError(f"a cost of {int(found[1])} is too {'low' if int(found[1]) < 4 else 'high'}")
    elif find_spec("bcrypt") is None:
        raise ValueError("bcrypt is not installed: pip install 'twistproxy[users]'")


def matches(password: bytes, hashed: bytes) -> bool:
    """Whether it is the hash of this password; it was checked by L{checkHash}."""
    if len(password) > _LONGEST:
        return False
    if hashed.startswith(b"$apr1$"):
        return compare_digest(apr1(password, hashed.split(b"$")[2]), hashed)
    import bcrypt  # an extra

    try:
        return bcrypt.checkpw(password[:_LONGEST_OF_BCRYPT], hashed)
    except ValueError:
        return False  # bcrypt takes no NUL


def apr1(password: bytes, salt: bytes) -> bytes:
    """Apache's variant of the MD5 crypt of FreeBSD (Poul-Henning Kamp, 1994): 1000 rounds, and another name in the first."""

    def digest(data: bytes) -> bytes:
        return md5(data, usedforsecurity=False).digest()

    mixed = digest(password + salt + password)
    first = password + b"$apr1$" + salt + (mixed * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        first += b"\0" if length & 1 else password[:1]
        length >>= 1
    final = digest(first)
    for turn in range(1000):
        inner = password if turn & 1 else final
        inner += salt if turn % 3 else b""
        inner += password if turn % 7 else b""
        final = digest(inner + (final if turn & 1 else password))
    groups = [(final[a] << 16 | final[a + 6] << 8 | final[(a + 12) if a < 4 else 5], 4) for a in range(5)]
    groups.append((final[11], 2))
    text = bytes(_ALPHABET[value >> 6 * at & 63] for value, count in groups for at in range(count))
    return b"$apr1$" + salt + b"$" + text

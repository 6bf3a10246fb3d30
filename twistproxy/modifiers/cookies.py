"""Cookies that an upstream sets for itself, made to fit the world's view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from zope.interface import implementer

from twistproxy.interfaces import IResponseModifier
from twistproxy.messages import InboundRequest, Response
from twistproxy.modifiers.inward import InwardNames
from twistproxy.publicurl import isBelow, publicOrigin, splitPort

_ANY = b"*"


@implementer(IResponseModifier)
class RewriteCookies:
    """Turn what Set-Cookie says of an upstream into what its clients know, and set flags, as
    rewrite-cookies:secure=yes:same-site=lax.

    A Path loses the base path of the upstream's URL and gets what strip-prefix took off; a Domain that holds the
    upstream's host but not the one that the client asked is taken out, so that the cookie is the latter's alone. What
    the options domain and path say comes first. Cookies named __Host-... keep both, as browsers want them.

    @param domain: OLD=NEW for a Domain; * as OLD stands for any, an empty NEW takes it out.
    @param path: OLD=NEW for what a Path begins with, by whole segments.
    @param secure: whether cookies are Secure; by default as they are.
    @param httpOnly: whether cookies are HttpOnly; by default as they are.
    @param sameSite: what SameSite says; none makes cookies Secure too, without which browsers refuse it.
    @param cookies: names of those that get the flags; by default all.
    """

    def __init__(
        self,
        *,
        domain: Mapping[str, str] | None = None,
        path: Mapping[str, str] | None = None,
        secure: bool | None = None,
        httpOnly: bool | None = None,
        sameSite: Literal["keep", "strict", "lax", "none"] = "keep",
        cookies: Sequence[str] = (),
    ) -> None:
        """@raise ValueError: when the options contradict each other."""
        if sameSite == "none" and secure is False:
            raise ValueError("same-site=none needs secure cookies")
        self._domains = {_bare(old): _bare(new) for old, new in (domain or {}).items()}
        self._paths = [(old.rstrip("/").encode(), new.rstrip("/").encode()) for old, new in (path or {}).items()]
        for each in (each for pair in (path or {}).items() for each in pair):
            if not each.startswith("/"):
                raise ValueError(f"path: {each!r} does not start with a slash")
        flags = {b"secure": True if sameSite == "none" else secure, b"httponly": httpOnly}
        self._flags = {name: wanted for name, wanted in flags.items() if wanted is not None}
        self._sameSite = b" SameSite=" + sameSite.title().encode() if sameSite != "keep" else b""
        self._cookies = frozenset(each.encode() for each in cookies)

    def modify(self, request: InboundRequest, response: Response) -> None:
        """Rewrite all cookies."""
        headers = response.headers
        values = headers.getRawHeaders(b"Set-Cookie")
        if values is not None:
            names = InwardNames(request, response.upstream) if response.upstream is not None else None
            headers.setRawHeaders(b"Set-Cookie", [self._cookie(request, names, each) for each in values])

    def _cookie(self, request: InboundRequest, names: InwardNames | None, cookie: bytes) -> bytes:
        first, *attributes = cookie.split(b";")
        name = first.partition(b"=")[0].strip()
        made = [first]
        for attribute in attributes:
            key, mark, content = attribute.partition(b"=")
            kind, old = key.strip().lower(), content.strip()
            new: bytes | None = old
            if kind == b"domain" and not name.startswith(b"__Host-"):
                new = self._domain(request, names, old)
            elif kind == b"path" and not name.startswith(b"__Host-"):
                new = self._path(names, old)
            if new == old:
                made.append(attribute)
            elif new is not None:
                made.append(key + mark + new)
        if not self._cookies or name in self._cookies:
            made = self._flagged(made)
        return b";".join(made)

    def _flagged(self, parts: list[bytes]) -> list[bytes]:
        for flag, wanted in self._flags.items():
            has = any(part.strip().lower() == flag for part in parts[1:])
            if wanted and not has:
                parts.append(b" Secure" if flag == b"secure" else b" HttpOnly")
            elif has and not wanted:
                parts[1:] = [part for part in parts[1:] if part.strip().lower() != flag]
        if self._sameSite:
            parts[1:] = [part for part in parts[1:] if part.partition(b"=")[0].strip().lower() != b"samesite"]
            parts.append(self._sameSite)
        return parts

    def _domain(self, request: InboundRequest, names: InwardNames | None, old: bytes) -> bytes | None:
        domain = old.lower().lstrip(b".")
        for known in (domain, _ANY):
            if known in self._domains:
                return self._domains[known] or None
        public = splitPort(publicOrigin(request)[1].lower())[0]
        if names is not None and not _isWithin(public, domain) and any(_isWithin(host, domain) for host in names.hosts):
            return None
        return old

    def _path(self, names: InwardNames | None, old: bytes) -> bytes:
        for prefix, other in self._paths:
            if isBelow(old, prefix):
                return _joined(other, old[len(prefix) :])
        new = names.publicPath(old) if names is not None and old.startswith(b"/") else None
        if new is None:
            return old
        return new.rstrip(b"/") or b"/" if old == b"/" else new


def _bare(domain: str) -> bytes:
    return domain.lower().lstrip(".").encode()


def _isWithin(host: bytes, domain: bytes) -> bool:
    """RFC 6265 section 5.1.3."""
    return host == domain or host.endswith(b"." + domain)


def _joined(prefix: bytes, rest: bytes) -> bytes:
    return prefix + (b"" if rest == b"/" else rest) or b"/"

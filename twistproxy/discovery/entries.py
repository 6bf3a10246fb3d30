"""One entry of a list, a file or a registry to an L{Upstream}: pure.

What is found is not trusted: an entry is a URL, or an address that takes its place in a format, and nothing of it
reaches anything but L{twistproxy.text.location.parseLocation} without a check.

In tables the address may be spelled as registries do: C{url}; C{address} or C{host} with C{port} (Curator, SmartStack's
Nerve, Eureka); C{serviceEndpoint} with C{host} and C{port}, and C{status} (Finagle's serversets).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any, Final

from attrs import Factory, evolve, field, frozen

from twistproxy.errors import ConfigurationError
from twistproxy.messages import Upstream
from twistproxy.settings import parseYesNo
from twistproxy.text.suggest import didYouMean
from twistproxy.text.upstreamtext import TLS_OPTIONS, UPSTREAM_OPTIONS, splitUpstream
from twistproxy.tls.config import UpstreamTLS

MAX_WEIGHT: Final = 1000
"""Greatest weight that an entry may ask for: some balancers keep a place in memory for each share."""
MAX_CONNECTIONS: Final = 1_000_000
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?\Z")
_ALIVE: Final = frozenset({"", "alive", "up", "passing"})
_OPTIONS: Final = ("weight", "max-conns", "backup", "priority", "metadata")
_KEYS: Final = ("url", "address", "host", "port", *_OPTIONS)
"""What a table that a person writes may have."""
_NAME: Final = "server-name"


@frozen
class EntryReader:
    """How the entries of one source become upstreams.

    @ivar format: a URL with C{%s} in the place of the address; behind it, after commas, what holds for all addresses:
        options of an upstream, those of TLS included.
    @ivar weights: weights by address, by its host alone, or by URL; they go before the entry's own.
    @ivar weight: that of all others.
    @ivar isStrict: whether an unknown key of a table is a mistake, as in what a person writes.
    @ivar hasNames: whether an entry may say by C{server-name} what its certificate has to be for.
    @ivar hasSockets: whether an entry may be a UNIX socket, which whoever can write to a remote registry may not choose.
    @ivar directory: what paths in the format are relative to.
    """

    format: str = "http://%s"
    weights: Mapping[str, int] = Factory(dict)
    weight: int = 1
    isStrict: bool = False
    hasNames: bool = False
    hasSockets: bool = False
    directory: str = ""
    _defaults: Mapping[str, Any] = field(init=False)
    _tls: UpstreamTLS = field(init=False)

    @_defaults.default
    def _readDefaults(self) -> Mapping[str, Any]:
        return checkFormat(self.format)

    @_tls.default
    def _readTLS(self) -> UpstreamTLS:
        return _tlsOf(self._defaults, self.directory)

    def __attrs_post_init__(self) -> None:
        """@raise ValueError: with a sentence for the person who configured it."""
        for name, weight in (*self.weights.items(), ("the default weight", self.weight)):
            if not 1 <= weight <= MAX_WEIGHT:
                raise ValueError(f"{name}: a weight is from 1 to {MAX_WEIGHT}, not {weight}")

    def read(self, entry: object) -> Upstream:
        """The upstream of C{entry}: text, or a table.

        @raise ValueError: when it is none; the sentence names the entry.
        """
        if isinstance(entry, Mapping):
            return self._build(self._words(entry))
        if isinstance(entry, str):
            return self._build(splitUpstream(entry.strip(), (*UPSTREAM_OPTIONS, _NAME) if self.hasNames else UPSTREAM_OPTIONS))
        raise ValueError(f"{shown(entry)} is neither text nor a table")

    def readAll(self, entries: Iterable[object]) -> tuple[list[Upstream], list[str]]:
        """The upstreams of all entries, and a sentence for each that is none."""
        found: list[Upstream] = []
        problems: list[str] = []
        for each in entries:
            try:
                found.append(self.read(each))
            except ValueError as error:
                problems.append(str(error))
        return found, problems

    def _words(self, table: Mapping[Any, Any]) -> dict[str, Any]:
        """The table in the words of L{splitUpstream}."""
        if self.isStrict:
            known = (*_KEYS, _NAME) if self.hasNames else _KEYS
            for key in table:
                if key not in known:
                    raise ValueError(f"{shown(table)} has an unknown key {key!r}{didYouMean(str(key), known)}")
        status = table.get("status", "")
        if not isinstance(status, str) or status.lower() not in _ALIVE:
            raise ValueError(f"{shown(table)} is not alive")
        place = table.get("serviceEndpoint", table)
        if not isinstance(place, Mapping):
            raise ValueError(f"{shown(table)}: serviceEndpoint is a table")
        words = {key: table[key] for key in (*_OPTIONS, _NAME) if table.get(key) is not None}
        words["url"] = table["url"] if table.get("url") is not None else _address(place)
        return words

    def _build(self, words: Mapping[str, Any]) -> Upstream:
        written = words["url"]
        if not isinstance(written, str):
            raise ValueError(f"{shown(written)} is no URL")
        isURL = "://" in written or written.startswith("unix:")
        if not isURL and not _ADDRESS.match(written):
            raise ValueError(f"{shown(written)} is neither an address nor a URL")
        if written.startswith("unix:") and not self.hasSockets:
            raise ValueError(f"{shown(written)}: UNIX sockets are not for others to choose")
        if not isURL:
            words = {**self._defaults, **words}
        backup = words.get("backup", False)
        if not isinstance(backup, bool):
            raise ValueError(f"{shown(written)}: backup is true or false, not {shown(backup)}")
        metadata = words.get("metadata", {})
        if not isinstance(metadata, Mapping):
            raise ValueError(f"{shown(written)}: metadata is a table")
        if words.get("priority") is not None:
            metadata = {**metadata, "priority": _count(written, "priority", words["priority"], 65535)}
        limit = _count(written, "max-conns", words.get("max-conns", 0), MAX_CONNECTIONS)
        url = written if isURL else self._defaults["url"].replace("%s", written)
        tls = UpstreamTLS() if isURL else self._tls
        if url.startswith("https:") and self.hasNames and not tls.serverName:
            tls = evolve(tls, serverName=str(words.get(_NAME, "")))
        try:
            upstream = Upstream(url, metadata=dict(metadata), backup=backup, maxConnections=limit, tls=tls)
        except ValueError as error:
            raise ValueError(shown(str(error), 300)) from None
        upstream.weight = self._weightOf(upstream, written, words.get("weight"))
        return upstream

    def _weightOf(self, upstream: Upstream, written: str, own: Any) -> int:
        for name in (written, upstream.url, upstream.key, upstream.location.authority.decode("ascii"), upstream.location.host):
            if name in self.weights:
                return self.weights[name]
        if own is None:
            return self.weight
        weight = _count(written, "weight", own, MAX_WEIGHT)
        if not weight:
            raise ValueError(f"{shown(written)} has weight 0: it takes no requests")
        return weight


def checkFormat(text: str) -> Mapping[str, Any]:
    """See that C{text} makes a URL of an address.

    @return: its words: C{url}, and what it says of all upstreams.
    @raise ValueError: with a sentence for the person who configured it.
    """
    if text.count("%s") != 1:
        raise ValueError(f"{text!r} needs one %s, for the address")
    words = splitUpstream(text, (*UPSTREAM_OPTIONS, *TLS_OPTIONS))
    host, _, tail = words["url"].partition("%s")
    sample = "127.0.0.1" if re.match(r":\d", tail) else "127.0.0.1:80"
    if "/" in host.partition("://")[2]:
        raise ValueError(f"{text!r}: %s stands in the place of host and port")
    Upstream(words["url"].replace("%s", sample))
    for name, most in (("weight", MAX_WEIGHT), ("max-conns", MAX_CONNECTIONS), ("priority", 65535)):
        if name in words:
            _count("format", name, words[name], most)
    return words


def _tlsOf(words: Mapping[str, Any], directory: str) -> UpstreamTLS:
    """What a format says of TLS.

    @raise ValueError: when it cannot be used.
    """
    said = {name: words[name] for name in TLS_OPTIONS if name in words}
    if not said:
        return UpstreamTLS()
    if not words["url"].startswith("https:"):
        raise ValueError(f"{next(iter(said))} is for https: there is no TLS to {words['url']}")
    if "key" in said and "cert" not in said:
        raise ValueError("a key needs its certificate: cert=FILE")
    from twistproxy.tls.contexts import clientContext

    paths = {name: os.path.join(directory, said[name]) for name in ("ca", "cert", "key") if name in said}
    made = UpstreamTLS(said.get(_NAME, ""), **paths, isInsecure=parseYesNo(said.get("insecure", "no")))
    try:
        clientContext(made)
    except ConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from None
    return made


def shown(entry: object, limit: int = 80) -> str:
    """An entry as a log may show it: short, and on one line."""
    text = repr(entry) if not isinstance(entry, str) or not entry.isprintable() else entry
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def hostAndPort(host: str, port: int) -> str:
    """As they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(table: Mapping[Any, Any]) -> str:
    """C{host:port} of a table that says them apart or together."""
    host = next((table[key] for key in ("address", "host", "ip", "ipAddr") if table.get(key)), None)
    if not isinstance(host, str):
        raise ValueError(f"{shown(dict(table))} has no address: url, or host and port")
    if table.get("port") is None:
        return host
    port = _count(host, "port", table["port"], 65535)
    if not port:
        raise ValueError(f"{shown(host)}: 0 is not a port")
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except ValueError:
        return f"{host}:{port}"


def _count(entry: str, name: str, value: Any, most: int) -> int:
    """A whole number, which text may be, or a float without a fraction."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{shown(entry)}: {name} is a whole number up to {most}, not {shown(value)}")
    return value

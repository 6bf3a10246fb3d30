"""One entry of a list, a file or a registry to an L{Upstream}: pure.

What is found is not trusted: an entry is a URL, or an address that takes its place in a format, and nothing of it
reaches anything but L{twistproxy.location.parseLocation} without a check.

In tables the address may be spelled as registries do: C{url}; C{address} or C{host} with C{port} (Curator, SmartStack's
Nerve, Eureka); C{serviceEndpoint} with C{host} and C{port}, and C{status} (Finagle's serversets).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any, Final

from attrs import Factory, frozen

from twistproxy.messages import Upstream
from twistproxy.suggest import didYouMean
from twistproxy.upstreamtext import splitUpstream

MAX_WEIGHT: Final = 1000
"""Greatest weight that an entry may ask for: some balancers keep a place in memory for each share."""
MAX_CONNECTIONS: Final = 1_000_000
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._~-]{1,32})?\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?\Z")
_ALIVE: Final = frozenset({"", "alive", "up", "passing"})
_OPTIONS: Final = ("weight", "max-conns", "backup", "priority", "metadata")
_KEYS: Final = ("url", "address", "host", "port", *_OPTIONS)
"""What a table that a person writes may have."""


@frozen
class EntryReader:
    """How the entries of one source become upstreams.

    @ivar format: a URL with C{%s} in the place of the address.
    @ivar weights: weights by address, by its host alone, or by URL; they go before the entry's own.
    @ivar weight: that of all others.
    @ivar isStrict: whether an unknown key of a table is a mistake, as in what a person writes.
    @ivar hasSockets: whether an entry may be a UNIX socket, which whoever can write to a remote registry may not choose.
    """

    format: str = "http://%s"
    weights: Mapping[str, int] = Factory(dict)
    weight: int = 1
    isStrict: bool = False
    hasSockets: bool = False

    def __attrs_post_init__(self) -> None:
        """@raise ValueError: with a sentence for the person who configured it."""
        checkFormat(self.format)
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
            return self._build(splitUpstream(entry.strip()))
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
            for key in table:
                if key not in _KEYS:
                    raise ValueError(f"{shown(table)} has an unknown key {key!r}{didYouMean(str(key), _KEYS)}")
        status = table.get("status", "")
        if not isinstance(status, str) or status.lower() not in _ALIVE:
            raise ValueError(f"{shown(table)} is not alive")
        place = table.get("serviceEndpoint", table)
        if not isinstance(place, Mapping):
            raise ValueError(f"{shown(table)}: serviceEndpoint is a table")
        words = {key: table[key] for key in _OPTIONS if table.get(key) is not None}
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
        backup = words.get("backup", False)
        if not isinstance(backup, bool):
            raise ValueError(f"{shown(written)}: backup is true or false, not {shown(backup)}")
        metadata = words.get("metadata", {})
        if not isinstance(metadata, Mapping):
            raise ValueError(f"{shown(written)}: metadata is a table")
        if words.get("priority") is not None:
            metadata = {**metadata, "priority": _count(written, "priority", words["priority"], 65535)}
        limit = _count(written, "max-conns", words.get("max-conns", 0), MAX_CONNECTIONS)
        url = written if isURL else self.format.replace("%s", written)
        try:
            upstream = Upstream(url, metadata=dict(metadata), backup=backup, maxConnections=limit)
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


def checkFormat(text: str) -> None:
    """See that C{text} makes a URL of an address.

    @raise ValueError: with a sentence for the person who configured it.
    """
    if text.count("%s") != 1:
        raise ValueError(f"{text!r} needs one %s, for the address")
    host, tail = text.partition("%s")[0], text.partition("%s")[2]
    sample = "127.0.0.1" if re.match(r":\d", tail) else "127.0.0.1:80"
    if "/" in host.partition("://")[2]:
        raise ValueError(f"{text!r}: %s stands in the place of host and port")
    Upstream(text.replace("%s", sample))


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

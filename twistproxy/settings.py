"""Every limit, timeout and policy that holds without configuration, with its documentation beside it.

L{Settings} is frozen; its attribute names in kebab-case are the names that C{--set NAME=VALUE} and the C{[settings]}
table take, and docs/reference/settings.md is generated from it. Times are seconds, sizes bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from attrs import Attribute, evolve, field, fields, frozen

from twistproxy.text.networks import Network, parseNetworks
from twistproxy.text.units import formatDuration, formatSize, parseDuration, parseSize

_DOCUMENTATION: Final = "documentation"
_KIND: Final = "kind"
Kind = Literal["duration", "size", "count", "yes-no", "networks", "word"]


def _setting(kind: Kind, default: Any, documentation: str) -> Any:
    return field(default=default, kw_only=True, metadata={_KIND: kind, _DOCUMENTATION: documentation})


@frozen
class Settings:
    """All of them; C{Settings()} is what holds without configuration."""

    # What a client may send.
    maxHeadBytes: int = _setting("size", 64 << 10, "Longest request head; a longer one is 431.")
    maxHeaderCount: int = _setting("count", 100, "Most header fields of a request; more are 431.")
    maxFieldBytes: int | None = _setting(
        "size", None, "Longest header field of a request, name and value; a longer one is 431. None: as long as a head."
    )
    maxTargetBytes: int = _setting("size", 8 << 10, "Longest request target; a longer one is 414.")
    maxBodyBytes: int | None = _setting("size", None, "Longest request body; a longer one is 413. None: any length.")
    maxTrailerBytes: int = _setting("size", 16 << 10, "Longest trailer section of either side.")
    maxPipelinedBytes: int = _setting(
        "size", 64 << 10, "What is read ahead from a client that waits for an answer, before reading pauses."
    )
    maxReplayBytes: int = _setting("size", 64 << 10, "Longest request body that is kept to be sent a second time.")
    maxLingerBytes: int = _setting(
        "size", 256 << 10, "What is still read, and dropped, of a request that was answered before its end."
    )

    maxConnections: int = _setting(
        "count", 0, "Most client connections of a process; while there are so many, no more are accepted. 0: any number."
    )
    maxConnectionsPerClient: int = _setting(
        "count", 0, "Most connections of one client address, or /64 network of IPv6 addresses, to a process; others are closed "
        "at once. Trusted proxies may have more. 0: any number."
    )  # fmt: skip
    maxRequestRate: int = _setting(
        "count", 0, "Most requests a second on one client connection, and so many at once; then 429, and it is closed. 0: any."
    )

    # What a client may take its time for.
    headTimeout: float = _setting(
        "duration", 15.0, "From the first byte of a request, or of a connection, to the end of its head; then 408."
    )
    keepAliveTimeout: float = _setting("duration", 75.0, "An idle client connection is closed after this.")
    bodyTimeout: float = _setting("duration", 30.0, "Longest pause within a request body; then 408.")
    minBodyRate: int = _setting(
        "count", 100, "Fewest bytes per second of a request body, taken over body-timeout; 0: any rate."
    )
    sendTimeout: float = _setting("duration", 60.0, "A client that takes nothing of its answer for this long is cut off.")
    lingerTimeout: float = _setting("duration", 5.0, "Longest wait for the rest of a request that was answered early.")
    certificateInterval: float = _setting(
        "duration", 10.0, "From one look for changed certificates to the next; 0: they are read at the start alone."
    )

    # Connections to upstreams.
    connectTimeout: float = _setting("duration", 10.0, "To open a connection to an upstream; then the next, or 504.")
    tlsHandshakeTimeout: float = _setting("duration", 10.0, "For the TLS handshake with an upstream.")
    tcpKeepAlive: float = _setting("duration", 30.0, "Interval of TCP keep-alive probes on both sides; 0: none.")
    maxIdleConnections: int = _setting("count", 512, "Most idle connections kept, over all upstreams.")
    maxIdlePerUpstream: int = _setting("count", 200, "Most idle connections kept to one upstream.")
    maxConnectionsPerUpstream: int = _setting("count", 0, "Most connections to one upstream at once; 0: any number.")
    idleConnectionTimeout: float = _setting(
        "duration", 60.0, "An idle upstream connection is closed after this; keep it below the upstream's own limit."
    )
    maxQueuedRequests: int = _setting(
        "count", 1024, "Most requests that wait while all upstreams of their pool are full; then 503."
    )
    queueTimeout: float = _setting("duration", 10.0, "Longest wait of a request while all upstreams are full; then 503.")

    # What an upstream may send, and take its time for.
    maxResponseHeadBytes: int = _setting("size", 64 << 10, "Longest response head; a longer one is 502.")
    maxResponseHeaderCount: int = _setting("count", 200, "Most header fields of a response; more are 502.")
    maxResponseFieldBytes: int | None = _setting(
        "size", None, "Longest header field of a response, name and value; a longer one is 502. None: as long as a head."
    )
    upstreamHeadTimeout: float = _setting("duration", 60.0, "From the end of the request to the response's head; then 504.")
    upstreamTimeout: float = _setting(
        "duration", 60.0, "Longest time without progress of an upstream that reads a request or sends a response."
    )
    expectContinueTimeout: float = _setting(
        "duration", 1.0, "A client that expects 100 gets it from the proxy when the upstream was silent for this long."
    )
    maxInformational: int = _setting("count", 32, "Most 1xx answers passed on before the final one; more are 502.")

    # Health checks.
    healthInterval: float = _setting("duration", 5.0, "From the start of one health check of an upstream to the next.")
    sharedHealthChecks: bool = _setting(
        "yes-no", True, "With several workers, one of them runs the health checks for all; no: each its own."
    )
    healthTimeout: float = _setting("duration", 3.0, "Longest health check; a longer one has failed.")
    healthFall: int = _setting("count", 3, "An upstream gets no more requests after so many failed checks in a row.")
    healthRise: int = _setting("count", 2, "It gets requests again after so many good checks in a row.")
    maxHealthChecks: int = _setting("count", 256, "Most health checks of a pool that run at once; 0: any number.")

    # Who of a pool is asked.
    slowStart: float = _setting(
        "duration", 0.0, "An upstream that came back, or is new, gets its whole share after this; 0: at once."
    )
    panicThreshold: int = _setting(
        "count", 0, "When fewer than so many percent of a pool are up, all are asked, whatever checks say; 0: never."
    )

    # Discovery of upstreams.
    discoveryInterval: float = _setting(
        "duration", 0.5, "Sources change the members of a pool once in this time at most: at once, then to the latest."
    )
    discoveryStartTimeout: float = _setting(
        "duration", 5.0, "Longest wait, before the proxy listens, for what the sources of each pool tell first."
    )
    discoveryAllowEmpty: bool = _setting(
        "yes-no", False, "Believe a source that tells that it has no members left; no: keep the last ones."
    )
    discoveryMaxShrink: int = _setting(
        "count", 50, "Percent of its members that a source may take away at once; more have to stay away for a while."
    )
    discoveryShrinkHold: float = _setting("duration", 10.0, "How long that while is; until then all members stay.")

    # Several workers.
    workerTimeout: float = _setting(
        "duration", 60.0, "A worker that does nothing at all for this long hangs: it is killed, and replaced; 0: never."
    )

    # Tunnels.
    tunnelIdleTimeout: float = _setting("duration", 3600.0, "A tunnel in which nothing moves is closed after this.")
    lenientUpgrade: bool = _setting("yes-no", False, "Accept a 101 that lacks Connection: upgrade.")

    # What is told to the upstream.
    trustedProxies: tuple[Network, ...] = _setting(
        "networks", (), "Proxies that are believed what they say about a client in X-Forwarded-*; unix: those over UNIX sockets."
    )
    trustedHops: int = _setting(
        "count", 0, "So many proxies stand before this one, and are believed whatever their addresses; 0: by address only."
    )
    readForwarded: bool = _setting(
        "yes-no", False, "Trusted proxies tell about a client by RFC 7239 Forwarded, and not by X-Forwarded-*."
    )
    xForwarded: bool = _setting(
        "yes-no", True, "Tell upstreams about the client by X-Forwarded-For, -Proto, -Host and X-Real-IP."
    )
    via: str = _setting("word", "", "The name that Via gets in both directions; empty: no Via.")
    forwarded: bool = _setting("yes-no", False, "Send RFC 7239 Forwarded as well.")

    # Asking another upstream.
    maxTries: int = _setting("count", 0, "Most upstreams asked for one request; 0: each once.")
    tryTimeout: float = _setting(
        "duration", 0.0, "From asking one upstream to its response's head; then the next, or 504. 0: any time."
    )
    triesTimeout: float = _setting(
        "duration", 0.0, "From a request's head to its response's, all tries and waits together; then 504. 0: any time."
    )
    retryBudget: int = _setting(
        "count", 20, "Most retries of a pool, in percent of its requests, taken over ten seconds. Failed connections are free."
    )
    retryBudgetMin: int = _setting("count", 3, "So many more retries of a pool for each second.")
    explain: bool = _setting("yes-no", False, "Record for each request why an upstream was picked, for access logs in JSON.")

    # The rest.
    splice: bool = _setting(
        "yes-no",
        True,
        "Let the Linux kernel move long bodies of known length, and tunnels in which a lot moves, between plain TCP and UNIX "
        "sockets; no: all through buffers.",
    )
    hookTimeout: float = _setting("duration", 30.0, "Longest wait for a plugin's answer, while it reads no body.")
    rememberedHeads: int = _setting(
        "count", 256, "How many heads of requests, and as many of responses, are known again, and four times the lines; 0: none."
    )
    drainTimeout: float = _setting("duration", 10.0, "At a stop, running exchanges get this long to end.")

    def with_(self, **changes: Any) -> Settings:
        """A copy with some values changed, named as the attributes are."""
        return evolve(self, **changes)


def kebab(name: str) -> str:
    """The configuration's spelling of an attribute: C{maxHeadBytes} is C{max-head-bytes}."""
    return re.sub(r"[A-Z]", lambda found: "-" + found[0].lower(), name)


@frozen
class SettingDescription:
    """One setting, for documentation and for parsing.

    @ivar name: in kebab-case.
    @ivar attribute: of L{Settings}.
    @ivar kind: how its text is read.
    @ivar default: as a person would write it.
    """

    name: str
    attribute: str
    kind: Kind
    default: str
    documentation: str


def describeSettings() -> Iterator[SettingDescription]:
    """All settings in the order of their definition."""
    each: Attribute[Any]
    for each in fields(Settings):
        kind = each.metadata[_KIND]
        shown = formatSetting(kind, each.default)
        yield SettingDescription(kebab(each.name), each.name, kind, shown, each.metadata[_DOCUMENTATION])


def formatSetting(kind: Kind, value: Any) -> str:
    """C{value} as C{--set} would take it."""
    if value is None:
        return "none"
    if kind == "duration":
        return formatDuration(value)
    if kind == "size":
        return formatSize(value)
    if kind == "yes-no":
        return "yes" if value else "no"
    if kind == "networks":
        return ",".join(map(str, value))
    return str(value)


_YES: Final = frozenset({"yes", "true", "on", "1"})
_NO: Final = frozenset({"no", "false", "off", "0"})


def parseYesNo(text: str) -> bool:
    """yes/no, true/false, on/off, 1/0.

    @raise ValueError: for anything else.
    """
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise ValueError(f"{text!r} is neither yes nor no")


def parseSetting(description: SettingDescription, text: str) -> Any:
    """The value that C{text} stands for.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    kind = description.kind
    if text.lower() == "none" and description.default == "none":
        return None
    if kind == "duration":
        return parseDuration(text)
    if kind == "size":
        return parseSize(text)
    if kind == "yes-no":
        return parseYesNo(text)
    if kind == "networks":
        return parseNetworks(text)
    if kind == "count":
        if not text.isascii() or not text.isdigit():
            raise ValueError(f"{text!r} is not a whole number")
        return int(text)
    return text

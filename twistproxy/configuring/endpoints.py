"""Listeners: Twisted's server endpoint strings, tried before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from twistproxy.config import ListenerConfig
from twistproxy.configuring.reading import Reader
from twistproxy.configuring.tls import readServerTLS, splitTLS, tableOfTLS
from twistproxy.loader.strings import PluginString, formatPluginString, parsePluginString
from twistproxy.settings import parseYesNo
from twistproxy.text.networks import Network, parseNetworks
from twistproxy.text.suggest import didYouMean, nearest

_PATH_OPTIONS: Final = frozenset({"privateKey", "certKey", "extraCertChain", "dhParameters"})
_ENDPOINTS: Final = ("tcp", "ssl", "unix", "tcp6", "systemd", "fd", "tls")


DEFAULT_ENDPOINT: Final = "tcp:8080"
"""Where clients connect when nobody says so."""

LOOPBACK_ENDPOINT: Final = "tcp:8080:interface=127.0.0.1"
"""The same, where a listener for everybody would be an open proxy."""

LISTENER_OPTIONS: Final = ("proxy-protocol", "transparent")
"""What may follow an endpoint, after commas."""


def readListener(reader: Reader, where: str, value: Any) -> ListenerConfig | None:
    """C{ENDPOINT[,proxy-protocol=NETWORK]...[,transparent=yes]}, or a table of the same."""
    before = len(reader.problems)
    if isinstance(value, Mapping):
        table, at = dict(value), f"{where}.endpoint"
    else:
        table, at = _split(reader, where, value) if isinstance(value, str) else {"endpoint": value}, where
    senders = _senders(reader, where, table.get("proxy-protocol", []))
    isTransparent = _yesNo(reader, where, "transparent", table.get("transparent", False))
    written, words = _withoutTLS(reader, at, table["endpoint"])
    if "tls" in table:
        words = tableOfTLS(reader, f"{where}.tls", table["tls"], words)
    endpoint = _endpoint(reader, at, written)
    tls = None if words is None else readServerTLS(reader, at, words)
    if endpoint is None or len(reader.problems) > before:
        return None
    return ListenerConfig(endpoint, senders, reader.place(at), tls, isTransparent)


def _yesNo(reader: Reader, where: str, name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return parseYesNo(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        reader.wrong(where, f"{name}: {error}")
        return False


def _withoutTLS(reader: Reader, where: str, written: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """An endpoint, and the words of the TLS over it that it says; None without any."""
    if not isinstance(written, str):
        return written, None
    try:
        return splitTLS(written)
    except ValueError as error:
        reader.wrong(where, str(error))
        return DEFAULT_ENDPOINT, None


def _split(reader: Reader, where: str, text: str) -> dict[str, Any]:
    """The words of C{ENDPOINT[,NAME=VALUE]...}; a comma may belong to the endpoint."""
    senders: list[str] = []
    words: dict[str, Any] = {}
    while True:
        rest, comma, last = text.rpartition(",")
        name, mark, value = last.partition("=")
        if comma and mark and name == "transparent":
            words[name] = value
        elif comma and mark and name in LISTENER_OPTIONS:
            senders.insert(0, value)
        elif comma and mark and nearest(name, LISTENER_OPTIONS):
            reader.wrong(where, f"a listener has no option {name!r}{didYouMean(name, LISTENER_OPTIONS)}")
        else:
            return {"endpoint": text, "proxy-protocol": senders, **words}
        text = rest


def _senders(reader: Reader, where: str, value: Any) -> tuple[Network, ...]:
    """Networks whose connections begin with the PROXY protocol."""
    found: list[Network] = []
    for each in value if isinstance(value, list) else [value]:
        try:
            networks = parseNetworks(each) if isinstance(each, str) else ()
        except ValueError as error:
            reader.wrong(where, f"proxy-protocol: {error}")
            continue
        if not networks:
            reader.wrong(where, f"proxy-protocol names the networks of those who send it, such as 10.0.0.0/8; not {each!r}")
        found += networks
    return tuple(found)


def _endpoint(reader: Reader, where: str, written: Any) -> str | None:
    """An endpoint string, tried."""
    if not isinstance(written, str):
        reader.wrong(where, 'an endpoint is text such as "tcp:8080"')
        return None
    endpoint: str = written
    try:
        if endpoint.startswith("haproxy:"):
            inner = endpoint.removeprefix("haproxy:")
            hint = f"write '{inner},proxy-protocol=NETWORK'"
            reader.wrong(where, f"haproxy: believes everybody who connects; {hint}, with the network of those who send PROXY")
            return None
        endpoint = _absolute(reader, endpoint)
        if not endpoint.startswith("systemd:"):  # its sockets are there only when systemd starts the process
            serverFromString(None, endpoint)
    except AttributeError:
        pass  # an endpoint of a third party that wants a reactor at once: it will have one when it listens
    except Exception as error:
        reader.wrong(where, _endpointSentence(endpoint, error))
        return None
    return endpoint


def _absolute(reader: Reader, endpoint: str) -> str:
    """C{endpoint} with its files found from the directory."""
    if not reader.directory:
        return endpoint
    spec = parsePluginString(endpoint)
    names = (spec.tag, *spec.args)
    at = names.index("unix") + 1 if "unix" in names[:2] else len(names)
    args = tuple(reader.path(each) if i == at else each for i, each in enumerate(names))
    options = {name: reader.path(value) if name in _PATH_OPTIONS else value for name, value in spec.options.items()}
    changed = PluginString(args[0], args[1:], options)
    return endpoint if changed == spec else formatPluginString(changed.tag, changed.args, changed.options)


def _endpointSentence(endpoint: str, error: Exception) -> str:
    name = endpoint.partition(":")[0]
    if endpoint.isdigit():
        hint = f"; did you mean 'tcp:{endpoint}'?"
    elif found := re.match(r"(?:([\d.]+)|\[([0-9A-Fa-f:]+)\]):(\d+)\Z", endpoint):
        interface = found[1] or found[2].replace(":", r"\:")
        hint = f"; did you mean 'tcp:{found[3]}:interface={interface}'?"
    elif "unknown endpoint type" in str(error).lower():
        third = [each.prefix for each in getPlugins(IStreamServerEndpointStringParser)]
        hint = didYouMean(name, [*_ENDPOINTS, *third])
    else:
        return f"{endpoint!r} is not an endpoint: {error or type(error).__name__}"
    return f"{endpoint!r} is not an endpoint{hint or f' ({error})'}"

"""Listeners: Twisted's server endpoint strings, tried before anything starts."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from twistproxy.config import ListenerConfig
from twistproxy.configuring.reading import Reader
from twistproxy.loader.strings import PluginString, formatPluginString, parsePluginString
from twistproxy.suggest import didYouMean

_PATH_OPTIONS: Final = frozenset({"privateKey", "certKey", "extraCertChain", "dhParameters"})
_ENDPOINTS: Final = ("tcp", "ssl", "unix", "tcp6", "systemd", "fd", "haproxy", "tls")


def readListener(reader: Reader, where: str, endpoint: Any) -> ListenerConfig | None:
    """An endpoint string, tried."""
    if not isinstance(endpoint, str):
        reader.wrong(where, 'an endpoint is text such as "tcp:8080"')
        return None
    try:
        endpoint = _absolute(reader, endpoint)
        if not endpoint.startswith("systemd:"):  # its sockets are there only when systemd starts the process
            serverFromString(None, endpoint)
    except AttributeError:
        pass  # an endpoint of a third party that wants a reactor at once: it will have one when it listens
    except Exception as error:
        reader.wrong(where, _endpointSentence(endpoint, error))
        return None
    return ListenerConfig(endpoint, reader.place(where))


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

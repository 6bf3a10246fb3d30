"""Upstreams as people write them: a URL with options after commas, a table, a plugin that finds upstreams."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args
from urllib.parse import quote, unquote

from twistproxy.config import PluginUse, UpstreamConfig
from twistproxy.configuring.reading import Reader, isPlugin
from twistproxy.configuring.tls import readUpstreamTLS
from twistproxy.interfaces import IUpstreamSource
from twistproxy.loader.finder import PluginSet
from twistproxy.text.location import parseLocation
from twistproxy.text.suggest import didYouMean, nearest
from twistproxy.text.upstreamtext import TLS_OPTIONS, UPSTREAM_OPTIONS, splitUpstream
from twistproxy.tls.config import BY_DEFAULT, UpstreamTLS
from twistproxy.wire.proxyprotocol import Version

_OPTIONS: Final = (*UPSTREAM_OPTIONS, *TLS_OPTIONS, "proxy-protocol")


def readUpstream(
    reader: Reader, where: str, value: Any, tls: UpstreamTLS = BY_DEFAULT
) -> UpstreamConfig | PluginUse | None:
    """C{URL[,weight=N][,max-conns=N][,priority=N][,backup]...}, a table of the same, or a plugin that finds upstreams."""
    if isinstance(value, Mapping):
        return reader.plugin(where, IUpstreamSource, value) if "url" not in value else _server(reader, where, value, tls)
    if not isinstance(value, str):
        reader.wrong(where, "an upstream is a string or a table")
        return None
    if isPlugin(reader.found, value, IUpstreamSource):
        return reader.plugin(where, IUpstreamSource, value)
    try:
        return _server(reader, where, splitUpstream(value.strip(), _OPTIONS), tls)
    except ValueError as error:
        reader.wrong(where, str(error))
        return None


def _server(reader: Reader, where: str, words: Mapping[str, Any], poolTLS: UpstreamTLS) -> UpstreamConfig | None:
    before = len(reader.problems)
    url = _url(reader, where, words["url"])
    for name in words:
        if name != "url" and name not in _OPTIONS:
            reader.wrong(where, f"an upstream has no option {name!r}{didYouMean(name, _OPTIONS)}")
    weight = _count(reader, where, "weight", words.get("weight"))
    limit = _count(reader, where, "max-conns", words.get("max-conns"))
    priority = _count(reader, where, "priority", words.get("priority"), 0)
    backup = words.get("backup", False)
    if not isinstance(backup, bool):
        reader.wrong(where, f"backup is true or false, not {backup!r}")
    version = readVersion(reader, where, words.get("proxy-protocol"))
    said = {name: words[name] for name in TLS_OPTIONS if name in words}
    if said and url and not url.lower().startswith("https:"):
        reader.wrong(where, f"{next(iter(said))} is for https upstreams: there is no TLS to {url}")
    if len(reader.problems) > before:
        return None
    default = poolTLS if url.lower().startswith("https:") else BY_DEFAULT
    tls = readUpstreamTLS(reader, where, said) if said else default
    if tls is None:
        return None
    return UpstreamConfig(url, weight, limit or 0, backup, priority or 0, reader.place(where), tls, version)


def readVersion(reader: Reader, where: str, value: Any) -> Version | None:
    """The version of the PROXY protocol that upstreams get."""
    if value is not None and value not in get_args(Version):
        reader.wrong(where, f"proxy-protocol is {' or '.join(get_args(Version))}, not {value!r}")
        return None
    version: Version | None = value
    return version


def _url(reader: Reader, where: str, written: Any) -> str:
    if not isinstance(written, str):
        reader.wrong(where, "url is text: put it in quotes")
        return ""
    url = written
    if found := re.match(r"unix:(?!/)([^:]+)", url):
        url = f"unix:{quote(reader.path(unquote(found[1])))}{url[found.end() :]}" if reader.directory else url
    try:
        parseLocation(url)
    except ValueError as error:
        reader.wrong(where, f"{error}{_urlHint(reader.found, url)}")
    return url


def _urlHint(plugins: PluginSet, url: str) -> str:
    name = url.partition(":")[0]
    if re.match(r"(?:[\w.-]*|\[[0-9A-Fa-f:]+\])(?::\d+)?(?:/|\Z)", url) and _isUpstream(f"http://{url}"):
        return f"; did you mean 'http://{url}'?"
    known = [tag for tag in plugins.byTag if plugins.provides(tag, IUpstreamSource)]
    near = nearest(name, [*known, "http", "https", "unix"])
    return f"; did you mean {near!r}?" if near and near != name else ""


def _count(reader: Reader, where: str, name: str, value: Any, least: int = 1) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        reader.wrong(where, f"{name} is a whole number from {least}, not {value!r}")
        return None
    return value


def _isUpstream(url: str) -> bool:
    try:
        parseLocation(url)
    except ValueError:
        return False
    return True

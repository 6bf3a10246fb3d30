"""A configuration as TOML, for C{--print-config}: what holds after all defaults. Secrets are masked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from twistproxy.config import (
    AccessLogConfig,
    Configuration,
    PluginUse,
    PoolConfig,
    RouteConfig,
    UpstreamConfig,
)
from twistproxy.forward.config import ForwardConfig
from twistproxy.loader.options import Option, optionName
from twistproxy.routing import RouteMatch
from twistproxy.settings import Settings, describeSettings, formatSetting
from twistproxy.text.secret import MASK, Secret
from twistproxy.text.units import formatDuration, formatShare, formatSize
from twistproxy.tls.config import ServerTLS

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


def configurationText(configuration: Configuration) -> str:
    """The whole of C{configuration} as a TOML file."""
    return "\n".join(_lines(configuration)).lstrip("\n") + "\n"


def _lines(configuration: Configuration) -> Iterator[str]:
    yield from _plugins("access-log", configuration.accessLogs)
    if configuration.errorLog:
        yield f"error-log = {_toml(configuration.errorLog)}"
    yield from _plugins("error-handler", configuration.errorHandlers)
    yield from _plugins("middleware", configuration.middleware)
    if configuration.demo:
        yield "# --demo adds its sample upstreams to pools.default"
    if configuration.workers > 1:
        yield f"workers = {configuration.workers}"
    for listener in configuration.listeners:
        yield from ("", "[[listeners]]", f"endpoint = {_toml(listener.endpoint)}")
        if listener.proxyProtocol:
            yield f"proxy-protocol = {_toml([str(each) for each in listener.proxyProtocol])}"
        if listener.tls is not None:
            yield f"tls = {_toml(_serverTLS(listener.tls))}"
        if listener.isTransparent:
            yield "transparent = true"
    if configuration.forward is not None:
        yield from _forward(configuration.forward)
    for pool in configuration.pools:
        yield from _pool(pool)
    for route in configuration.routes:
        yield from _route(route)
    yield from ("", "[settings]", *_settings(configuration.settings))


def _serverTLS(tls: ServerTLS) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if tls.certificates:
        files = [{"cert": each.cert, "key": each.key, "chain": each.chain} for each in tls.certificates]
        table["certificates"] = [{name: path for name, path in each.items() if path} for each in files]
    if tls.directory:
        table["certs"] = tls.directory
    if tls.clientCA:
        table["client-ca"] = tls.clientCA
        table["client-cert"] = tls.clientCertificates
    return {**table, "min-version": tls.minVersion}


def _forward(forward: ForwardConfig) -> Iterator[str]:
    yield from ("", "[forward]")
    yield f"allow = {_toml([str(each) for each in forward.policy.allowed])}"
    yield f"deny = {_toml([str(each) for each in forward.policy.denied])}"
    if forward.users:
        yield f"users = {_toml(forward.users)}"


def _pool(pool: PoolConfig) -> Iterator[str]:
    yield from ("", f"[pools.{_key(pool.name)}]")
    yield "upstreams = ["
    for each in pool.upstreams:
        yield f"    {_use(each) if isinstance(each, PluginUse) else _upstream(each)},"
    yield "]"
    yield f"balancer = {_use(pool.balancer)}"
    yield from _plugins("health", pool.health)
    yield from _plugins("passive", pool.passive)
    if pool.tls.words:
        yield f"tls = {_toml(pool.tls.words)}"
    if pool.proxyProtocol is not None:
        yield f"proxy-protocol = {_toml(pool.proxyProtocol)}"
    yield from _ownSettings(pool.settings)


def _upstream(upstream: UpstreamConfig) -> str:
    table: dict[str, Any] = {"url": upstream.url}
    if upstream.weight is not None:
        table["weight"] = upstream.weight
    if upstream.maxConnections:
        table["max-conns"] = upstream.maxConnections
    if upstream.priority:
        table["priority"] = upstream.priority
    if upstream.backup:
        table["backup"] = True
    table |= upstream.tls.words
    if upstream.proxyProtocol is not None:
        table["proxy-protocol"] = upstream.proxyProtocol
    return _toml(table if len(table) > 1 else upstream.url)


def _route(route: RouteConfig) -> Iterator[str]:
    yield from ("", "[[routes]]")
    match = _match(route.match)
    if match:
        yield f"match = {_toml(match)}"
    if route.pool is not None:
        yield f"pool = {_toml(route.pool)}"
    yield from _plugins("middleware", route.middleware)
    yield from _plugins("director", route.directors)
    yield from _plugins("modifier", route.modifiers)
    yield from _plugins("error-handler", route.errorHandlers)
    if route.retryPolicy is not None:
        yield f"retry-policy = {_use(route.retryPolicy)}"
    if route.roundTripper is not None:
        yield f"round-tripper = {_use(route.roundTripper)}"
    yield from _ownSettings(route.settings)


def _ownSettings(settings: Mapping[str, Any]) -> Iterator[str]:
    """Those of a route or pool."""
    if settings:
        shown = {
            each.name: formatSetting(each.kind, settings[each.attribute])
            for each in describeSettings()
            if each.attribute in settings
        }
        yield f"settings = {_toml(shown)}"


def _match(match: RouteMatch) -> dict[str, Any]:
    table: dict[str, Any] = {}
    if match.hosts:
        table["host"] = list(match.hosts)
    if match.path:
        table["path"] = match.path.decode()
    if match.pathRegex is not None:
        table["path-regex"] = match.pathRegex.pattern
    if match.methods:
        table["method"] = [each.decode() for each in match.methods]
    if match.headers:
        table["header"] = {
            each.name.decode(): not each.absent if each.value is None else each.value.decode() for each in match.headers
        }
    return table


def _settings(settings: Settings) -> Iterator[str]:
    for each in describeSettings():
        shown = formatSetting(each.kind, getattr(settings, each.attribute))
        yield f"{each.name} = {shown if each.kind == 'count' else _toml(shown)}"


def _plugins(key: str, uses: tuple[PluginUse | AccessLogConfig, ...]) -> Iterator[str]:
    if uses:
        shown = (_use(each) if isinstance(each, PluginUse) else _toml(f"{each.format}:{each.path}") for each in uses)
        yield f"{key} = [{', '.join(shown)}]"


def _use(use: PluginUse) -> str:
    """A string when there is nothing but the tag, else a table; positional values under their options' names."""
    describe = getattr(use.factory, "describeOptions", None)
    options: tuple[Option, ...] = describe() if describe is not None else ()
    table: dict[str, Any] = {"use": use.tag}
    places = [each for each in options if each.byPosition or each.many]
    for i, value in enumerate(use.args):
        option = places[min(i, len(places) - 1)] if places else None
        name = option.name if option is not None else f"argument-{i}"
        table[name] = [*table.get(name, []), value] if option and option.many else value
    byName = {name: option for option in options for name in (option.name, option.parameter)}
    for name, value in use.options.items():
        table[byName[name].name if name in byName else name] = value
    secret = {each.name for each in options if each.isSecret}
    shown = {name: _masked(value) if name in secret else value for name, value in table.items()}
    return _toml(shown if len(shown) > 1 else use.tag)


def _masked(value: Any) -> Any:
    """C{value}, unless it is the secret itself and not the name of its place."""
    if isinstance(value, str):
        return value if value.startswith(("env:", "file:")) else MASK
    return [_masked(each) for each in value] if isinstance(value, list) else value


def valueText(value: Any, words: str = "") -> str:
    """C{value} as one would write it for an option that L{Option.words} describes so."""
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else optionName(value.name)
    if words == "duration":
        return formatDuration(value)
    if words == "size":
        return formatSize(value)
    if words == "share":
        return formatShare(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(valueText, value)) or "none"
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    return str(value) if value != "" else '""'


def _key(name: str) -> str:
    return name if _BARE.match(name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_character(each) for each in value) + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


def _character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\u{ord(character):04x}"

"""TOML to a configuration: which tables and keys there are, and what they mean.

Relative paths in a file are relative to the file. A list of one may be written as its element.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from twistproxy.config import RouteConfig
from twistproxy.configuring.assembling import DEFAULT_POOL, Draft, PoolWords, readPool
from twistproxy.configuring.endpoints import LISTENER_OPTIONS, readListener
from twistproxy.configuring.forward import readForwardTable
from twistproxy.configuring.logs import readAccessLog, readErrorLog
from twistproxy.configuring.matching import readMatch
from twistproxy.configuring.reading import Reader, indexed
from twistproxy.configuring.settings import POOL_SETTINGS, ROUTE_SETTINGS, readSettings
from twistproxy.configuring.workers import readWorkers
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IDirector, IErrorHandler, IMiddleware, IResponseModifier, IRetryPolicy, IRoundTripper
from twistproxy.loader.finder import PluginSet
from twistproxy.text.upstreamtext import TLS_OPTIONS

TOP_KEYS: Final = (
    "listeners", "pools", "routes", "settings", "admin", "access-log", "error-log", "error-handler", "middleware", "plugin-path",
    "forward", "workers",
)  # fmt: skip
LISTENER_KEYS: Final = ("endpoint", *LISTENER_OPTIONS, "tls")
POOL_KEYS: Final = ("upstreams", "balancer", "health", "passive", "settings", "tls", "proxy-protocol")
ROUTE_KEYS: Final = (
    "match", "pool", "director", "modifier", "middleware", "error-handler", "retry-policy", "round-tripper", "settings",
)  # fmt: skip


class ConfigurationFile:
    """A file, parsed as TOML and not yet understood.

    @ivar path: as given.
    @ivar directory: where it is, absolute.
    """

    def __init__(self, path: str) -> None:
        """
        @raise ConfigurationError: when it cannot be read, or is no TOML.
        """
        self.path = path
        self.directory = os.path.dirname(os.path.abspath(path))
        try:
            with open(path, "rb") as file:
                self._table: dict[str, Any] = tomllib.load(file)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: not valid TOML: {error}") from None

    @property
    def pluginPath(self) -> list[str]:
        """The directories of plugins that it names, absolute."""
        value = self._table.get("plugin-path", [])
        return [os.path.join(self.directory, each) for each in _listed(value) if isinstance(each, str)]

    def read(self, plugins: PluginSet) -> tuple[Draft, list[str]]:
        """What the file says.

        @return: it, and a line for each mistake.
        """
        reader = Reader(plugins, self.directory, self.path)
        table = self._table
        draft = Draft(source=self.path)
        reader.keys("", table, TOP_KEYS)
        for where, each in _tables(reader, "listeners", table.get("listeners", [])):
            reader.keys(where, each, LISTENER_KEYS)
            if "endpoint" in each:
                listener = readListener(reader, where, each)
                draft.listeners += [listener] if listener else []
            elif not each or any(key in LISTENER_OPTIONS for key in each):
                reader.wrong(where, "has no endpoint")
        for name, each in _table(reader, "pools", table.get("pools", {})).items():
            draft.pools.append(readPool(reader, _poolWords(reader, name, each)))
        for where, each in _tables(reader, "routes", table.get("routes", [])):
            draft.routes.append(_readRoute(reader, where, each))
        settings = _table(reader, "settings", table.get("settings", {}))
        draft.settings = readSettings(reader, "settings.{}".format, settings.items())
        if "forward" in table:
            draft.forward = readForwardTable(reader, "forward", _table(reader, "forward", table["forward"]))
        if "admin" in table:
            reader.wrong("admin", "the admin interface is not built yet")
        for where, each in indexed("access-log", _listed(table.get("access-log", []))):
            log = readAccessLog(reader, where, each)
            draft.accessLogs += [log] if log else []
        if "workers" in table:
            draft.workers = readWorkers(reader, "workers", table["workers"])
        if "error-log" in table:
            draft.errorLog = readErrorLog(reader, "error-log", table["error-log"])
        handlers = indexed("error-handler", _listed(table.get("error-handler", [])))
        draft.errorHandlers += reader.plugins(IErrorHandler, handlers)
        draft.middleware += reader.plugins(IMiddleware, indexed("middleware", _listed(table.get("middleware", []))))
        return draft, reader.problems


def _poolWords(reader: Reader, name: str, value: Any) -> PoolWords:
    where = f"pools.{name}"
    table = _table(reader, where, value)
    reader.keys(where, table, POOL_KEYS)
    settings = _table(reader, f"{where}.settings", table.get("settings", {}))
    return PoolWords(
        name,
        where,
        indexed(f"{where}.upstreams", _listed(table.get("upstreams", []))),
        (f"{where}.balancer", table["balancer"]) if "balancer" in table else None,
        indexed(f"{where}.health", _listed(table.get("health", []))),
        indexed(f"{where}.passive", _listed(table.get("passive", []))),
        readSettings(reader, lambda name: f"{where}.settings.{name}", settings.items(), POOL_SETTINGS),
        tls=(f"{where}.tls", _upstreamTLS(reader, f"{where}.tls", table["tls"])) if "tls" in table else None,
        proxyProtocol=(f"{where}.proxy-protocol", table["proxy-protocol"]) if "proxy-protocol" in table else None,
    )


def _upstreamTLS(reader: Reader, where: str, value: Any) -> Mapping[str, Any]:
    table = _table(reader, where, value)
    reader.keys(where, table, TLS_OPTIONS)
    return {name: each for name, each in table.items() if name in TLS_OPTIONS}


def _readRoute(reader: Reader, where: str, table: Mapping[str, Any]) -> RouteConfig:
    reader.keys(where, table, ROUTE_KEYS)
    pool = table.get("pool")
    if pool is not None and not isinstance(pool, str):
        reader.wrong(f"{where}.pool", "a pool is named by text")
        pool = DEFAULT_POOL

    def plugins(key: str, interface: Any) -> Any:
        return reader.plugins(interface, indexed(f"{where}.{key}", _listed(table.get(key, []))))

    def plugin(key: str, interface: Any) -> Any:
        return reader.plugin(f"{where}.{key}", interface, table[key]) if key in table else None

    settings = _table(reader, f"{where}.settings", table.get("settings", {}))
    return RouteConfig(
        match=readMatch(reader, f"{where}.match", _table(reader, f"{where}.match", table.get("match", {}))),
        pool=pool,
        directors=plugins("director", IDirector),
        modifiers=plugins("modifier", IResponseModifier),
        middleware=plugins("middleware", IMiddleware),
        errorHandlers=plugins("error-handler", IErrorHandler),
        retryPolicy=plugin("retry-policy", IRetryPolicy),
        roundTripper=plugin("round-tripper", IRoundTripper),
        settings=readSettings(reader, lambda name: f"{where}.settings.{name}", settings.items(), ROUTE_SETTINGS),
        place=reader.place(where),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _table(reader: Reader, where: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    reader.wrong(where, f"is a table: write [{where}]")
    return {}


def _tables(reader: Reader, where: str, value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    pairs = indexed(where, _listed(value))
    found: list[tuple[str, Mapping[str, Any]]] = [pair for pair in pairs if isinstance(pair[1], dict)]
    if not isinstance(value, list) or len(found) < len(value):
        reader.wrong(where, f"is a list of tables: write [[{where}]]")
    return found

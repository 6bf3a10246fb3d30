"""The words of a command line to a configuration, together with the file that they name.

Without a file they make one listener, a pool C{default}, others that upstreams name, and one route. With one, what the
command line says of listeners, settings and logs stands in place of what the file says; pools and routes are told by one
of the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import Factory, define, evolve

from twistproxy.config import Configuration, RouteConfig
from twistproxy.configfile import ConfigurationFile
from twistproxy.configuring.assembling import DEFAULT_POOL, Draft, PoolWords, assemble, readPool
from twistproxy.configuring.endpoints import readListener
from twistproxy.configuring.forward import readForward
from twistproxy.configuring.logs import readAccessLog, readErrorLog
from twistproxy.configuring.reading import Reader, Written, counted
from twistproxy.configuring.settings import readSettings
from twistproxy.configuring.workers import readWorkers
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IDirector, IErrorHandler, IMiddleware, IResponseModifier, IRetryPolicy
from twistproxy.loader.finder import PluginSet, addPluginPath, findPlugins

_POOL: Final = re.compile(r",pool=([^,/?]*)(?=,|\Z)")
"""What names the pool of an upstream, behind its URL."""


@define
class CommandLine:
    """The options as they were given, in their order."""

    upstreams: list[str] = Factory(list)
    listeners: list[str] = Factory(list)
    balancer: str | None = None
    directors: list[str] = Factory(list)
    modifiers: list[str] = Factory(list)
    middleware: list[str] = Factory(list)
    errorHandlers: list[str] = Factory(list)
    health: list[str] = Factory(list)
    passive: list[str] = Factory(list)
    retryPolicy: str | None = None
    settings: list[str] = Factory(list)
    accessLogs: list[str] = Factory(list)
    errorLog: str | None = None
    admin: str | None = None
    configFile: str | None = None
    pluginPath: list[str] = Factory(list)
    demo: bool = False
    forward: bool = False
    forwardAllow: list[str] = Factory(list)
    forwardDeny: list[str] = Factory(list)
    forwardUsers: str | None = None
    transparent: bool = False
    workers: str | None = None


def loadConfiguration(words: CommandLine, warn: Callable[[str], None]) -> Configuration:
    """The configuration that C{words} and the file named there make.

    @param warn: told of each plugin that cannot be used, before anything else can be wrong for it.
    @raise ConfigurationError: with a line for each mistake.
    """
    file = _fileOf(words)
    plugins = _findPlugins(words, file)
    for each in plugins.warnings:
        warn(each)
    return configure(words, plugins, file)


def findPluginsFor(words: CommandLine) -> PluginSet:
    """The plugins that a configuration of C{words} may use.

    @raise ConfigurationError: when the file cannot be read, or a directory of plugins is none.
    """
    return _findPlugins(words, _fileOf(words))


def _fileOf(words: CommandLine) -> ConfigurationFile | None:
    return ConfigurationFile(words.configFile) if words.configFile is not None else None


def _findPlugins(words: CommandLine, file: ConfigurationFile | None) -> PluginSet:
    places = [("--plugin-path", each) for each in words.pluginPath]
    if file is not None:
        places += [(f"{file.path}: plugin-path", each) for each in file.pluginPath]
    problems: list[str] = []
    for place, directory in places:
        try:
            addPluginPath(directory)
        except ConfigurationError as error:
            problems += [f"{place}: {each}" for each in error.problems]
    if problems:
        raise ConfigurationError(*problems)
    return findPlugins()


def configure(words: CommandLine, plugins: PluginSet, file: ConfigurationFile | None = None) -> Configuration:
    """The configuration that C{words} and C{file} make.

    @raise ConfigurationError: with a line for each mistake.
    """
    reader = Reader(plugins)
    draft = Draft()
    if file is not None:
        draft, problems = file.read(plugins)
        reader.problems += problems
    _readListeners(reader, words, draft)
    _readLogs(reader, words, draft)
    draft.settings |= _readSettings(reader, words)
    _readForward(reader, words, draft)
    if words.workers is not None:
        draft.workers = readWorkers(reader, "--workers", words.workers)
    _readPool(reader, words, draft)
    _readRoute(reader, words, draft)
    if words.errorHandlers:
        draft.errorHandlers = [*reader.plugins(IErrorHandler, counted("--error-handler", words.errorHandlers))]
    if words.admin is not None:
        reader.wrong("--admin", "the admin interface is not built yet")
    return assemble(reader, draft)


def _readListeners(reader: Reader, words: CommandLine, draft: Draft) -> None:
    read = [readListener(reader, where, each) for where, each in counted("--listen", words.listeners)]
    if read:
        draft.listeners = [each for each in read if each is not None]


def _readLogs(reader: Reader, words: CommandLine, draft: Draft) -> None:
    logs = [readAccessLog(reader, where, each) for where, each in counted("--access-log", words.accessLogs)]
    if logs:
        draft.accessLogs = [each for each in logs if each is not None]
    if words.errorLog is not None:
        draft.errorLog = readErrorLog(reader, "--error-log", words.errorLog)


def _readSettings(reader: Reader, words: CommandLine) -> dict[str, object]:
    pairs: list[tuple[str, str]] = []
    for where, each in counted("--set", words.settings):
        name, mark, value = each.partition("=")
        if mark:
            pairs.append((name.strip(), value.strip()))
        else:
            reader.wrong(where, f"{each!r} is not NAME=VALUE")
    return readSettings(reader, "--set {}".format, pairs)


def _readForward(reader: Reader, words: CommandLine, draft: Draft) -> None:
    """The rules of a forward proxy, and whether connections are redirected to us."""
    given = {
        "--forward-allow": words.forwardAllow,
        "--forward-deny": words.forwardDeny,
        "--forward-users": words.forwardUsers is not None,
    }
    if words.forward:
        allow, deny = counted("--forward-allow", words.forwardAllow), counted("--forward-deny", words.forwardDeny)
        users = None if words.forwardUsers is None else ("--forward-users", words.forwardUsers)
        draft.forward = readForward(reader, "--forward", allow, deny, users)
    else:
        for option, value in given.items():
            if value:
                reader.wrong(option, "is for a forward proxy: add --forward")
    draft.isTransparent = words.transparent


def _readPool(reader: Reader, words: CommandLine, draft: Draft) -> None:
    """The pool C{default}, and those that upstreams name, unless the file has pools."""
    given = {
        "--upstream": words.upstreams, "--demo": words.demo, "--balancer": words.balancer, "--health": words.health,
        "--passive": words.passive,
    }  # fmt: skip
    if draft.source and draft.pools:
        for option, value in given.items():
            if value:
                reader.wrong(option, f"{draft.source} has pools of its own: say it there")
        return
    if words.forward and (words.upstreams or words.demo):
        reader.wrong("--forward", "goes where clients say: leave out --upstream and --demo, or name pools in a file")
        return
    upstreams = _byPool(reader, words)
    if words.demo and DEFAULT_POOL in upstreams:
        reader.wrong("--demo", "brings upstreams of its own: leave out --upstream")
    if not words.upstreams and not words.demo:
        if draft.choosesItself:
            for option in ("--balancer", "--health"):
                if given[option]:
                    reader.wrong(option, "is for upstreams, and there are none")
        elif draft.routes or draft.source:
            reader.problems.append(f"{draft.source}: there are no [pools], and no --upstream")
        else:
            reader.problems.append("no upstream: name one by --upstream URL, a file by --config FILE, or try --demo")
        return
    draft.demo = words.demo
    hasNone = not words.demo and DEFAULT_POOL not in upstreams
    if hasNone:
        reader.wrong("--upstream", "all name a pool, and nothing is left for the route's own: leave out pool= at one of them")
    pool = PoolWords(
        DEFAULT_POOL,
        "--demo" if words.demo else "--upstream",
        upstreams.pop(DEFAULT_POOL, ()),
        None if words.balancer is None else ("--balancer", words.balancer),
        counted("--health", words.health),
        counted("--passive", words.passive),
        mayBeEmpty=words.demo or hasNone,
    )
    draft.pools.append(readPool(reader, pool))
    draft.pools += [readPool(reader, PoolWords(name, f"--upstream of {name}", each)) for name, each in upstreams.items()]


def _byPool(reader: Reader, words: CommandLine) -> dict[str, list[Written]]:
    """The upstreams of each pool; of C{default} those that name none."""
    pools: dict[str, list[Written]] = {}
    for where, text in counted("--upstream", words.upstreams):
        names = _POOL.findall(text)
        if "" in names:
            reader.wrong(where, "pool needs a name, as in pool=shadow")
        if len(names) > 1:
            reader.wrong(where, "pool is given twice")
        name = names[0] if names else ""
        pools.setdefault(name or DEFAULT_POOL, []).append((where, _POOL.sub("", text)))
    return pools


def _readRoute(reader: Reader, words: CommandLine, draft: Draft) -> None:
    """The one route for everything, unless the file has routes."""
    policy = words.retryPolicy
    given = {
        "--director": words.directors, "--modifier": words.modifiers, "--middleware": words.middleware, "--retry-policy": policy,
    }  # fmt: skip
    if draft.routes:
        for option, value in given.items():
            if value:
                reader.wrong(option, f"{draft.source} has routes of its own: say it there")
    elif any(given.values()):
        route = RouteConfig(
            directors=reader.plugins(IDirector, counted("--director", words.directors)),
            modifiers=reader.plugins(IResponseModifier, counted("--modifier", words.modifiers)),
            middleware=reader.plugins(IMiddleware, counted("--middleware", words.middleware)),
            retryPolicy=None if policy is None else reader.plugin("--retry-policy", IRetryPolicy, policy),
            place="the command line",
        )
        names = [each.name for each in draft.pools]
        draft.routes.append(evolve(route, pool=DEFAULT_POOL) if DEFAULT_POOL in names else route)

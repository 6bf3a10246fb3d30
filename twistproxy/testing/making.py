"""From what a test says of a plugin to the objects: by the same door as a configuration's, where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isclass, isroutine
from typing import Any, Final

from attrs import evolve
from zope.interface import Interface

from twistproxy.calling.hooks import label
from twistproxy.config import BuildContext, PluginUse
from twistproxy.configuring.reading import Reader
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import (
    IAccessLog,
    IBalancer,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IMiddleware,
    IPassiveCheck,
    IPluginFactory,
    IResponseModifier,
    IRetryPolicy,
    IRoundTripper,
    IUpstreamSource,
)
from twistproxy.loader.finder import findPlugins
from twistproxy.loader.verify import verifyPlugin

PluginLike = Any
"""What a test may give for a plugin: the object; its class, if that needs no options; a plugin string such as
C{"tenant:header=X-Team"}, or a table with C{use}, as in a configuration file; a factory; a function, in place of an
object whose one method it is; a list of these; None for no plugin."""

_HOOKS: Final[Mapping[type[Interface], str]] = {
    IDirector: "direct",
    IResponseModifier: "modify",
    IErrorHandler: "handle",
    IMiddleware: "around",
    IAccessLog: "log",
    IRetryPolicy: "decide",
    IRoundTripper: "roundTrip",
    IBalancer: "pick",
    IHealthCheck: "check",
    IPassiveCheck: "judge",
    IUpstreamSource: "subscribe",
}
"""The method that a function stands for."""


class _Function:
    """A plugin of one method, made of a function."""

    def __init__(self, hook: str, function: Any) -> None:
        self.pluginName = getattr(function, "__qualname__", hook)
        setattr(self, hook, function)

    def report(self, upstream: object, outcome: object) -> None:
        """A balancer that is a function learns nothing."""

    def upstreamsChanged(self, upstreams: object) -> None:
        """It keeps nothing."""

    def startService(self) -> None:
        """A source that is a function is always ready."""

    def stopService(self) -> None:
        """It has nothing to be stopped."""


def makePlugins(kind: str, interface: type[Interface], given: PluginLike, context: BuildContext) -> list[Any]:
    """The objects.

    @param kind: what error messages call it, such as C{director}.
    @raise ConfigurationError: with a line for each mistake, as C{--check} would print it.
    """
    each = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    return [makePlugin(f"{kind} #{at}" if len(each) > 1 else kind, interface, one, context) for at, one in enumerate(each, 1)]


def makePlugin(place: str, interface: type[Interface], given: PluginLike, context: BuildContext) -> Any:
    """One object.

    @param place: names it in error messages.
    @raise ConfigurationError: with a line for each mistake.
    """
    if isinstance(given, (str, Mapping)):
        use = readPlugin(place, interface, given, context.directory)
        made = use.build(context)
        label(made, f"{use.tag} ({place})")
        return made
    if IPluginFactory.providedBy(given):
        made = given.build(evolve(context, place=place))
    elif isclass(given):
        made = given()
    elif isroutine(given):
        return _Function(_HOOKS[interface], given)
    else:
        made = given
    problems = verifyPlugin(interface, made)
    if problems:
        raise ConfigurationError(*(f"{place}: {each}" for each in problems))
    return made


def readPlugin(place: str, interface: type[Interface], written: str | Mapping[str, Any], directory: str = "") -> PluginUse:
    """The use of a plugin that a configuration says by this string or table.

    @raise ConfigurationError: with a line for each mistake.
    """
    reader = Reader(findPlugins(), directory)
    use = reader.plugin(place, interface, written)
    if use is None:
        raise ConfigurationError(*reader.problems)
    return use

"""Where plugins come from: drop-ins in C{twisted/plugins}, directories given by name, dotted class names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from traceback import extract_tb
from typing import Any, Final

from attrs import field, frozen
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.plugin import getPlugins
from twisted.python.failure import Failure
from twisted.python.log import callWithContext
from zope.interface import Interface, implementedBy, implementer

import twisted.plugins
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.building import describeError, loadName
from twistproxy.plugin import Plugin
from twistproxy.text.suggest import didYouMean

_MARK: Final = "twistproxy_discovery"
_BUILT_IN: Final = "twistproxy."


def addPluginPath(directory: str) -> None:
    """Put classes in C{directory}, and drop-ins in its C{twisted/plugins}, in reach.

    @raise ConfigurationError: when there is no such directory.
    """
    directory = os.path.abspath(directory)
    if not os.path.isdir(directory):
        raise ConfigurationError(f"{directory} is not a directory")
    if directory not in sys.path:
        sys.path.append(directory)
    dropins = os.path.join(directory, "twisted", "plugins")
    if dropins not in twisted.plugins.__path__:
        twisted.plugins.__path__.append(dropins)


@frozen
class PluginSet:
    """The plugins that were found.

    @ivar byTag: each plugin, by its tag.
    @ivar warnings: a line for each drop-in that could not be used, and for each tag that two of them claim.
    """

    byTag: Mapping[str, IPluginFactory]
    warnings: Sequence[str] = ()
    _clashes: Mapping[str, str] = field(factory=dict)

    def find(self, name: str, wanted: type[Interface]) -> IPluginFactory:
        """The plugin with the tag C{name}, or the class with that dotted name.

        @param wanted: the interface that its object has to have.
        @raise ConfigurationError: when there is none, or it is of another kind.
        """
        if name in self._clashes:
            raise ConfigurationError(self._clashes[name])
        found = self.named(name)
        if found is None:
            known = [tag for tag, each in self.byTag.items() if isOfKind(each, wanted)]
            hint = didYouMean(name, known) or (f" (there are: {', '.join(sorted(known))})" if known else " (there are none)")
            raise ConfigurationError(f"no {wanted.__name__} plugin is called {name!r}{hint}")
        if not isOfKind(found, wanted):
            kinds = " and ".join(each.__name__ for each in found.provides) or "nothing"
            raise ConfigurationError(f"{name!r} is the wrong kind of plugin: {wanted.__name__} is wanted, it is {kinds}")
        return found

    def named(self, name: str) -> IPluginFactory | None:
        """The plugin with the tag C{name}, or the class with that dotted name; None when no tag is so.

        @raise ConfigurationError: when there is no such class.
        """
        return _ofClass(name) if "." in name else self.byTag.get(name)

    def provides(self, name: str, wanted: type[Interface]) -> bool:
        """Whether C{name} is the tag of a plugin of this kind."""
        found = self.byTag.get(name)
        return found is not None and isOfKind(found, wanted)


def isOfKind(plugin: IPluginFactory, wanted: type[Interface]) -> bool:
    """Whether the objects of C{plugin} have the interface C{wanted}."""
    return any(each.isOrExtends(wanted) for each in plugin.provides)


def _ofClass(dotted: str) -> Plugin:
    """A plugin that no drop-in names: a class with C{@implementer}."""
    interfaces = tuple(implementedBy(loadName(dotted)))  # type: ignore[no-untyped-call]
    if not interfaces:
        raise ConfigurationError(f"{dotted} implements no interface: decorate it with @implementer(...)")
    plugin = Plugin("class", dotted, *interfaces)
    plugin.tag = dotted
    return plugin


def findPlugins(package: Any = None) -> PluginSet:
    """All plugins of all drop-ins; one that cannot be imported costs a warning and nothing else.

    @param package: the package to look in, for tests; L{twisted.plugins} when None.
    """
    claims: dict[str, list[IPluginFactory]] = {}
    warnings: list[str] = []
    with _quietly() as failures:
        found = callWithContext({_MARK: True, "log_level": LogLevel.debug}, lambda: list(getPlugins(IPluginFactory, package)))
    for failure in failures:
        warnings.append(_warning(failure))
    for plugin in found:
        if isinstance(error := _fault(plugin), str):
            warnings.append(error)
        else:
            claims.setdefault(plugin.tag, []).append(plugin)
    byTag = {tag: claimants[0] for tag, claimants in claims.items() if len(claimants) == 1}
    clashes: dict[str, str] = {}
    for tag, claimants in claims.items():
        if len(claimants) > 1:
            names = " and ".join(sorted(map(_nameOf, claimants)))
            ours = [each for each in claimants if _nameOf(each).startswith(_BUILT_IN)]
            if ours:
                # Nothing that somebody installs changes what a configuration without it means.
                byTag[tag] = ours[0]
                warnings.append(f"two plugins are called {tag!r}: {names}; twistproxy's own is used")
            else:
                clashes[tag] = f"two plugins are called {tag!r}: {names}; remove one of them"
    return PluginSet(byTag, (*warnings, *clashes.values()), clashes)


@contextmanager
def _quietly() -> Iterator[list[Failure]]:
    """Collects the failures that C{getPlugins} logs.

    It logs each as a critical event, which a Twisted command prints with its traceback at once. The events
    made here carry our mark, and C{callWithContext} has lowered their level.
    """
    failures: list[Failure] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get(_MARK) and isinstance(event.get("failure"), Failure):
            failures.append(event["failure"])

    globalLogPublisher.addObserver(observe)
    try:
        yield failures
    finally:
        globalLogPublisher.removeObserver(observe)


def _warning(failure: Failure) -> str:
    error = failure.value
    assert error is not None
    name = _dropinOf(error)
    return f"the drop-in {name} could not be imported, its plugins are not available: {describeError(error)}"


def _dropinOf(error: BaseException) -> str:
    """The drop-in in which C{error} came up: the first file of a C{twisted/plugins} in its traceback."""
    files = [each.filename for each in extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    directories = set(twisted.plugins.__path__)
    for file in files:
        if os.path.dirname(os.path.abspath(file)) in directories and not file.endswith("__init__.py"):
            return os.path.splitext(os.path.basename(file))[0]
    return "of unknown name"


def _fault(plugin: Any) -> str | None:
    """What keeps a third party's factory from being used at all."""
    tag = getattr(plugin, "tag", None)
    if not isinstance(tag, str) or not tag or "." in tag or ":" in tag:
        return f"the plugin {_nameOf(plugin)} has no usable tag: {tag!r}"
    if not callable(getattr(plugin, "build", None)) or not hasattr(plugin, "provides"):
        return f"the plugin {tag!r} ({_nameOf(plugin)}) lacks build or provides"
    return None


def _nameOf(plugin: Any) -> str:
    if isinstance(plugin, Plugin):
        return plugin.className
    return f"{type(plugin).__module__}.{type(plugin).__qualname__}"

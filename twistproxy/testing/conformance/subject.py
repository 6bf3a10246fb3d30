"""What is to be checked: a plugin in any of the forms in which a test may have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import isclass, isfunction, ismethod
from typing import Any, Final

from attrs import evolve
from zope.interface import Interface, providedBy

from twistproxy.config import BuildContext, PluginUse
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.finder import findPlugins
from twistproxy.loader.strings import parsePluginString
from twistproxy.loader.verify import verifyPlugin, whereIs
from twistproxy.testing.assembly import KINDS

_KIND_OF: Final[Mapping[type[Interface], str]] = {interface: kind for kind, interface in KINDS.items()}


class Subject:
    """A plugin to be checked.

    @ivar name: for the report.
    @ivar factory: what a drop-in names; None where none does.
    @ivar isFresh: whether each C{make} makes a new object.
    """

    def __init__(self, given: Any) -> None:
        """
        @param given: a plugin string or table, a factory, a class or function to be called without arguments, or an object.
        @raise ConfigurationError: when there is no such plugin.
        """
        self.isFresh = True
        self.factory: IPluginFactory | None = None
        self._use: PluginUse | None = None
        self._given = given
        if isinstance(given, (str, Mapping)):
            tag, args, options = _words(given)
            found = findPlugins()
            factory = found.named(tag)
            if factory is None:
                found.find(tag, Interface)  # says which one may have been meant
                raise ConfigurationError(f"no plugin is called {tag!r}")
            self.factory = factory if "." not in tag else None
            self.name = tag
            self._use = PluginUse("checkPlugin", Interface, factory, args, options)
        elif IPluginFactory.providedBy(given):
            example = getattr(given, "example", "") or given.tag
            tag, args, options = _words(example)
            self.factory = given
            self.name = given.tag
            self._use = PluginUse("its example", Interface, given, args, options)
        elif isclass(given) or isfunction(given) or ismethod(given):
            self.name = whereIs(given)
        else:
            self.name = whereIs(type(given))
            self.isFresh = False

    def make(self, context: BuildContext) -> Any:
        """The object.

        @raise ConfigurationError: when it cannot be made.
        """
        if self._use is not None:
            return evolve(self._use, directory=context.directory).build(context)
        return self._given() if self.isFresh else self._given

    def kinds(self, made: Any) -> list[str]:
        """Which of the harness's keywords this object can be given for."""
        kinds = [_KIND_OF[each] for each in interfacesOf(made) if each in _KIND_OF]
        if "balancer" in kinds and "modifier" in kinds:
            kinds.remove("modifier")  # a balancer that is a modifier too is asked without being named a second time
        return kinds


def interfacesOf(made: Any) -> list[type[Interface]]:
    """The interfaces of twistproxy that an object says it provides."""
    provided = providedBy(made)
    return [each for each in provided.flattened() if each.__module__ == "twistproxy.interfaces"]


def checkObject(made: Any) -> Sequence[type[Interface]]:
    """The interfaces of an object, all of which it really has.

    @raise AssertionError: naming what it lacks.
    """
    interfaces = interfacesOf(made)
    if not interfaces:
        raise AssertionError(f"{whereIs(type(made))} implements no interface: decorate it with @implementer(...)")
    problems = [problem for each in interfaces for problem in verifyPlugin(each, made)]
    if problems:
        raise AssertionError("\n".join(problems))
    return interfaces


def _words(given: str | Mapping[str, Any]) -> tuple[str, tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(given, str):
        words = parsePluginString(given)
        return words.tag, words.args, words.options
    return given["use"], (), {name: value for name, value in given.items() if name != "use"}

"""What every part of a configuration is read with: places, paths, plugins, and the list of mistakes.

A mistake is kept with its place and reading goes on, so that all of them are told at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from zope.interface import Interface

from twistproxy.config import PluginUse
from twistproxy.errors import ConfigurationError
from twistproxy.loader.finder import PluginSet
from twistproxy.loader.strings import parsePluginString
from twistproxy.text.suggest import didYouMean, nearest

_CLASS: Final = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Z]\w*\Z")

Written = tuple[str, Any]
"""Something that a person wrote, after its place."""


def counted(option: str, values: Iterable[Any]) -> list[Written]:
    """Values of a repeated option of the command line: C{--director #1}."""
    return [(f"{option} #{i}", value) for i, value in enumerate(values, 1)]


def indexed(key: str, values: Iterable[Any]) -> list[Written]:
    """Values of a list in a file: C{routes[0].director[0]}."""
    return [(f"{key}[{i}]", value) for i, value in enumerate(values)]


class Reader:
    """What all parts of one configuration are read with.

    @ivar found: the plugins there are.
    @ivar directory: what relative paths are relative to; empty: the working directory.
    @ivar problems: a line for each mistake so far.
    """

    def __init__(self, plugins: PluginSet, directory: str = "", source: str = "") -> None:
        """
        @param source: the file that is read, which every place then starts with.
        """
        self.found = plugins
        self.directory = directory
        self._source = f"{source}: " if source else ""
        self.problems: list[str] = []

    def place(self, where: str) -> str:
        """C{where} as error messages and log know it."""
        return self._source + where

    def wrong(self, where: str, *sentences: str) -> None:
        """Keep a mistake."""
        self.problems += [f"{self.place(where)}: {each}" for each in sentences]

    def keys(self, where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
        """Complain of each key of C{table} that is none of C{known}."""
        for key in table:
            if key not in known:
                hint = didYouMean(key, known) or f" (known here: {', '.join(known)})"
                self.wrong(f"{where}.{key}" if where else key, f"unknown key{hint}")

    def path(self, path: str) -> str:
        """A path in its absolute form, where it is relative to a file."""
        return os.path.join(self.directory, path)

    def plugin(self, where: str, interface: type[Interface], value: Any) -> PluginUse | None:
        """A plugin string, or a table with C{use}."""
        spec = self._pluginString(where, value)
        if spec is None:
            return None
        name, args, options = spec
        try:
            factory = self.found.find(name, interface)
        except ConfigurationError as error:
            self.wrong(where, *error.problems)
            return None
        use = PluginUse(self.place(where), interface, factory, args, options, self.directory)
        problems = use.check()
        self.problems += problems
        return None if problems else use

    def plugins(self, interface: type[Interface], values: Iterable[Written]) -> tuple[PluginUse, ...]:
        """One plugin for each of C{values}."""
        made = (self.plugin(where, interface, value) for where, value in values)
        return tuple(each for each in made if each is not None)

    def _pluginString(self, where: str, value: Any) -> tuple[str, tuple[Any, ...], Mapping[str, Any]] | None:
        if isinstance(value, Mapping):
            name = value.get("use")
            if not isinstance(name, str) or not name:
                near = nearest("use", value)
                self.wrong(where, 'a plugin table needs use = "tag"' + (f"; you wrote {near!r}" if near else ""))
                return None
            return name, (), {key: each for key, each in value.items() if key != "use"}
        if not isinstance(value, str):
            self.wrong(where, 'a plugin is a string, or a table with use = "tag"')
            return None
        try:
            spec = parsePluginString(value)
        except ValueError as error:
            self.wrong(where, str(error))
            return None
        return spec.tag, spec.args, spec.options


def isPlugin(plugins: PluginSet, text: str, interface: type[Interface]) -> bool:
    """Whether C{text} is a plugin string: of a tag of this kind, or of C{module.Class}."""
    name = text.partition(":")[0]
    return plugins.provides(name, interface) or _CLASS.match(name) is not None

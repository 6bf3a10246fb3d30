"""What C{--list-plugins} and C{--help-plugin} print."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc, getdoc
from typing import Any

from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.finder import PluginSet
from twistproxy.loader.options import Option
from twistproxy.suggest import didYouMean


def listPlugins(plugins: PluginSet) -> str:
    """A table of all plugins: tag, kinds, summary, sorted by kind and tag."""
    rows = [(each.tag, _kinds(each), each.summary) for each in plugins.byTag.values()]
    if not rows:
        return "no plugins were found\n"
    rows.sort(key=lambda row: (row[1], row[0]))
    return _table(rows)


def helpPlugin(plugins: PluginSet, tag: str) -> str:
    """What the plugin with the tag, or dotted class name, C{tag} does and takes.

    @raise ConfigurationError: when there is none, or it cannot be loaded.
    """
    plugin = plugins.named(tag)
    if plugin is None:
        raise ConfigurationError(f"no plugin is called {tag!r}{didYouMean(tag, plugins.byTag)}")
    parts = [f"{plugin.tag}: {_kinds(plugin)}"]
    if plugin.summary:
        parts.append(plugin.summary)
    describe = getattr(plugin, "describeOptions", None)
    if describe is None:
        return "\n\n".join([*parts, cleandoc(getdoc(plugin) or "")]).rstrip() + "\n"
    load = getattr(plugin, "load", None)
    if load is not None and (documentation := getdoc(load())):
        parts.append(documentation)
    options: Sequence[Option] = describe()
    parts.append("Options:\n" + _table([_row(each) for each in options]) if options else "It has no options.")
    return "\n\n".join(parts).rstrip() + "\n"


def _kinds(plugin: IPluginFactory) -> str:
    return ", ".join(each.__name__ for each in plugin.provides)


def _row(option: Option) -> tuple[str, str, str]:
    name = f"  {option.name}" + ("..." if option.many else "")
    if option.any:
        name = "  any other name"
    if option.isRequired:
        return name, option.words, "required"
    return name, option.words, "" if option.many or option.any else f"default {_shown(option)}"


def _shown(option: Option) -> str:
    """The default as one would write it."""
    from twistproxy.configtext import valueText

    default: Any = option.default
    return valueText(default, option.words) if default is not None else "none"


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "".join(f"{a:<{first}}  {b:<{second}}  {c}".rstrip() + "\n" for a, b, c in rows)

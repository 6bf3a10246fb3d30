"""What C{--list-plugins} and C{--help-plugin} print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import cleandoc, getdoc
from textwrap import fill
from typing import Any, Final

from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.finder import PluginSet
from twistproxy.loader.options import Option
from twistproxy.text.suggest import didYouMean

_WIDTH: Final = 100
_FIELD: Final = re.compile(r"^@(\w+) ?(\w*):", re.MULTILINE)
_MARKUP: Final = re.compile(r"[A-Z]\{([^{}]*)\}")


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
    text, meanings = _documentation(load()) if load is not None else ("", {})
    if text:
        parts.append(text)
    options: Sequence[Option] = describe()
    parts.append("Options:\n" + "".join(_described(options, meanings)).rstrip() if options else "It has no options.")
    example = getattr(plugin, "example", "")
    if example:
        parts.append(f"Example:\n  {example}")
    return "\n\n".join(parts).rstrip() + "\n"


def _documentation(maker: Any) -> tuple[str, Mapping[str, str]]:
    """What the docstring of a class or function says, and what it, or the constructor's, says of each C{@param}."""
    text = ""
    meanings: dict[str, str] = {}
    for docstring in (getattr(getattr(maker, "__init__", None), "__doc__", None), getdoc(maker)):
        text, *fields = _FIELD.split(_MARKUP.sub(r"\1", cleandoc(docstring or "")))
        for kind, name, meaning in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            if kind == "param":
                meanings[name] = " ".join(meaning.split())
    return text.rstrip(), meanings


def _described(options: Sequence[Option], meanings: Mapping[str, str]) -> Iterator[str]:
    """The table of options, each with its meaning below it."""
    rows = _table([_row(each) for each in options]).splitlines(keepends=True)
    for option, row in zip(options, rows, strict=True):
        yield row
        if meaning := meanings.get(option.parameter):
            yield fill(meaning, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6) + "\n"


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

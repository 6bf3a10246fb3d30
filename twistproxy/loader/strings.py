"""The grammar of plugin strings: C{tag:argument:name=value}, as in Twisted's endpoint strings.

Colons part the tag, its arguments and its options; the first C{=} of a part ends an option's name; a
backslash takes the next character as it is. Unlike C{twisted.internet.endpoints}, whose parser is private, a
name given twice and a backslash at the end are errors. What the words mean is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import Factory, frozen


@frozen
class PluginString:
    """A parsed plugin string.

    @ivar tag: names the plugin.
    @ivar args: the parts without a name, in order.
    @ivar options: the parts with a name.
    """

    tag: str
    args: tuple[str, ...] = ()
    options: Mapping[str, str] = Factory(dict)


def parsePluginString(text: str) -> PluginString:
    """Take C{text} apart.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    parts = list(_parts(text.strip()))
    name, tag = parts[0]
    if name is not None or not tag:
        raise ValueError(f"{text!r} does not start with the name of a plugin")
    args: list[str] = []
    options: dict[str, str] = {}
    for name, value in parts[1:]:
        if name is None:
            args.append(value)
        elif name in options:
            raise ValueError(f"{text!r} gives {name!r} twice")
        else:
            options[name] = value
    return PluginString(tag, tuple(args), options)


def _parts(text: str) -> Iterator[tuple[str | None, str]]:
    """Name, or None, and value of each part between colons."""
    name: str | None = None
    current: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            taken = next(characters, None)
            if taken is None:
                raise ValueError(f"{text!r} ends in a backslash, which takes the next character as it is")
            current.append(taken)
        elif character == ":":
            yield name, "".join(current)
            name, current = None, []
        elif character == "=" and name is None:
            name, current = "".join(current), []
        else:
            current.append(character)
    yield name, "".join(current)


def formatPluginString(tag: str, args: Sequence[str] = (), options: Mapping[str, str] | None = None) -> str:
    """The string that L{parsePluginString} takes apart into these."""
    parts = [_quote(tag, "=")]
    parts += [_quote(arg, "=") for arg in args]
    parts += [f"{_quote(name, '=')}={_quote(value)}" for name, value in (options or {}).items()]
    return ":".join(parts)


def _quote(text: str, also: str = "") -> str:
    return "".join("\\" + character if character in "\\:" + also else character for character in text)

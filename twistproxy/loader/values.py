"""Values of plugin options: from what a person wrote, in a string or TOML, to what an annotation asks for.

Understood are str, int, float, bool, bytes, L{Duration}, L{Size}, Enum classes, Literal, list, tuple and dict
of those, unions, C{re.Pattern}, C{pathlib.Path} and L{Secret}. A parameter without annotation gets its value
as it was written. In text, commas part the values of a list or dict, but for those after a backslash.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from twistproxy.text.secret import Secret
from twistproxy.text.suggest import didYouMean
from twistproxy.text.units import parseDuration, parseShare, parseSize

_YES: Final = frozenset({"yes", "true", "on", "1"})
_NO: Final = frozenset({"no", "false", "off", "0"})
_COMMA: Final = re.compile(r"(?<!\\),")


def convert(annotation: Any, value: Any, directory: str = "") -> Any:
    """C{value} as C{annotation} wants it.

    @param directory: what relative paths are relative to.
    @raise ValueError: with a sentence for the person who wrote it.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _convertAnnotated(arguments[0], arguments[1:], value, directory)
    if origin in (Union, types.UnionType):
        return _convertUnion(arguments, value, directory)
    if origin is Literal:
        return _choose({str(each): each for each in arguments}, value)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choose(_enumWords(annotation), value)
    kind = origin or annotation
    if kind in _SEQUENCES:
        return _convertSequence(kind, arguments, value, directory)
    if kind in (dict, Mapping):
        return _convertMapping(arguments, value, directory)
    if kind is re.Pattern:
        return _pattern(bytes in arguments, value)
    if kind is Secret:
        return Secret.read(value, directory)
    if kind is Path:
        return Path(directory, _text(value, directory))
    reader = _SCALARS.get(kind)
    if reader is not None:
        return reader(_text(value, directory) if isinstance(value, Mapping) else value)
    return value


def words(annotation: Any) -> str:
    """What to write for C{annotation}, in words, for help and error messages; empty when anything goes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        named = [each for each in arguments[1:] if each in _UNITS]
        return str(named[0]) if named else words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(words(each) for each in arguments if each is not types.NoneType)
    if origin is Literal:
        return "|".join(map(str, arguments))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(_enumWords(annotation))
    kind = origin or annotation
    if kind in _SEQUENCES:
        return f"list of {words(arguments[0]) or 'values'}" if arguments else "list"
    return _WORDS.get(kind, "")


def _convertAnnotated(kind: Any, marks: Sequence[Any], value: Any, directory: str) -> Any:
    for mark in marks:
        if isinstance(mark, str) and mark in _UNITS:
            if isinstance(value, str):
                return _UNITS[mark](value)
            if _isNumber(value) and value >= 0:
                return kind(value)
            raise ValueError(f"{_shown(value)} is not a {mark}")
    return convert(kind, value, directory)


def _convertUnion(arguments: Sequence[Any], value: Any, directory: str) -> Any:
    if types.NoneType in arguments and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    problems: list[str] = []
    for each in arguments:
        if each is not types.NoneType:
            try:
                return convert(each, value, directory)
            except ValueError as error:
                problems.append(str(error))
    raise ValueError(", or ".join(problems))


def _convertSequence(kind: Any, arguments: Sequence[Any], value: Any, directory: str) -> Any:
    if isinstance(value, str):
        value = _split(value)
    elif not isinstance(value, (list, tuple)):
        value = [value]
    inner = arguments[0] if arguments else Any
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(arguments) != len(value):
            raise ValueError(f"{_shown(value)} does not have {len(arguments)} values")
        return tuple(convert(each, item, directory) for each, item in zip(arguments, value, strict=True))
    made = (convert(inner, item, directory) for item in value)
    return list(made) if kind is list else frozenset(made) if kind in (set, frozenset) else tuple(made)


def _convertMapping(arguments: Sequence[Any], value: Any, directory: str) -> dict[Any, Any]:
    if isinstance(value, str):
        value = _pairs(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{_shown(value)} is not a table")
    keys, values = arguments or (str, Any)
    return {convert(keys, name, directory): convert(values, each, directory) for name, each in value.items()}


def _split(text: str) -> list[str]:
    """What stands between commas; a backslash takes a comma as it is."""
    pieces = (each.replace("\\,", ",").strip() for each in _COMMA.split(text))
    return [each for each in pieces if each]


def _pairs(text: str) -> dict[str, Any]:
    """C{NAME=VALUE, ...}; the values of a name that is given more than once are a list."""
    table: dict[str, Any] = {}
    for piece in _split(text):
        name, mark, content = (each.strip() for each in piece.partition("="))
        if not mark:
            raise ValueError(f"{name!r} is not NAME=VALUE")
        if name in table:
            before = table[name]
            table[name] = [*before, content] if isinstance(before, list) else [before, content]
        else:
            table[name] = content
    return table


def _choose(choices: Mapping[str, Any], value: Any) -> Any:
    text = str(value)
    for word, meaning in choices.items():
        if word.lower() == text.lower():
            return meaning
    raise ValueError(f"{text!r} is none of {', '.join(choices)}{didYouMean(text, choices)}")


def _enumWords(kind: type[Enum]) -> dict[str, Enum]:
    """By value where that is text, else by name in kebab-case."""
    return {each.value if isinstance(each.value, str) else each.name.lower().replace("_", "-"): each for each in kind}


def _pattern(ofBytes: bool, value: Any) -> re.Pattern[Any]:
    text = _text(value)
    try:
        return re.compile(text.encode() if ofBytes else text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def _text(value: Any, directory: str = "") -> str:
    if isinstance(value, Mapping):
        return str.__str__(Secret.read(value, directory))
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not text: put it in quotes")
    return value


def _int(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            pass
    elif _isNumber(value) and value == int(value):
        return int(value)
    raise ValueError(f"{_shown(value)} is not a whole number")


def _float(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value.strip())
        except ValueError:
            pass
    elif _isNumber(value):
        return float(value)
    raise ValueError(f"{_shown(value)} is not a number")


def _bool(value: Any) -> bool:
    text = str(value).lower()
    if text in _YES or text in _NO:
        return text in _YES
    raise ValueError(f"{_shown(value)} is neither yes nor no")


def _isNumber(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _shown(value: Any) -> str:
    """C{value} in a sentence, as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, time)):
        return str(value)
    return "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else repr(value)


_SEQUENCES: Final[tuple[Any, ...]] = (list, tuple, set, frozenset, Sequence)
_UNITS: Final[Mapping[str, Callable[[str], float]]] = {
    "duration": parseDuration,
    "size": parseSize,
    "share": parseShare,
}
_SCALARS: Final[Mapping[Any, Callable[[Any], Any]]] = {
    str: _text,
    bytes: lambda value: _text(value).encode(),
    int: _int,
    float: _float,
    bool: _bool,
}
_WORDS: Final[Mapping[Any, str]] = {
    str: "text",
    bytes: "text",
    int: "whole number",
    float: "number",
    bool: "yes|no",
    dict: "NAME=VALUE, ...",
    Mapping: "NAME=VALUE, ...",
    re.Pattern: "regular expression",
    Path: "path",
    Secret: "env:NAME or file:PATH",
}

"""Whether an object is the plugin that it says it is, and how to tell its author that it is not."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getsourcefile, getsourcelines, isclass
from typing import Any

from zope.interface import Interface
from zope.interface.exceptions import (  # type: ignore[attr-defined]
    BrokenImplementation,
    BrokenMethodImplementation,
    DoesNotImplement,
    Invalid,
    MultipleInvalid,
)
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from twistproxy.text.suggest import nearest


def verifyPlugin(interface: type[Interface], plugin: Any) -> list[str]:
    """What keeps C{plugin} from being an C{interface}: a sentence each, none when it is one."""
    try:
        verifyObject(interface, plugin)
    except MultipleInvalid as error:
        wrong: tuple[Invalid, ...] = error.exceptions
    except Invalid as error:
        wrong = (error,)
    else:
        return []
    return [_sentence(interface, plugin, each) for each in wrong]


def whereIs(thing: Any) -> str:
    """C{module.Class (file:line)} of a class, function or object."""
    kind = thing if isclass(thing) or (callable(thing) and hasattr(thing, "__qualname__")) else type(thing)
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        return f"{name} ({getsourcefile(kind)}:{getsourcelines(kind)[1]})"
    except (OSError, TypeError):
        return name


def _sentence(interface: type[Interface], plugin: Any, error: Invalid) -> str:
    name = interface.__name__
    where = whereIs(type(plugin))
    if isinstance(error, DoesNotImplement):
        return f"{where} does not say @implementer({name})"
    if isinstance(error, BrokenMethodImplementation):
        method = error.method.__name__ if callable(error.method) else str(error.method)
        return f"{where} is no {name}: its {method} does not take {_signature(interface, method)} ({error.mess})"
    if isinstance(error, BrokenImplementation):
        wanted = error.name if isinstance(error.name, str) else error.name.__name__
        near = nearMiss(wanted, plugin)
        hint = f"; rename {near} to {wanted}" if near else ""
        return f"{where} is no {name}: it has no {wanted}{_signature(interface, wanted)}{hint}"
    return f"{where} is no {name}: {error}"


def _signature(interface: type[Interface], name: str) -> str:
    found = interface.get(name)
    if not isinstance(found, Method):
        return ""
    return str(found.getSignatureString())  # type: ignore[no-untyped-call]


def nearMiss(wanted: str, plugin: Any) -> str | None:
    """The public method of C{plugin} that was meant to be C{wanted}, as C{modifyResponse} for C{modify}."""
    names = sorted(_publicMethods(plugin), key=len)
    for name in names:
        plain, want = name.replace("_", "").lower(), wanted.lower()
        if plain.startswith(want) or plain.endswith(want):
            return name
    return nearest(wanted, names)


def _publicMethods(plugin: Any) -> Iterator[str]:
    for name in dir(type(plugin)):
        if not name.startswith("_") and callable(getattr(type(plugin), name, None)):
            yield name

"""From a named class and its options to a verified object; errors are for whoever wrote the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from traceback import extract_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twistproxy.errors import ConfigurationError
from twistproxy.loader.options import bindOptions
from twistproxy.loader.verify import verifyPlugin
from twistproxy.text.suggest import didYouMean

if TYPE_CHECKING:
    from twistproxy.plugin import Plugin


def loadName(dotted: str) -> Callable[..., Any]:
    """What C{module.name} names.

    @raise ConfigurationError: when it cannot be imported or called.
    """
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}.")
        hint = " (a directory of plugins is named by --plugin-path)" if missing else ""
        raise ConfigurationError(f"{module} could not be imported: {describeError(error)}{hint}") from error
    if found is None:
        raise ConfigurationError(f"{module} has no {name}{didYouMean(name, vars(import_module(module)))}")
    if not callable(found):
        raise ConfigurationError(f"{dotted} is not a class")
    made: Callable[..., Any] = found
    return made


def checkOptions(plugin: Plugin, args: Sequence[Any], options: Mapping[str, Any], directory: str) -> Sequence[str]:
    """What is wrong with the options of C{plugin}, a line each."""
    try:
        bindOptions(plugin.load(), args, options, directory)
    except ConfigurationError as error:
        return [_named(plugin, each) for each in error.problems]
    return ()


def buildPlugin(plugin: Plugin, context: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Make and verify the object that C{plugin} names.

    @raise ConfigurationError: with a line for each mistake.
    """
    try:
        maker = plugin.load()
        bound = bindOptions(maker, args, options, getattr(context, "directory", ""), context)
        made = _make(maker, bound.args, bound.kwargs)
        problems = [each for interface in plugin.provides for each in verifyPlugin(interface, made)]
        if problems:
            raise ConfigurationError(*problems)
    except ConfigurationError as error:
        raise ConfigurationError(*(_named(plugin, each) for each in error.problems)) from error
    return made


def _named(plugin: Plugin, problem: str) -> str:
    return problem if problem.startswith(plugin.tag) else f"{plugin.tag}: {problem}"


def _make(maker: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    try:
        return maker(*args, **options)
    except ConfigurationError:
        raise
    except ValueError as error:
        # A constructor's word about the values that it got: for whoever wrote them, and no bug.
        raise ConfigurationError(str(error)) from error
    except Exception as error:
        raise ConfigurationError(f"could not be made: {describeError(error)}") from error


def describeError(error: BaseException) -> str:
    """C{error} in a line: what, and where it came from."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    where = _place(error.__traceback__)
    return f"{type(error).__name__}: {error}{where}"


def _place(traceback: TracebackType | None) -> str:
    """The last line of somebody else's code in the traceback."""
    here = os.path.dirname(__file__)
    frames = [
        each
        for each in extract_tb(traceback)
        if not each.filename.startswith((here, "<frozen importlib")) and os.sep + "importlib" + os.sep not in each.filename
    ]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""

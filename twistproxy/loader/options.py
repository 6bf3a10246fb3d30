"""A plugin's options, as its constructor's signature tells them: there is no second schema.

C{maxRetries} and C{max_retries} are both the option C{max-retries}. A parameter named C{context} is not an
option: it gets the context of the configuration.
"""

from __future__ import annotations

import re
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import BoundArguments, Parameter, Signature, isclass, signature
from typing import Any, Final, Union, get_args, get_origin

from attrs import evolve, frozen

from twistproxy.errors import ConfigurationError
from twistproxy.loader.values import convert, words
from twistproxy.text.secret import Secret
from twistproxy.text.suggest import didYouMean

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_")

NOTHING: Final = Parameter.empty
"""The default of an option that must be given."""


def optionName(parameter: str) -> str:
    """How a configuration spells a parameter: C{maxRetries} and C{max_retries} are both C{max-retries}."""
    return _HUMP.sub("-", parameter.strip("_")).lower()


@frozen
class Option:
    """One option.

    @ivar name: in kebab-case.
    @ivar parameter: of the constructor.
    @ivar annotation: its type, resolved.
    @ivar default: L{NOTHING} when it must be given.
    @ivar byPosition: whether it may be given without its name.
    @ivar many: whether it takes all further arguments, C{*args}.
    @ivar any: whether it takes options of any name, C{**options}.
    """

    name: str
    parameter: str
    annotation: Any
    default: Any
    byPosition: bool
    many: bool = False
    any: bool = False

    @property
    def isRequired(self) -> bool:
        """Whether there is no default."""
        return self.default is NOTHING and not self.many and not self.any

    @property
    def words(self) -> str:
        """What to write for it."""
        return words(self.annotation)

    @property
    def isSecret(self) -> bool:
        """Whether its value must not be shown."""
        return _mentions(self.annotation, Secret)


def describeOptions(maker: Callable[..., Any]) -> tuple[Option, ...]:
    """The options of a class, or of a function that makes an object.

    @raise ConfigurationError: when its signature cannot be read.
    """
    try:
        parameters = signature(maker).parameters.values()
    except (TypeError, ValueError):
        raise ConfigurationError(f"{maker!r} has no signature to take options from") from None
    return tuple(_option(maker, each) for each in parameters if each.name != CONTEXT)


CONTEXT: Final = "context"
"""The parameter that gets the context of the configuration."""


def bindOptions(
    maker: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any],
    directory: str = "",
    context: Any = None,
) -> BoundArguments:
    """What to call C{maker} with.

    @param args: values without a name.
    @param options: values by option or parameter name.
    @param directory: what relative paths are relative to.
    @param context: for a parameter of that name.
    @raise ConfigurationError: with a line for each mistake.
    """
    described = describeOptions(maker)
    problems: list[str] = []
    given: dict[str, Any] = {}

    def take(option: Option, value: Any) -> Any:
        try:
            return convert(option.annotation, value, directory)
        except ValueError as error:
            problems.append(f"{option.name}: {error}")
            return None

    _takeArguments(described, args, given, take, problems)
    _takeOptions(described, options, given, take, problems, args)
    problems += [f"needs the option {each.name!r}" for each in described if each.isRequired and each.parameter not in given]
    if problems:
        raise ConfigurationError(*problems)
    parameters = signature(maker)
    if CONTEXT in parameters.parameters:
        given[CONTEXT] = context
    return BoundArguments(parameters, OrderedDict(given))


_Take = Callable[["Option", Any], Any]
_ESCAPE: Final = r"within a plugin string a colon is written \:, as in http\://..."


def _takeArguments(
    described: Sequence[Option], args: Sequence[Any], given: dict[str, Any], take: _Take, problems: list[str]
) -> None:
    places = [option for option in described if option.byPosition]
    rest = next((option for option in described if option.many), None)
    for i, value in enumerate(args):
        if i < len(places):
            given[places[i].parameter] = take(places[i], value)
        elif rest is not None:
            given[rest.parameter] = (*given.get(rest.parameter, ()), take(rest, value))
        else:
            problems.append(f"takes no argument {value!r}{_hint(value, described)}")


def _takeOptions(
    described: Sequence[Option],
    options: Mapping[str, Any],
    given: dict[str, Any],
    take: _Take,
    problems: list[str],
    args: Sequence[Any],
) -> None:
    places = [option.parameter for option in described if option.byPosition]
    named = [option for option in described if not option.any]
    byName = {name: option for option in named for name in (option.parameter, option.name)}
    rest = next((option for option in described if option.any), None)
    for name, value in options.items():
        option = byName.get(name)
        if option is not None and option.parameter in given:
            at = places.index(option.parameter) if option.parameter in places else len(args)
            unnamed = f", once without its name: {args[at]!r}; {_ESCAPE}" if at < len(args) else ""
            problems.append(f"gets {option.name!r} twice{unnamed}")
        elif option is not None and option.many:
            given[option.parameter] = tuple(take(option, each) for each in (value if isinstance(value, list) else [value]))
        elif option is not None:
            given[option.parameter] = take(option, value)
        elif rest is not None:
            given.setdefault(rest.parameter, {})[name] = take(evolve(rest, name=name), value)
        else:
            problems.append(f"has no option {name!r}{didYouMean(name, [each.name for each in named]) or _known(named)}")


def _known(described: Sequence[Option]) -> str:
    return f" (its options: {', '.join(each.name for each in described)})" if described else " (it has none)"


def _hint(value: Any, described: Sequence[Option]) -> str:
    if isinstance(value, str) and value.startswith("//"):
        return f"; {_ESCAPE}"
    return _known(described)


def _option(maker: Callable[..., Any], parameter: Parameter) -> Option:
    return Option(
        name=optionName(parameter.name),
        parameter=parameter.name,
        annotation=_annotation(maker, parameter),
        default=parameter.default,
        byPosition=parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD),
        many=parameter.kind is Parameter.VAR_POSITIONAL,
        any=parameter.kind is Parameter.VAR_KEYWORD,
    )


def _annotation(maker: Callable[..., Any], parameter: Parameter) -> Any:
    """The annotation itself, where C{from __future__ import annotations} left its text."""
    annotation = parameter.annotation
    if annotation is Signature.empty:
        return _ofDefault(parameter.default)
    if not isinstance(annotation, str):
        return annotation
    for names in _namespaces(maker):
        try:
            return eval(annotation, names)
        except NameError:
            continue
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            break
    else:
        reason = "it is not known at run time"
    raise ConfigurationError(f"the type {annotation!r} of {parameter.name!r} cannot be read: {reason}")


def _ofDefault(default: Any) -> Any:
    """A type for a parameter without annotation: its default's, where that is a plain one."""
    return type(default) if isinstance(default, (bool, int, float, str)) else Any


def _namespaces(maker: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Where names in an annotation may be defined: a constructor may be inherited from another module."""
    for each in maker.__mro__ if isclass(maker) else (maker,):
        module = sys.modules.get(each.__module__)
        if module is not None:
            yield dict(vars(module))


def _mentions(annotation: Any, wanted: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType, list, tuple, dict):
        return any(_mentions(each, wanted) for each in get_args(annotation))
    return annotation is wanted

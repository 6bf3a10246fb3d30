"""Plugins for the tests of the loader: a module of its own, with postponed annotations, as an author's would be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zope.interface import implementer

from twistproxy.interfaces import IBalancer, IDirector, IResponseModifier
from twistproxy.plugin import Duration, Secret, Size

if TYPE_CHECKING:
    from twistproxy.config import BuildContext
    from twistproxy.messages import Upstream


class Colour(Enum):
    DARK_RED = 1
    BLUE = 2


class Mode(Enum):
    STRICT = "strict"
    LAX = "lax"


@implementer(IDirector)
class Everything:
    """Takes an option of every kind."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        header: str,
        count: int = 1,
        ratio: float = 0.5,
        isOn: bool = False,
        limit: Duration = 5.0,
        max_size: Size = 1024,
        mode: Mode = Mode.LAX,
        colour: Colour = Colour.BLUE,
        level: Literal["low", "high"] = "low",
        names: Sequence[str] = (),
        waits: list[Duration] | None = None,
        pair: tuple[int, str] = (1, "a"),
        maybe: int | None = None,
        pattern: re.Pattern[str] | None = None,
        raw: bytes = b"",
        token: Secret | None = None,
        pages: Path | None = None,
        table: dict[str, int] | None = None,
        untyped: Any = None,
        guessed=3,
    ) -> None:
        self.given = {name: value for name, value in locals().items() if name != "self"}

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Decides nothing."""


@implementer(IDirector)
class Contextual:
    def __init__(self, context: BuildContext, *names: str, **more: int) -> None:
        self.context, self.names, self.more = context, names, more

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Decides nothing."""


@implementer(IResponseModifier)
class Misnamed:  # type: ignore[misc]
    def modifyResponse(self, request: Any, response: Any) -> None:
        """Not the hook's name."""


@implementer(IResponseModifier)
class Snake:  # type: ignore[misc]
    def modify_response(self, request: Any, response: Any) -> None:
        """Not the hook's name either."""


@implementer(IResponseModifier)
class TooFew:
    def modify(self, response: Any) -> None:  # type: ignore[override]
        """Lacks an argument."""


class Undeclared:
    def direct(self, inbound: Any, outbound: Any) -> None:
        """The class says nowhere what it is."""


@implementer(IDirector)
class Picky:
    def __init__(self, port: int = 1) -> None:
        if port == 13:
            raise ValueError("13 is no port for a sailor")
        if port == 14:
            raise KeyError("missing")

    async def direct(self, inbound: Any, outbound: Any) -> None:
        """May be a coroutine."""


@implementer(IDirector)
class Unreadable:
    def __init__(self, thing: Upstream) -> None:
        """Its annotation is not there at run time."""

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Decides nothing."""


@implementer(IDirector, IBalancer)
class Both:
    def direct(self, inbound: Any, outbound: Any) -> None:
        """Decides nothing."""

    def pick(self, request: Any, candidates: Sequence[Any]) -> Any:
        """The first."""
        return candidates[0]

    def report(self, upstream: Any, outcome: Any) -> None:
        """Learns nothing."""

    def upstreamsChanged(self, upstreams: Sequence[Any]) -> None:
        """Keeps nothing."""


class Broken:
    def __init__(self, thing: 1 / 0) -> None:  # type: ignore[valid-type]
        """Its annotation is no expression that works either."""


class Inherited(Picky):
    """Its constructor is another class's."""


def makePicky(port: int = 2) -> Picky:
    """A function makes one as well."""
    return Picky(port)


notCallable = 3

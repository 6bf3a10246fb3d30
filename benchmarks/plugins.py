"""What plugins cost that do nothing: an exchange without sockets, as in request.py, with none and with one of each kind.

    .venv/bin/python benchmarks/plugins.py [small|browser]

Prints microseconds of an exchange, the least of many repeats, the candidates in turn; how much more that is than with no
plugin; and what it is of the requests per second of such a proxy without sockets. With sockets, where an exchange costs
twice as much and more, plugins cost a smaller part of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

from request import CASES, Proxied, casesOf, leastMicroseconds
from zope.interface import implementer

from twistproxy.interfaces import IDirector, IErrorHandler, IMiddleware, IResponseModifier


@implementer(IDirector)
class Director:
    """Decides nothing."""

    def direct(self, inbound: Any, outbound: Any) -> None:
        return None


@implementer(IDirector)
class TouchingDirector:
    """Sets a header."""

    def direct(self, inbound: Any, outbound: Any) -> None:
        outbound.headers.setRawHeaders(b"X-Tenant", [b"blue"])


@implementer(IResponseModifier)
class Modifier:
    """Changes nothing."""

    def modify(self, request: Any, response: Any) -> None:
        return None


@implementer(IMiddleware)
class Middleware:
    """Only proceeds."""

    def around(self, request: Any, proceed: Any) -> Any:
        return proceed()


@implementer(IMiddleware)
class AsyncMiddleware:
    """Only proceeds, as a coroutine."""

    async def around(self, request: Any, proceed: Any) -> Any:
        return await proceed()


@implementer(IErrorHandler)
class ErrorHandler:
    """Answers nothing."""

    def handle(self, request: Any, error: Any) -> None:
        return None


NONE: Final = "none"
BAR: Final = "director, modifier, middleware"
CANDIDATES: Final[dict[str, dict[str, Any]]] = {
    NONE: {},
    "director": {"directors": [Director()]},
    "director that sets a header": {"directors": [TouchingDirector()]},
    "modifier": {"modifiers": [Modifier()]},
    "middleware": {"middleware": [Middleware()]},
    "middleware, async": {"middleware": [AsyncMiddleware()]},
    "error handler": {"errorHandlers": [ErrorHandler()]},
    BAR: {"directors": [Director()], "modifiers": [Modifier()], "middleware": [Middleware()]},
}
"""What the proxy is made with."""


def measure(case: str, repeats: int, exchanges: int) -> dict[str, float]:
    """Microseconds of an exchange with each candidate."""
    proxies = {name: Proxied(casesOf(case), **options) for name, options in CANDIDATES.items()}
    best = dict.fromkeys(proxies, float("inf"))
    for _ in range(repeats):
        for name, proxied in proxies.items():
            best[name] = min(best[name], leastMicroseconds(proxied, 1, exchanges))
    return best


def show(name: str, best: dict[str, float], say: Callable[[str], None] = print) -> None:
    """Print the table of one case, and the line that the bar is about."""
    none = best[NONE]
    say(f"{name:<32} {'us':>7} {'more':>7} {'loses':>6}")
    for candidate, cost in best.items():
        say(f"  {candidate:<30} {cost:>7.2f} {cost - none:>+7.2f} {1 - none / cost:>6.1%}")
    say(f"{name}: one of each loses {1 - none / best[BAR]:.1%} of the requests per second of CPU time")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=CASES, help="default: both")
    parser.add_argument("--repeats", type=int, default=60, metavar="N", help="default: 60")
    parser.add_argument("--exchanges", type=int, default=1000, metavar="N", help="in each repeat; default: 1000")
    chosen = parser.parse_args(arguments)
    for name in [chosen.case] if chosen.case else CASES:
        show(name, measure(name, chosen.repeats, chosen.exchanges))


if __name__ == "__main__":
    main()

"""From a configuration to the directors of proxies whose clients choose the destination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.threads import deferToThreadPool

from twistproxy.forward.config import ForwardConfig
from twistproxy.forward.directors import ForwardDirector, LoginDirector
from twistproxy.forward.transparent import TransparentDirector
from twistproxy.permissions.users import Users


def surround(
    reactor: Any, forward: ForwardConfig | None, isTransparent: bool
) -> Callable[[tuple[Any, ...], bool], tuple[Any, ...]]:
    """What puts a route's directors between those that let clients in and those that go where they want.

    @param forward: what a forward proxy may do; None: it is none.
    @param isTransparent: whether any listener gets redirected connections.
    @return: takes directors, and whether their route has a pool of its own.
    @raise ConfigurationError: when the users cannot be read.
    """
    first: tuple[Any, ...] = ()
    last: tuple[Any, ...] = ()
    if isTransparent:
        last += (TransparentDirector(isLast=forward is None),)
    if forward is not None:
        if forward.users:

            def run(function: Callable[..., bool], *arguments: Any) -> Any:
                return deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)

            first += (LoginDirector(Users(forward.users, run, reactor.seconds)),)
        last += (ForwardDirector(forward.policy),)

    def around(directors: tuple[Any, ...], hasPool: bool) -> tuple[Any, ...]:
        return (*first, *directors) if hasPool else (*first, *directors, *last)

    return around

"""Fixtures on real sockets, and a look at what a test leaves behind.

pytest reads this before pytest-twisted installs the reactor that C{--reactor} names: nothing here may import one before
a test runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from twisted.logger import formatEvent, globalLogPublisher

if TYPE_CHECKING:
    from tests.support.network import Hurried, Network


@pytest.fixture
def hurried() -> Hurried:
    """A reactor whose seconds are short."""
    from tests.support.network import Hurried

    return Hurried(10.0)


@pytest_twisted.async_yield_fixture(autouse=True)
async def cleanReactor() -> AsyncIterator[None]:
    """What pytest-twisted does not look at: calls and sockets that a test leaves in the reactor."""
    from twisted.internet import reactor

    from tests.support.network import leftAfter, leftIn

    before = leftIn(reactor)
    yield
    left = await leftAfter(reactor, before)
    assert not left, f"left in the reactor: {left}"


@pytest_twisted.async_yield_fixture
async def network(cleanReactor: None) -> AsyncIterator[Network]:
    """Upstreams, proxies and clients; see L{Network}. A failure that is logged anywhere fails the test."""
    from tests.support.network import Network

    made = Network()
    failures: list[str] = []

    def observe(event: Any) -> None:
        if "log_failure" in event:
            failures.append(f"{formatEvent(event)}\n{event['log_failure'].getTraceback()}")
        elif event.get("log_namespace") == "twistproxy.error":
            made.log.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield made
    finally:
        await made.close()
        globalLogPublisher.removeObserver(observe)
    assert not failures, "\n".join(failures)

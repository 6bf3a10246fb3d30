"""Fixtures for pytest, which finds this module by its entry point; nothing heavy is imported before one of them is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from twistproxy.testing.harness import ProxyHarness
    from twistproxy.testing.network import MemoryNetwork


@pytest.fixture
def proxyHarness() -> Iterator[Callable[..., ProxyHarness]]:
    """Makes a L{twistproxy.testing.ProxyHarness} of the arguments of its constructor; closes it at the end of the test."""
    from twistproxy.testing.harness import ProxyHarness

    with ExitStack() as closing:

        def make(**options: Any) -> ProxyHarness:
            return closing.enter_context(ProxyHarness(**options))

        yield make


@pytest.fixture
def memoryNetwork() -> Iterator[MemoryNetwork]:
    """A L{twistproxy.testing.MemoryNetwork}, in which nothing may be left at the end of the test."""
    from twistproxy.testing.network import MemoryNetwork

    network = MemoryNetwork()
    yield network
    network.closePeers()
    network.assertClean()

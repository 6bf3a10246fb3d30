"""Fixtures for tests with real programs: proxies as processes, in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.process import ProxyProcess

StartProxy = Callable[..., ProxyProcess]


def starter(directory: Path, running: ExitStack) -> StartProxy:
    """Starts proxies in directories below one."""

    def start(*upstreams: str, settings: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> ProxyProcess:
        own = directory / f"proxy{len(list(directory.glob('proxy*')))}"
        own.mkdir()
        words = (*(word for each in settings for word in ("--set", each)), *options)
        return running.enter_context(ProxyProcess(own, *upstreams, options=words))

    return start


@pytest.fixture
def startProxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Starts proxies for one test; arguments as of L{ProxyProcess}, and C{settings} for C{--set}."""
    with ExitStack() as running:
        yield starter(tmp_path, running)


@pytest.fixture(scope="module")
def moduleDirectory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for all tests of a module."""
    return tmp_path_factory.mktemp("module")


@pytest.fixture(scope="module")
def startModuleProxy(moduleDirectory: Path) -> Iterator[StartProxy]:
    """Starts proxies for all tests of a module."""
    with ExitStack() as running:
        yield starter(moduleDirectory, running)

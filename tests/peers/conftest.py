"""Fixtures for tests with real programs: proxies as processes, in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.process import ProxyProcess

StartProxy = Callable[..., ProxyProcess]


@pytest.fixture
def startProxy(tmp_path: Path) -> Iterator[StartProxy]:
    """Starts proxies; arguments as of L{ProxyProcess}, C{settings} for C{--set}."""
    with ExitStack() as running:

        def start(*upstreams: str, settings: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> ProxyProcess:
            directory = tmp_path / f"proxy{len(list(tmp_path.glob('proxy*')))}"
            directory.mkdir()
            words = (*(word for each in settings for word in ("--set", each)), *options)
            return running.enter_context(ProxyProcess(directory, *upstreams, options=words))

        yield start

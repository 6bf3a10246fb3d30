"""Twisted's own tests of reactors, TCP, UNIX sockets, TLS and processes, on the uvloop reactor.

C{python -m tests.support.twistedsuite [names]}: the tests of the installed Twisted that run on the global reactor, which
is ours here, and those that C{ReactorBuilder} makes for each of Twisted's reactors, made for ours instead. Tests that are
left out are skipped with their reason; a name in L{LEFT_OUT} that is no test any more is an error.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twistproxy.reactor import install

install()

from twisted.internet.test import reactormixins  # noqa: E402 - a reactor comes first
from twisted.trial.reporter import Reporter  # noqa: E402
from twisted.trial.runner import TestLoader, TrialRunner  # noqa: E402

reactormixins.ReactorBuilder._reactors = ["twistproxy.reactor.core.UvloopReactor"]
reactormixins.DEFAULT_TIMEOUT_DURATION = 20.0

MODULES = (
    *("twisted.test.test_tcp", "twisted.test.test_unix", "twisted.test.test_ssl", "twisted.test.test_internet"),
    *(
        f"twisted.internet.test.test_{name}"
        for name in ("base", "core", "endpoints", "fdset", "posixbase", "process", "sigchld", "socket", "stdio")
    ),
    *(f"twisted.internet.test.test_{name}" for name in ("tcp", "threads", "time", "tls", "udp", "unix")),
)

_AT_ONCE = "expects that nothing is sent before the reactor's next turn; ours sends at once what the kernel takes"
_CONTEXT = "reads Twisted's old logging context, whose price per read uvloop's transports do not pay"

LEFT_OUT = {
    "TCPTransportTestsBuilder_UvloopReactorTests.test_streamingProducer": _AT_ONCE,
    "AdoptStreamConnectionTestsBuilder_UvloopReactorTests.test_streamingProducer": _AT_ONCE,
    "UNIXAdoptStreamConnectionTestsBuilder_UvloopReactorTests.test_streamingProducer": _AT_ONCE,
    "TCP4ClientTestsBuilder_UvloopReactorTests.test_logPrefix": _CONTEXT,
    "TCP6ClientTestsBuilder_UvloopReactorTests.test_logPrefix": _CONTEXT,
    "UNIXTestsBuilder_UvloopReactorTests.test_logPrefix": _CONTEXT,
    "SSLClientTestsMixin_UvloopReactorTests.test_logPrefix": _CONTEXT,
    "StartTLSClientTestsMixin_UvloopReactorTests.test_logPrefix": _CONTEXT,
    "UNIXTestsBuilder_UvloopReactorTests.test_avoidLeakingFileDescriptors": (
        "expects a line in the log; the kernel closes descriptors that nobody wants, and nothing says so"
    ),
    "HalfCloseTests.testCloseWriteCloser": "looks into the buffers of Twisted's own transports",
    "LoopbackTests.test_tcpNoDelay": "TCP_NODELAY is on from the beginning with uvloop",
    "ProcessTestsBuilder_UvloopReactorTests.test_changeUID": "fails on every reactor where Python's home is root's own",
    "PTYProcessTestsBuilder_UvloopReactorTests.test_changeUID": "fails on every reactor where Python's home is root's own",
}


def each(suite: Any) -> Iterator[Any]:
    """The tests of a suite."""
    if hasattr(suite, "_tests"):
        for inner in suite._tests:
            yield from each(inner)
    else:
        yield suite


def main(names: list[str]) -> bool:
    """Run the modules or tests of these names; whether all passed."""
    suite = TestLoader().loadByNames(names or list(MODULES), recurse=True)
    unknown = set(LEFT_OUT)
    for test in each(suite):
        name = test.id().removeprefix(f"{type(test).__module__}.")
        if name in LEFT_OUT:
            test.skip = LEFT_OUT[name]
            unknown.discard(name)
    if unknown and not names:
        print(f"left out, but there is no such test: {', '.join(sorted(unknown))}")
        return False
    with tempfile.TemporaryDirectory() as directory:
        runner = TrialRunner(Reporter, workingDirectory=str(Path(directory) / "trial"))
        return bool(runner.run(suite).wasSuccessful())


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))

"""A Twisted reactor whose TCP and UNIX connections are uvloop's own transports: C{twist --reactor=uvloop}.

Twisted's asyncio reactor on uvloop's loop gains nothing, since Twisted still does its own C{recv} and C{send}. Here a
connection is set up by Twisted, as on every reactor, and its socket is then handed to uvloop, which reads and writes it
in C; L{twistproxy.reactor.connection.Connection} stands between, with Twisted's contract. Everything else (timers,
threads, processes, UDP, names) is what L{twisted.internet.asyncioreactor} does.
"""

from __future__ import annotations

from typing import Final

MISSING: Final = "the uvloop reactor needs uvloop, which is not installed: pip install 'twistproxy[uvloop]'"
"""What is said where uvloop is missing."""


def install() -> None:
    """Make this the process's reactor, before anything imports C{twisted.internet.reactor}.

    @raise ImportError: uvloop is not installed.
    @raise twisted.internet.error.ReactorAlreadyInstalledError: there is one already.
    """
    try:
        import uvloop  # noqa: F401
    except ImportError as error:
        raise ImportError(MISSING) from error

    from twistproxy.reactor import core

    core.install()

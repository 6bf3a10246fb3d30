"""What C{twist --reactor=uvloop} calls."""

from __future__ import annotations

from twistproxy import reactor


def install() -> None:
    """L{twistproxy.reactor.install}, for a command line.

    @raise SystemExit: uvloop is not installed; one line on standard error says so.
    """
    try:
        reactor.install()
    except ImportError as error:
        raise SystemExit(str(error)) from None

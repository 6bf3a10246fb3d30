"""What a server gave us to make the next handshake shorter."""

from __future__ import annotations

from ssl import SSLContext, SSLSession


class LastSession:
    """The last session with one server, to be resumed on its next connection: without another look at its certificate, as
    TLS has it, until the server's ticket expires.

    One for each upstream and its way of TLS, so that none is offered to somebody whose name was not verified.
    """

    def __init__(self) -> None:
        self._context: SSLContext | None = None
        self._session: SSLSession | None = None

    def keep(self, context: SSLContext, session: SSLSession | None) -> None:
        """This is the last one."""
        if session is not None and session.has_ticket:
            self._context, self._session = context, session

    def of(self, context: SSLContext) -> SSLSession | None:
        """The one to be resumed; None when there is none, or it was made with other files."""
        return self._session if self._context is context else None

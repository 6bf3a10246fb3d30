"""Every way in which an exchange can fail, and the one table that says what follows from each.

An L{ErrorKind} carries the status that the client gets, the word that log, metrics and error page share, whether
another attempt may help, and whose fault it was. The statuses are those that nginx, HAProxy, Caddy and Envoy agree on:
502 for an upstream that refused, broke or talked nonsense, 504 for one that was too slow, 503 when none could be
asked, 499 (in the log only, as in nginx) when the client went away.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from attrs import frozen


class Fault(Enum):
    """Whose fault an error was."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    PROXY = "proxy"


@frozen
class ErrorKind:
    """One row of the table.

    @ivar reason: the word for log, metrics and error page.
    @ivar status: what the client gets; 499 is never sent.
    @ivar retryable: whether another upstream may be asked, when nothing of the request can have had an effect.
    @ivar sentence: what an error page says to a person; it never names an upstream.
    @ivar byRule: whether the proxy refuses by a rule, though the request is as it should be.
    """

    reason: str
    status: int
    fault: Fault
    retryable: bool
    sentence: str
    byRule: bool = False

    @property
    def isRefusal(self) -> bool:
        """Whether nothing has failed but what was asked for: a client can cause it as often as it likes."""
        return self.byRule or self.fault is Fault.CLIENT


def _client(reason: str, status: int, sentence: str) -> ErrorKind:
    return ErrorKind(reason, status, Fault.CLIENT, False, sentence)


def _upstream(reason: str, status: int, sentence: str, retryable: bool = False) -> ErrorKind:
    return ErrorKind(reason, status, Fault.UPSTREAM, retryable, sentence)


def _proxy(reason: str, status: int, sentence: str) -> ErrorKind:
    return ErrorKind(reason, status, Fault.PROXY, False, sentence)


def _rule(reason: str, status: int, sentence: str) -> ErrorKind:
    return ErrorKind(reason, status, Fault.PROXY, False, sentence, byRule=True)


BAD_REQUEST: Final = _client("client_protocol_error", 400, "The request is malformed.")
VERSION_NOT_SUPPORTED: Final = _client("version_not_supported", 505, "This HTTP version is not supported.")
CODING_NOT_IMPLEMENTED: Final = _client("coding_not_implemented", 501, "This transfer coding is not supported.")
TARGET_TOO_LONG: Final = _client("target_too_long", 414, "The request target is too long.")
HEAD_TOO_LARGE: Final = _client("head_too_large", 431, "The request's header fields are too large.")
BODY_TOO_LARGE: Final = _client("body_too_large", 413, "The request's body is too large.")
METHOD_NOT_ALLOWED: Final = _client("method_not_allowed", 405, "This method is not allowed here.")
CLIENT_TIMEOUT: Final = _client("client_timeout", 408, "The request did not arrive in time.")
CLIENT_CLOSED: Final = _client("client_closed", 499, "The client went away.")
DESTINATION_REFUSED: Final = _client("destination_refused", 403, "The proxy does not go there.")
LOGIN_REQUIRED: Final = _client("login_required", 407, "The proxy wants a name and a password.")
UNAUTHORIZED: Final = _client("unauthorized", 401, "You have to say who you are.")
FORBIDDEN: Final = _client("forbidden", 403, "You may not do this.")
RATE_LIMITED: Final = _client("rate_limited", 429, "Too many requests came from you.")
CONNECTION_RATE: Final = _client("connection_rate_limited", 429, "Too many requests came on one connection.")
TOO_MANY_CONNECTIONS: Final = _client("too_many_connections", 429, "Too many connections of yours are open.")
CONCURRENCY_LIMITED: Final = _client("concurrency_limited", 429, "Too many requests of yours are under way.")
NO_ROUTE: Final = _client("no_route", 404, "Nothing is configured for this address.")

NO_UPSTREAM: Final = _proxy("no_healthy_upstream", 503, "No server is available for this request.")
QUEUE_FULL: Final = _rule("queue_full", 503, "Too many requests are waiting.")
QUEUE_TIMEOUT: Final = _rule("queue_timeout", 503, "The request waited too long for a server.")
CIRCUIT_OPEN: Final = _rule("circuit_open", 503, "The server has failed too often, and gets a pause.")
TOO_MANY_AT_ONCE: Final = _rule("too_many_at_once", 503, "Too many requests are under way. Try again in a moment.")
SHED_LAG: Final = _rule("shed_lag", 503, "Too much is going on. Try again in a moment.")
SHED_MEMORY: Final = _rule("shed_memory", 503, "Too much is going on. Try again in a moment.")
BUFFERS_FULL: Final = _rule("buffers_full", 503, "Too much is being uploaded. Try again in a moment.")
TOO_BUSY: Final = _rule("too_busy", 503, "Too much is going on. Try again in a moment.")
LIMIT_UNAVAILABLE: Final = _proxy("limit_unavailable", 503, "It could not be found out whether you may do this now.")
AUTH_UNAVAILABLE: Final = _proxy("auth_unavailable", 503, "It could not be found out whether you may do this.")
DRAINING: Final = _rule("draining", 503, "The proxy is shutting down.")
DIRECTOR_ERROR: Final = _proxy("plugin_error", 500, "The proxy could not decide about this request.")
BALANCER_ERROR: Final = _proxy("plugin_error", 503, "The proxy could not choose a server.")
MODIFIER_ERROR: Final = _proxy("plugin_error", 502, "The proxy refused the server's answer.")
FAULT_INJECTED: Final = _rule("fault_injected", 503, "This failure was made on purpose.")
NO_RESOURCES: Final = _rule("no_resources", 503, "The proxy has more to do than it can.")
INTERNAL: Final = _proxy("internal", 500, "The proxy failed.")

CONNECT_REFUSED: Final = _upstream("connect_refused", 502, "The server could not be reached.", retryable=True)
CONNECT_TIMEOUT: Final = _upstream("connect_timeout", 504, "The server did not accept the connection.", retryable=True)
DNS_FAILURE: Final = _upstream("dns_failure", 502, "The server's name could not be resolved.", retryable=True)
TLS_FAILURE: Final = _upstream("tls_failure", 502, "No secure connection to the server was possible.", retryable=True)
UPSTREAM_TIMEOUT: Final = _upstream("upstream_timeout", 504, "The server did not answer in time.")
TRY_TIMEOUT: Final = _upstream("try_timeout", 504, "The server did not answer in time.")
UPSTREAM_RESET: Final = _upstream("upstream_reset", 502, "The server broke the connection.")
UPSTREAM_CLOSED: Final = _upstream("upstream_closed", 502, "The server closed the connection too early.")
UPSTREAM_PROTOCOL: Final = _upstream("upstream_protocol_error", 502, "The server's answer was malformed.")
RESPONSE_HEAD_TOO_LARGE: Final = _upstream("response_head_too_large", 502, "The server's answer has too large a head.")
RESPONSE_TOO_LARGE: Final = _upstream("response_too_large", 502, "The server's answer is too large.")
STATUS_REFUSED: Final = _upstream("status_refused", 502, "The server could not answer this request.")

ALL_KINDS: Final = tuple(value for value in dict(globals()).values() if isinstance(value, ErrorKind))
"""The whole table, for the generated documentation and its test."""

NO_ANSWER: Final = 444
"""What the log has as the status of a request that got no answer on purpose, as in nginx."""


class ProxyError(Exception):
    """What ended an exchange, or one attempt of it, other than a complete answer.

    @ivar kind: the row of the table.
    @ivar detail: for the log: what exactly was wrong. Never sent to a client.
    @ivar headers: names and values that the answer gets, whoever makes it, such as Retry-After or WWW-Authenticate.
    @ivar notRetried: for the log: why no other upstream was asked; empty where that was no question.
    @ivar isSilent: whether the client gets no answer, but its connection is closed; the log says L{NO_ANSWER}.
    """

    notRetried = ""
    isSilent = False

    def __init__(self, kind: ErrorKind, detail: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers

    @property
    def unsentStatus(self) -> int:
        """What logs have as the status where there was no answer at all because of this; 0 for none."""
        if self.isSilent:
            return NO_ANSWER
        return self.kind.status if self.kind.fault is Fault.CLIENT else 0

    def __str__(self) -> str:
        return f"{self.kind.reason}: {self.detail}" if self.detail else self.kind.reason


class BodyTooLarge(ProxyError):
    """C{body.read(limit)} met a body longer than its limit: 413 for a request's, 502 for a response's."""


class ConfigurationError(Exception):
    """One or more mistakes in the configuration, each a line that names place, key and the nearest right word.

    @ivar problems: the lines.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

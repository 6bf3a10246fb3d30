"""Answers that are failures by their status."""

from __future__ import annotations

from attrs import evolve
from zope.interface import implementer

from twistproxy.errors import STATUS_REFUSED, ProxyError
from twistproxy.interfaces import IResponseModifier
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.statuses import Statuses, StatusWords


@implementer(IResponseModifier)
class StatusError:
    """Make a failure of an answer whose status is not among those allowed, as status-error:200: the error handlers
    answer in its place, with 502 where they say nothing else. Log and balancer take it for the upstream's failure; the
    log tells the status. An upgrade (101) is always allowed.

    @param allow: statuses that are no failure: 200, 2xx, 200-399; !5xx allows all others.
    @param keepStatus: whether the failure has the upstream's status in place of 502: for the error handler pages, which
        then has the upstream's own 404 in the words of the site.
    """

    def __init__(self, allow: StatusWords = ("2xx", "3xx"), keepStatus: bool = False) -> None:
        """@raise ValueError: when a status is none."""
        self._allowed = Statuses(allow, "allow")
        self._keepStatus = keepStatus

    def modify(self, request: InboundRequest, response: Response) -> None:
        """@raise ProxyError: when the status is not allowed."""
        code = response.code
        if code in self._allowed or code == 101:
            return
        who = response.upstream.key if response.upstream is not None else "a modifier"
        kind = evolve(STATUS_REFUSED, status=code) if self._keepStatus else STATUS_REFUSED
        raise ProxyError(kind, f"{who} answered {code}")

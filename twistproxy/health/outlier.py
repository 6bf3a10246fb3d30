"""Envoy's outlier detection by consecutive errors: an upstream that only fails is left out, longer each time."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IPassiveCheck
from twistproxy.messages import Outcome
from twistproxy.plugin import Duration
from twistproxy.upstream.evidence import GATEWAY_STATUSES, Evidence, evidenceOf


@implementer(IPassiveCheck)
class Outlier:
    """Leave out an upstream after consecutive errors, longer each time, as Envoy.

    The n-th time it is left out for n times C{base}, and C{max} at most; each C{interval} without takes one off n.
    """

    def __init__(
        self,
        errors: int = 5,
        gatewayErrors: int = 0,
        base: Duration = 30.0,
        max: Duration = 300.0,
        interval: Duration = 10.0,
        maxEjected: int = 10,
    ) -> None:
        """
        @param errors: so many answers with 5xx, or failures to answer, in a row; 0: any number.
        @param gatewayErrors: so many of 502, 503, 504 or failures to answer in a row; 0: any number.
        @param base: how long the first time.
        @param max: how long at most.
        @param interval: so long without being left out makes the next time shorter by C{base}.
        @param maxEjected: percent of the pool that may be left out at once; one upstream always may.
        """
        for name, value in (("base", base), ("max", max), ("interval", interval)):
            if value <= 0:
                raise ValueError(f"{name} is more than 0")
        if errors < 0 or gatewayErrors < 0 or not errors + gatewayErrors:
            raise ValueError("errors or gateway-errors is 1 or more")
        if not 0 <= maxEjected <= 100:
            raise ValueError("max-ejected is a percentage, from 0 to 100")
        self._errors = errors
        self._gatewayErrors = gatewayErrors
        self._base = base
        self._max = max
        self._interval = interval
        self.maxEjected = maxEjected / 100

    def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        """Too many in a row, or not yet."""
        evidence = evidenceOf(outcome)
        if evidence is Evidence.GOOD:
            memory["errors"] = memory["gatewayErrors"] = 0
            return 0.0
        isGateway = evidence is Evidence.FAILURE or outcome.code in GATEWAY_STATUSES
        memory["errors"] = errors = memory.get("errors", 0) + 1
        memory["gatewayErrors"] = gatewayErrors = memory.get("gatewayErrors", 0) + 1 if isGateway else 0
        if not (self._errors and errors >= self._errors) and not (self._gatewayErrors and gatewayErrors >= self._gatewayErrors):
            return 0.0
        memory["errors"] = memory["gatewayErrors"] = 0
        return self._ejection(memory, now)

    def _ejection(self, memory: dict[str, Any], now: float) -> float:
        """How long it is left out now."""
        times, back = memory.get("times", 0), memory.get("back", now)
        times = max(0, times - int(max(0.0, now - back) // self._interval)) + 1
        seconds: float = min(self._base * times, max(self._base, self._max))
        memory["times"], memory["back"] = times, now + seconds
        return seconds

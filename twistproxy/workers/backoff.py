"""When a worker that ended is started again. Pure."""

from __future__ import annotations

from typing import Final

FIRST: Final = 0.5
"""Seconds before the second start in a row; the first is at once."""

LONGEST: Final = 30.0

SETTLED: Final = 10.0
"""Seconds that a worker has to serve for its next end to count as the first again."""


class Backoff:
    """The restarts of one worker: at once, then after half a second, one, two and so on, up to half a minute."""

    def __init__(self) -> None:
        self._inRow = 0
        self._ready: float | None = None

    def wasReady(self, now: float) -> None:
        """It serves."""
        self._ready = now

    def ended(self, now: float) -> float:
        """It ended.

        @return: the seconds to wait before it is started again.
        """
        ready, self._ready = self._ready, None
        if ready is not None and now - ready >= SETTLED:
            self._inRow = 0
        self._inRow += 1
        return 0.0 if self._inRow == 1 else min(LONGEST, FIRST * 2.0 ** min(self._inRow - 2, 16))

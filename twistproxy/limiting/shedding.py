"""How many requests to refuse while something is over its limit: more and more, then fewer and fewer. Pure.

Refusing all at once and none a moment later would make the load swing. The share goes up in proportion to how far the
limit is passed, and down in small steps, in the manner of congestion control (Chiu and Jain, 1989, the other way round).
"""

from __future__ import annotations

from typing import Final

UP: Final = 0.2
"""What is added to the share by a measurement of just the limit; twice the limit adds twice that."""

DOWN: Final = 0.1
"""What a measurement below the limit takes away."""


class Shedder:
    """Decides about requests by one measure, such as lag.

    @ivar value: measured last.
    @ivar share: of the requests that are refused, up to 1.0.
    @ivar refused: how many were.
    """

    def __init__(self, limit: float) -> None:
        """@param limit: more than that is too much."""
        self.limit = limit
        self.value = 0.0
        self.share = 0.0
        self.refused = 0
        self._owed = 0.0

    def measured(self, value: float) -> None:
        """It was measured, as is done at regular intervals."""
        self.value = value
        if value > self.limit:
            self.share = min(1.0, self.share + UP * value / self.limit)
        else:
            self.share = max(0.0, self.share - DOWN)
            if self.share < 1e-9:
                self.share = self._owed = 0.0

    def refuses(self) -> bool:
        """Whether the next request is refused: evenly spread, so that a share of a half is every other one."""
        if not self.share:
            return False
        self._owed += self.share
        if self._owed < 1.0 - 1e-9:
            return False
        self._owed -= 1.0
        self.refused += 1
        return True

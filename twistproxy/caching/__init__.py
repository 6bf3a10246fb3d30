"""Answers that are kept for later: what may be, for how long, for whom, and where. Pure, with time passed in."""

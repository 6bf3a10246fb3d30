"""Limits on rates: the arithmetic, and where their state is kept."""

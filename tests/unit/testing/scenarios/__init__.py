"""
Small stories about two connected transports, told once and run twice: in memory and on real sockets.
"""

from tests.unit.testing.scenarios import closing, connecting, reading, writing
from tests.unit.testing.scenarios.world import SCENARIOS, World

__all__ = ["SCENARIOS", "World", "closing", "connecting", "reading", "writing"]

"""
A reverse proxy on Twisted that Python people program.
"""

from twistproxy._version import __version__

__all__ = ["__version__"]

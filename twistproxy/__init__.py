"""
A reverse proxy on Twisted that Python people program.

The public names below are imported when first used: finding plugins must not load the whole engine.
"""

from typing import TYPE_CHECKING, Any

from twistproxy._version import __version__

if TYPE_CHECKING:
    from twistproxy.errors import BodyTooLarge, ConfigurationError, ProxyError
    from twistproxy.messages import Headers, Response, Upstream
    from twistproxy.proxy import ReverseProxy
    from twistproxy.settings import Settings
    from twistproxy.upstream.standing import Administrative

__all__ = [
    "Administrative",
    "BodyTooLarge",
    "ConfigurationError",
    "Headers",
    "ProxyError",
    "Response",
    "ReverseProxy",
    "Settings",
    "Upstream",
    "__version__",
]

_HOMES = {
    "Administrative": "upstream.standing",
    "BodyTooLarge": "errors",
    "ConfigurationError": "errors",
    "Headers": "messages",
    "ProxyError": "errors",
    "Response": "messages",
    "ReverseProxy": "proxy",
    "Settings": "settings",
    "Upstream": "messages",
}


def __getattr__(name: str) -> Any:
    """The public name, from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'twistproxy' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"twistproxy.{_HOMES[name]}"), name)

"""
What ``twist`` and ``twistd`` find of twistproxy.

Every start of any Twisted command may import this module, so it names things and imports nothing heavy.
"""

from twisted.application.service import ServiceMaker

revproxy = ServiceMaker(
    "Twisted reverse proxy",
    "twistproxy.tap",
    "A reverse proxy: HTTP/1.1 and upgrades to one or more upstreams, programmable with plugins.",
    "revproxy",
)

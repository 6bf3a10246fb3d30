"""A pytest plugin, C{-p tests.support.uvloopreactor}: the uvloop reactor, before pytest-twisted installs another.

Say C{--reactor=asyncio} too: to pytest-twisted it is one of those.
"""

from twistproxy.reactor import install

install()

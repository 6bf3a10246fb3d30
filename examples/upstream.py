"""Servers to try a proxy with: each answers with what reached it.

    python3 upstream.py 9000 9001
"""

import sys

from twisted.internet import reactor

from twistproxy.demo import startDemo

for _, url in startDemo(reactor, [int(port) for port in sys.argv[1:]]):
    print(f"upstream on {url}/")
reactor.run()

"""
What ``twist`` and ``twistd`` find of twistproxy.

Every start of any Twisted command may import this module, so it names things and imports nothing heavy.
"""

from twisted.application.service import ServiceMaker

from twistproxy.interfaces import IBalancer
from twistproxy.plugin import Plugin

revproxy = ServiceMaker(
    "Twisted reverse proxy",
    "twistproxy.tap",
    "A reverse proxy: HTTP/1.1 and upgrades to one or more upstreams, programmable with plugins.",
    "revproxy",
)

random = Plugin("random", "twistproxy.balancers.randomchoice.RandomChoice", IBalancer, summary="any, by weight")
roundRobin = Plugin("round-robin", "twistproxy.balancers.roundrobin.RoundRobin", IBalancer, summary="one after the other")
weightedRoundRobin = Plugin(
    "weighted-round-robin",
    "twistproxy.balancers.weighted.WeightedRoundRobin",
    IBalancer,
    summary="in turn, by weight, evenly spread",
)
consistentHash = Plugin(
    "consistent-hash",
    "twistproxy.balancers.consistenthash.ConsistentHash",
    IBalancer,
    summary="the same one for the same client, header, cookie, query argument or path",
)

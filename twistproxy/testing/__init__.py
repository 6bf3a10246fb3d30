"""The public test kit: what plugins, and the proxy itself, are tested with. No sockets, no reactor, no waiting.

L{ProxyHarness} is a whole proxy with plugins in it, scripted upstreams behind it and clients before it::

    from twistproxy.testing import FakeUpstream, ProxyHarness

    def tagging(inbound, outbound):
        outbound.headers.setRawHeaders("X-Tag", ["yes"])

    upstream = FakeUpstream().wait(30).respond(200, body=b"late")
    with ProxyHarness(director=tagging, balancer="random:seed=1", upstream=upstream) as harness:
        answer = harness.get("/x", headers={"X-Team": "blue"})
        assert answer.status == 0
        harness.advance(30)
        assert (answer.status, answer.body) == (200, b"late")
        assert upstream.requests[0].target == b"/x"
        assert upstream.requests[0].headers.get("X-Tag") == "yes"

L{checkPlugin} and L{checkBalancer} put any plugin through what every plugin has to stand. pytest finds the fixtures
C{proxyHarness} and C{memoryNetwork} by itself; for trial there is L{ProxyTestMixin}.

L{MemoryNetwork}, below all that, is a reactor with virtual time whose connections are in memory::

    from twistproxy.testing import MemoryNetwork

    network = MemoryNetwork(hosts={"app.example": "10.0.0.7"})
    server = network.serve("10.0.0.7:80", onData=lambda peer, data: peer.send(b"got " + data))
    client = network.connect(("app.example", 80), source=("203.0.113.9", 0))
    client.send(b"hello")
    network.pump()
    assert client.take() == b"got hello"
    server.peers[0].abort()
    network.pump()
    assert client.closed is not None
    network.closePeers()
    network.assertClean()

Code under test gets C{network} as its reactor. Names exported here are stable. They are imported when they are used:
pytest imports this package at every start, to find the fixtures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twistproxy.testing.addresses import Address, AddressLike, addressOf, describe
    from twistproxy.testing.client import Client, Tunnel
    from twistproxy.testing.conformance.balancers import checkBalancer
    from twistproxy.testing.conformance.plugins import checkPlugin
    from twistproxy.testing.conformance.report import Report
    from twistproxy.testing.delivery import SegmentSize
    from twistproxy.testing.failures import PluginFault
    from twistproxy.testing.framing import Malformed
    from twistproxy.testing.harness import ProxyHarness
    from twistproxy.testing.inbound import makeRequest
    from twistproxy.testing.network import MemoryNetwork
    from twistproxy.testing.peers import RawClient, RawPeer, RawServer
    from twistproxy.testing.ports import MemoryConnector, MemoryPort
    from twistproxy.testing.recorded import Answer, RecordedRequest
    from twistproxy.testing.scripts import Do
    from twistproxy.testing.sockets import MemorySocket
    from twistproxy.testing.transport import MemoryTransport
    from twistproxy.testing.trialmixin import ProxyTestMixin
    from twistproxy.testing.upstream import FakeUpstream

__all__ = [
    "Address",
    "AddressLike",
    "Answer",
    "Client",
    "Do",
    "FakeUpstream",
    "Malformed",
    "MemoryConnector",
    "MemoryNetwork",
    "MemoryPort",
    "MemorySocket",
    "MemoryTransport",
    "PluginFault",
    "ProxyHarness",
    "ProxyTestMixin",
    "RawClient",
    "RawPeer",
    "RawServer",
    "RecordedRequest",
    "Report",
    "SegmentSize",
    "Tunnel",
    "addressOf",
    "checkBalancer",
    "checkPlugin",
    "describe",
    "makeRequest",
]

_PLACES: Final = {
    "addresses": ("Address", "AddressLike", "addressOf", "describe"),
    "client": ("Client", "Tunnel"),
    "conformance.balancers": ("checkBalancer",),
    "conformance.plugins": ("checkPlugin",),
    "conformance.report": ("Report",),
    "delivery": ("SegmentSize",),
    "failures": ("PluginFault",),
    "framing": ("Malformed",),
    "harness": ("ProxyHarness",),
    "inbound": ("makeRequest",),
    "network": ("MemoryNetwork",),
    "peers": ("RawClient", "RawPeer", "RawServer"),
    "ports": ("MemoryConnector", "MemoryPort"),
    "recorded": ("Answer", "RecordedRequest"),
    "scripts": ("Do",),
    "sockets": ("MemorySocket",),
    "transport": ("MemoryTransport",),
    "trialmixin": ("ProxyTestMixin",),
    "upstream": ("FakeUpstream",),
}
"""Which module has which name."""

_MODULES: Final = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

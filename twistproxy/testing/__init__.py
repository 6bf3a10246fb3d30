"""The public test kit: what plugins, and the proxy itself, are tested with.

L{MemoryNetwork} is a reactor with virtual time whose connections are in memory::

    from twisted.internet.error import ConnectionLost
    from twistproxy.testing import MemoryNetwork

    network = MemoryNetwork(hosts={"app.example": "10.0.0.7"})
    server = network.serve("10.0.0.7:80", onData=lambda peer, data: peer.send(b"got " + data))
    client = network.connect(("app.example", 80), source=("203.0.113.9", 0))
    client.send(b"hello")
    network.pump()
    assert client.take() == b"got hello"
    assert server.peers[0].transport.getPeer().host == "203.0.113.9"
    server.peers[0].abort()
    network.advance(30)
    assert client.closed.check(ConnectionLost)
    network.closePeers()
    network.assertClean()

Code under test gets C{network} as its reactor. Names exported here are stable.
"""

from twistproxy.testing.addresses import Address, AddressLike, addressOf, describe
from twistproxy.testing.delivery import SegmentSize
from twistproxy.testing.network import MemoryNetwork
from twistproxy.testing.peers import RawClient, RawPeer, RawServer
from twistproxy.testing.ports import MemoryConnector, MemoryPort
from twistproxy.testing.sockets import MemorySocket
from twistproxy.testing.transport import MemoryTransport

__all__ = [
    "Address",
    "AddressLike",
    "MemoryConnector",
    "MemoryNetwork",
    "MemoryPort",
    "MemorySocket",
    "MemoryTransport",
    "RawClient",
    "RawPeer",
    "RawServer",
    "SegmentSize",
    "addressOf",
    "describe",
]

"""The public test kit: what plugins, and the proxy itself, are tested with.

L{MemoryNetwork} is a reactor with virtual time whose connections are in memory. Names exported here are
stable.
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

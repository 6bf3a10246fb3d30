"""Who a client is, as its connection shows it."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.interfaces import ISSLTransport

from twistproxy.engine import Engine
from twistproxy.forwarding import Identity
from twistproxy.server.proxied import ProxiedAddress
from twistproxy.server.redirected import originalDestination
from twistproxy.tls.client import ConnectionCertificate


def identityOf(engine: Engine, transport: Any, peer: ProxiedAddress | None, isTransparent: bool) -> Identity:
    """What a new connection tells of its client.

    @param peer: who the client is, where that is not the other end of the transport.
    @param isTransparent: whether the connection may have been redirected to us.
    """
    isOurs = ISSLTransport.providedBy(transport)
    isSecure = isOurs or (peer is not None and peer.isSecure)
    there = originalDestination(transport) if isTransparent else None
    identity = engine.identify(peer or transport.getPeer(), "https" if isSecure else "http", there, transport)
    return evolve(identity, certificate=ConnectionCertificate(transport)) if isOurs else identity

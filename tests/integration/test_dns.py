"""Upstreams from a real name server, over UDP and TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest_twisted

from tests.support.messages import request, response

if TYPE_CHECKING:
    from tests.support.nameserver import NameServer
    from tests.support.network import Network


@pytest_twisted.async_yield_fixture
async def names(cleanReactor: None) -> AsyncIterator[NameServer]:
    from twisted.internet import reactor

    from tests.support.nameserver import NameServer

    made = NameServer(reactor)
    yield made
    await made.stop()


class Watched:
    """A source that runs, and what it told.

    @ivar told: each snapshot as URLs, with weight and priority where there is one.
    """

    def __init__(self, source: Any, network: Network) -> None:
        self.source = source
        self.told: list[list[str]] = []
        self._network = network
        source.subscribe(lambda upstreams: self.told.append([self._shown(each) for each in upstreams]))
        source.startService()

    def _shown(self, upstream: Any) -> str:
        if "priority" not in upstream.metadata:
            return str(upstream.url)
        return f"{upstream.key} {upstream.metadata['priority']} {upstream.weight}"

    async def until(self, *snapshot: str) -> None:
        """Wait for the source to tell these."""
        await self._network.until(lambda: self.told and self.told[-1] == [*snapshot], f"{snapshot} is not told")


def source(tag: str, names: NameServer, **options: Any) -> Any:
    """Made as a configuration makes it."""
    from twisted.internet import reactor

    from twistproxy.config import BuildContext
    from twistproxy.loader.finder import findPlugins

    given = {"resolver": names.address, "min-ttl": "20ms", "timeout": "400ms"} | options
    return findPlugins().byTag[tag].build(BuildContext(reactor), **given)


@pytest_twisted.ensureDeferred
async def test_allAddressesOfANameAsOftenAsTheyLive(names: NameServer, network: Network) -> None:
    from twisted.names import dns

    names.set("web.example", dns.Record_A("10.0.0.2"), dns.Record_A("10.0.0.1"), dns.Record_AAAA("2001:db8::1"), ttl=0)
    watched = Watched(source("dns", names, name="web.example", port="8080", format="http://%s/base"), network)
    try:
        await watched.until("http://10.0.0.1:8080/base", "http://10.0.0.2:8080/base", "http://[2001:db8::1]:8080/base")
        names.set("web.example", dns.Record_A("10.0.0.3"), ttl=3600)
        await watched.until("http://10.0.0.3:8080/base")
    finally:
        watched.source.stopService()


@pytest_twisted.ensureDeferred
async def test_aliasesAndLongAnswersOverTCP(names: NameServer, network: Network) -> None:
    from twisted.names import dns

    names.set("www.example", dns.Record_CNAME("web.example"), ttl=0)
    addresses = [f"10.0.1.{i}" for i in range(100)]
    names.set("web.example", *(dns.Record_A(each) for each in addresses), ttl=0)
    watched = Watched(source("dns", names, name="www.example", family="ipv4"), network)
    try:
        await watched.until(*(f"http://{each}:80" for each in sorted(addresses)))
        assert names.overTCP > 0
        assert (b"web.example", dns.AAAA) not in names.asked
    finally:
        watched.source.stopService()


@pytest_twisted.ensureDeferred
async def test_theLastOnesStayWhileNobodyAnswers(names: NameServer, network: Network) -> None:
    from twisted.names import dns

    names.set("web.example", dns.Record_A("10.0.0.1"), dns.Record_AAAA("2001:db8::1"), ttl=0)
    watched = Watched(source("dns", names, name="web.example", timeout="100ms"), network)
    both = ("http://10.0.0.1:80", "http://[2001:db8::1]:80")
    try:
        await watched.until(*both)
        names.failing = {dns.AAAA}  # one family
        names.set("web.example", dns.Record_A("10.0.0.2"), ttl=0)
        await watched.until("http://10.0.0.2:80", "http://[2001:db8::1]:80")
        names.failing = {dns.A, dns.AAAA}
        asked = names.asked.total()
        await network.until(lambda: names.asked.total() > asked + 1, "it does not ask any more")
        assert watched.told[-1] == ["http://10.0.0.2:80", "http://[2001:db8::1]:80"]
        names.failing = set()
        del names.records[b"web.example"]  # there is no such name: not a failure, but nobody
        await watched.until()
    finally:
        watched.source.stopService()


@pytest_twisted.ensureDeferred
async def test_servicesWithPortsWeightsAndPriorities(names: NameServer, network: Network) -> None:
    from twisted.names import dns

    names.set("one.example", dns.Record_A("10.0.0.1"), dns.Record_A("10.0.0.11"), ttl=0)
    names.set("two.example", dns.Record_A("10.0.0.2"), ttl=0)
    names.set(
        "_http._tcp.example",
        dns.Record_SRV(10, 3, 8001, "one.example"), dns.Record_SRV(20, 1, 8002, "two.example"),
        dns.Record_SRV(10, 1, 8003, "gone.example"), ttl=0,
    )  # fmt: skip
    watched = Watched(source("srv", names, name="_http._tcp.example"), network)
    named = Watched(source("srv", names, name="_http._tcp.example", resolve="no", format="https://%s"), network)
    try:
        await watched.until("http://10.0.0.1:8001 10 3", "http://10.0.0.11:8001 10 3", "http://10.0.0.2:8002 20 1")
        await named.until(
            "https://gone.example:8003,server-name=gone.example 10 1",
            "https://one.example:8001,server-name=one.example 10 3",
            "https://two.example:8002,server-name=two.example 20 1",
        )
        names.set("_http._tcp.example", dns.Record_SRV(0, 0, 0, b"."), ttl=0)
        await watched.until()
    finally:
        watched.source.stopService()
        named.source.stopService()


@pytest_twisted.ensureDeferred
async def test_requestsGoToTheFirstPriorityAndToTheNextWhenItIsDown(names: NameServer, network: Network) -> None:
    from twisted.names import dns

    first, second = await network.upstream(), await network.upstream()
    names.set("host.example", dns.Record_A("127.0.0.1"), ttl=0)
    ports = [int(each.url.rpartition(":")[2]) for each in (first, second)]
    names.set(
        "_http._tcp.example", *(dns.Record_SRV(10 * (i + 1), 1, port, "host.example") for i, port in enumerate(ports)), ttl=0
    )
    watched = source("srv", names, name="_http._tcp.example")
    proxy = await network.proxy(sources=[watched])
    await network.until(lambda: len(proxy.proxy.upstreams) == 2, "nobody was found")
    first.answer(response(b"first"))
    second.answer(response(b"second"))
    for upstream, body in ((first, b"first"), (second, b"second")):
        client = await proxy.connect()
        client.write(request())
        assert (await client.readMessage()).body == body
        await upstream.stop()
        for each in upstream.connections:
            each.abort()

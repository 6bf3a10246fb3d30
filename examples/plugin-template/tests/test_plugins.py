"""Tests with pytest, which finds the fixture proxyHarness by itself. No sockets, no waiting."""

import pytest
from twistproxy.testing import FakeUpstream, checkBalancer, checkPlugin


def test_maintenance_answers_while_the_file_is_there(proxyHarness, tmp_path):
    harness = proxyHarness(director="maintenance:closed.txt:retry=5m", directory=str(tmp_path))
    assert harness.get("/").status == 200

    (tmp_path / "closed.txt").write_text("back at noon\n")
    answer = harness.get("/")
    assert (answer.status, answer.body) == (503, b"back at noon\n")
    assert answer.headers.get("Retry-After") == "300"
    assert len(harness.upstream.requests) == 1


def test_first_falls_back_to_the_second(proxyHarness):
    main, spare = FakeUpstream(body=b"main"), FakeUpstream(body=b"spare")
    harness = proxyHarness(balancer="first", upstreams=[main, spare])
    assert [harness.get("/").body for _ in range(3)] == [b"main"] * 3

    main.refuse()
    main.peers[0].abort()
    assert harness.get("/").body == b"spare"


def test_served_by_tells_the_upstream(proxyHarness):
    harness = proxyHarness(modifier="served-by")
    assert harness.get("/").headers.get("X-Served-By") == harness.upstream.url


@pytest.mark.parametrize(
    "plugin", ["maintenance:closed.txt", "first", "served-by:header=X-Upstream"]
)
def test_stands_whatever_clients_and_upstreams_do(plugin):
    print(checkPlugin(plugin))


def test_first_is_a_good_balancer():
    print(checkBalancer("first", golden={(1, 1, 1): "aaaa"}))

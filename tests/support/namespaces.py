"""Network namespaces: a client, a router and a server on two networks, as far as root on Linux can have them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.programs import program, run


def canHaveNamespaces() -> str:
    """Why there can be none; empty when there can."""
    missing = [name for name in ("ip", "iptables", "ip6tables", "nft") if program(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"probe{os.getpid()}"
    made = run("ip", "netns", "add", name)
    if made.returncode:
        return f"no network namespaces: {made.stderr.decode().strip()}"
    try:
        rule = ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-ports", "81"]
        for tables in ("iptables", "ip6tables"):
            tried = run("ip", "netns", "exec", name, tables, *rule)
            if tried.returncode:
                return f"{tables} cannot redirect here: {tried.stderr.decode().strip()}"
    finally:
        run("ip", "netns", "del", name)
    return ""


class Networks:
    """A client at 10.231.1.2 and fd00:231:1::2, a server at 10.231.2.2 and fd00:231:2::2, and a router between them that
    has the first address of each network.

    @ivar names: of the namespaces, by who is there.
    """

    def __init__(self) -> None:
        self.names = {who: f"tp{os.getpid()}{who}" for who in ("client", "router", "server")}
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        for name in self.names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        router = self.names["router"]
        for network, who in ((1, "client"), (2, "server")):
            there, here = f"tp{os.getpid()}a{network}", f"net{network}"
            _ip("link", "add", there, "type", "veth", "peer", "name", here, "netns", router)
            _ip("link", "set", there, "netns", self.names[who], "name", "net0")
            for name, link, host in ((router, here, 1), (self.names[who], "net0", 2)):
                _ip("-n", name, "addr", "add", f"10.231.{network}.{host}/24", "dev", link)
                _ip("-n", name, "-6", "addr", "add", f"fd00:231:{network}::{host}/64", "dev", link, "nodad")
                _ip("-n", name, "link", "set", link, "up")
            _ip("-n", self.names[who], "route", "add", "default", "via", f"10.231.{network}.1")
            _ip("-n", self.names[who], "-6", "route", "add", "default", "via", f"fd00:231:{network}::1")
        forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
        self.run("router", "sh", "-c", forwarding)

    def inside(self, who: str, *command: str | Path) -> Sequence[str | Path]:
        """A command, as it is run in a namespace."""
        found = program("ip")
        assert found is not None
        return (found, "netns", "exec", self.names[who], *command)

    def run(self, who: str, *command: str | Path) -> str:
        """Run a command there to its end, which has to be good; what it printed."""
        words = [str(each) for each in self.inside(who, *command)]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode()

    def remove(self) -> None:
        """Remove all of it."""
        for name in self.names.values():
            run("ip", "netns", "del", name)


def _ip(*words: str) -> None:
    done = run("ip", *words)
    assert done.returncode == 0, (words, done.stderr)

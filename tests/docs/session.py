"""A page of the documentation, run as a reader would run it; see README.md beside this file."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.docs.blocks import Block, Command, blocksOf, commandsOf

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds until something that should have happened is taken for failed."""

_PORT = re.compile(r"(?<![\w.])(?:808\d|8443|900\d|2181|5353)(?!\w)")
_PLACE = re.compile(r"(?<![\w.])/(run|srv|var/log|etc/twistproxy)(?=/)")
_SERVES = re.compile(r"(?:\w+=\S+ )*(?:twistd? |python3 (?:-m http\.server|[\w/]+\.py))")
_ENDS = re.compile(r"--(?:check|help|help-plugin|list-plugins|print-config|version)\b|; | && | \| ")
_FRONT = re.compile(r"(?<![\w.:/])(?:808\d|8443)(?!\w)|(?<=ssl:)8443|(?<=tls:)8443|(?<=tcp:)808\d")
_ANY_PORT = re.compile(r"(?<=:)200[34](?!\d)")


_RUNNER = """\
import sys
for path in sys.argv[1:]:
    with open(path) as file:
        exec(compile(file.read(), path, "exec"), {"__name__": "__main__"})
"""
"""Runs several blocks, each with names of its own, at the price of one start of Python."""


class Mismatch(AssertionError):
    """A page says one thing, and another happened."""


_given: set[int] = set()


def freePort() -> int:
    """One that nobody uses now, and that was not given to anybody before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def environment(directory: Path = ROOT) -> dict[str, str]:
    """For what a page runs in C{directory}: our C{python3} and C{twist} come first, and no proxy stands between."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    path = f"{os.path.dirname(sys.executable)}:{kept['PATH']}"
    ours = {"PATH": path, "COLUMNS": "120", "TERM": "dumb", "PYTHONUNBUFFERED": "1", "CURL_HOME": str(directory)}
    return {**kept, **ours}


class Server:
    """A command that goes on running, in a terminal of its own."""

    def __init__(self, command: str, directory: Path, fronts: frozenset[str]) -> None:
        self.command = command
        self.fronts = fronts
        self.said = ""
        ours, theirs = os.openpty()
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec env {command}"], cwd=directory, env=environment(directory), stdin=subprocess.DEVNULL,
            stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._reading = threading.Thread(target=self._read, args=(ours,), daemon=True)
        self._reading.start()

    def _read(self, terminal: int) -> None:
        try:
            while data := os.read(terminal, 65536):
                self.said += data.decode(errors="replace").replace("\r\n", "\n")
        except OSError:
            pass  # the other side is closed
        os.close(terminal)

    @property
    def hasEnded(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Ctrl-C."""
        if not self.hasEnded:
            self._process.send_signal(signal.SIGINT)

    def join(self) -> None:
        """Wait for its end."""
        try:
            try:
                self._process.wait(PATIENCE / 5)
            except subprocess.TimeoutExpired:
                # Python loses a SIGINT that comes while the program is still starting, if something there catches all.
                self.interrupt()
                self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise Mismatch(f"{self.command!r} did not end:\n{self.said}") from None
        self._reading.join(PATIENCE)


class Session:
    """A page being run."""

    def __init__(self, title: str, source: str, ready: Mapping[str, int]) -> None:
        """
        @param title: names the page in messages.
        @param source: its Markdown.
        @param ready: real ports by the page's, of servers that run already.
        """
        self.title = title
        self.source = source
        self.directory = Path()
        self.servers: list[Server] = []
        self.interrupted: list[Server] = []
        self.saved: dict[str, Block] = {}
        self.waiting: list[Block] = []
        given = " ".join(re.findall(r"<!-- (?:upstreams|zookeeper): ([\d ]+) -->", source)).split()
        self.ports = {
            port: str(ready[port]) if port in given else str(freePort()) for port in sorted(set(_PORT.findall(source)))
        }

    def run(self) -> None:
        """All of it.

        @raise Mismatch: when something else happened than the page says.
        """
        # A short path: that of a UNIX socket has to fit into 107 bytes.
        with tempfile.TemporaryDirectory(prefix="docs-") as directory:
            self.directory = Path(directory)
            for place in ("run", "srv", "var/log", "etc/twistproxy"):
                (self.directory / place).mkdir(parents=True)
            # As in a terminal, where curl does not show its progress when it prints the answer.
            (self.directory / ".curlrc").write_text("silent\nshow-error\n")
            try:
                self._runAll()
            finally:
                for server in self.servers:
                    server.interrupt()
                for server in (*self.servers, *self.interrupted):
                    server.join()

    def _runAll(self) -> None:
        for block in blocksOf(self.source):
            try:
                self._block(block)
            except Mismatch as error:
                raise Mismatch(f"{self.title}:{block.line}: {error}") from None
        self._runPython()

    def _block(self, block: Block) -> None:
        if block.language == "python":
            self._python(block)
        elif block.language == "toml":
            self._toml(block)
        elif block.language == "console":
            self._runPython()
            for command in commandsOf(block):
                self._command(command)
        elif block.language not in ("text", "go"):
            raise Mismatch(f"a block of {block.language or 'no language'} is not tested; see tests/docs/README.md")

    def translated(self, text: str) -> str:
        """C{text} with real ports and places."""
        text = _PORT.sub(lambda found: self.ports[found[0]], text)
        return _PLACE.sub(lambda found: f"{self.directory}/{found[1]}", text)

    def _save(self, block: Block) -> str:
        assert block.name is not None
        name = block.name
        if name.startswith("examples/"):
            if (ROOT / name).read_text() != block.text.partition("\n")[2]:
                raise Mismatch(f"{name} has changed: show it as it is")
            name = os.path.basename(name)
        self.saved[name] = block
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.translated(block.text))
        return name

    def _python(self, block: Block) -> None:
        if block.name in self.saved:
            self._runPython()
        if block.name:
            self._save(block)
        else:
            self.waiting.append(block)

    def _runPython(self) -> None:
        """Run the blocks that wait: all that came since something else had to be run."""
        blocks, self.waiting = self.waiting, []
        names = [f"line-{block.line}.py" for block in blocks]
        for name, block in zip(names, blocks, strict=True):
            (self.directory / name).write_text(self.translated(block.text))
        if names:
            try:
                self._run([sys.executable, "-c", _RUNNER, *names])
            except Mismatch as error:
                raise Mismatch(f"{self.title}: the block at the line that the traceback names: {error}") from None

    def _toml(self, block: Block) -> None:
        if block.name:
            name = self._save(block)
            if name.endswith("pyproject.toml"):
                return
        else:
            name = "page.toml"
            (self.directory / name).write_text(self.translated(block.text))
        self._run(["twist", "revproxy", "--plugin-path", ".", "--config", name, "--check"])

    def _run(self, command: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                command, cwd=self.directory, env=environment(self.directory), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired as expired:
            said = expired.stdout.decode(errors="replace") if isinstance(expired.stdout, bytes) else expired.stdout
            raise Mismatch(f"it does not end:\n{said}") from None
        if done.returncode:
            raise Mismatch(f"it ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def _command(self, command: Command) -> None:
        text = self.translated(command.text)
        expected = [self.translated(line) for line in command.output]
        try:
            if _SERVES.match(command.text) and not _ENDS.search(command.text):
                self._serve(command.text, command.output)
            else:
                # A command whose output is shown may fail: that is what is shown.
                self._check(expected, self._run(["bash", "-c", f"{text}\ntrue" if expected else text]))
        except Mismatch as error:
            seen = "".join(f"\n--- {each.command}\n{each.said}" for each in self.servers)
            raise Mismatch(f"line {command.line}: $ {text}\n{error}{seen}") from None

    def _check(self, expected: Sequence[str], said: str) -> None:
        if expected and not isAsExpected(expected, said):
            raise Mismatch("expected:\n" + "\n".join(expected) + "\nbut it was:\n" + said)

    def _serve(self, text: str, expected: Sequence[str]) -> None:
        fronts = frozenset(_FRONT.findall(text + self._files(text)))
        if "revproxy" in text and not fronts:
            fronts = frozenset({"8080"})
            # Where it listens by default is taken on many a machine.
            text += " --listen tcp:8080" + (":interface=127.0.0.1" if "--forward" in text else "")
        for each in [each for each in self.servers if each.fronts & fronts]:
            each.interrupt()
            self.servers.remove(each)
            self.interrupted.append(each)
        # Another one, so that nothing has to wait for the end of the server that was there.
        self.ports.update((front, str(freePort())) for front in fronts)
        for block in self.saved.values():
            self._save(block)
        expected = [self.translated(line) for line in expected]
        before = self._listening()
        server = Server(self.translated(text), self.directory, fronts)
        self.servers.append(server)
        deadline = time.monotonic() + PATIENCE
        while not (self._hasSaid(server, expected) if expected else self._listening() - before):
            if server.hasEnded or time.monotonic() > deadline:
                server.interrupt()
                server.join()
                raise Mismatch("expected:\n" + "\n".join(expected) + "\nbut it was:\n" + server.said)
            time.sleep(0.02)

    def _hasSaid(self, server: Server, expected: Sequence[str]) -> bool:
        between = [line for each in expected for line in ("...", each)]
        return isAsExpected([*between, "..."], server.said)

    def _files(self, text: str) -> str:
        """What the files say that a command names."""
        names = re.findall(r"[\w./-]+\.(?:py|toml|tac)\b", text)
        return "".join(self.saved[name].text for name in names if name in self.saved)

    def _listening(self) -> set[str]:
        found = set()
        for port in self.ports.values():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    found.add(port)
        return found


def isAsExpected(expected: Sequence[str], said: str) -> bool:
    """Whether C{said} is what C{expected} means, with its dots."""
    lines = [line.rstrip() for line in said.replace("\r", "").rstrip("\n").split("\n")]
    reached = {0}
    for each in expected:
        if each == "...":
            reached = set(range(min(reached), len(lines) + 1))
        else:
            line = linePattern(each)
            reached = {at + 1 for at in reached if at < len(lines) and line.fullmatch(lines[at])}
        if not reached:
            return False
    return len(lines) in reached


def linePattern(expected: str) -> re.Pattern[str]:
    """What one line means."""
    parts = (re.escape(_ANY_PORT.sub("\0", each)).replace("\0", r"\d+") for each in expected.rstrip().split("..."))
    return re.compile(".*".join(parts))

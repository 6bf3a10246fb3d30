"""The fenced blocks of a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from attrs import frozen

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (?P<name>[\w./-]+\.(?:py|toml|tac))\n")


@frozen
class Block:
    """One of them.

    @ivar line: where it starts, for a person to find it.
    """

    language: str
    text: str
    line: int

    @property
    def name(self) -> str | None:
        """The name of the file that it is, from its first line."""
        found = _NAME.match(self.text)
        return found["name"] if found else None


@frozen
class Command:
    """A command of a console, with what it has to print."""

    text: str
    output: Sequence[str]
    line: int


def blocksOf(source: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [
        Block(
            found["language"],
            re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            source.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(source)
    ]


def commandsOf(block: Block) -> Iterator[Command]:
    """The commands of a console; one that ends in a backslash goes on in the next line."""
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        start = at
        assert lines[at].startswith("$ "), f"line {block.line + at + 1}: a console starts with '$ '"
        command = lines[at][2:]
        at += 1
        while command.endswith("\\"):
            command += "\n" + lines[at]
            at += 1
        output = []
        while at < len(lines) and not lines[at].startswith("$ "):
            output.append(lines[at])
            at += 1
        yield Command(command, output, block.line + start + 1)

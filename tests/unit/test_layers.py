"""The architecture that the folders show: packages import one another in one direction only."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import twistproxy

ROOT = Path(twistproxy.__file__).parent

APART = {"twistproxy.server.resource": "server.resource"}
"""Modules that stand higher than their package, which they are in for the sake of their name: a resource of twisted.web is a
whole proxy."""


def modules() -> dict[str, Path]:
    """Each module's file, by its name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("twistproxy", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def packageOf(name: str) -> str:
    """The folder that a module is in; a module at the top is one by itself."""
    return APART.get(name) or [*name.split("."), ""][1]


def importsOf(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that one imports as soon as it is loaded."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            wanted = {f"{node.module}.{each.name}" for each in node.names} | {node.module}
            found |= wanted & known.keys()
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names} & known.keys()
    return found - {"twistproxy"}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Those who can be reached from themselves, each with the others on the way; what hangs on nobody is taken away first."""
    left = {name: set(targets) for name, targets in edges.items()}
    while free := {name for name, targets in left.items() if not targets & left.keys()}:
        left = {name: targets - free for name, targets in left.items() if name not in free}
    return sorted([name, *sorted(targets & left.keys())] for name, targets in left.items())


class TestLayers(SynchronousTestCase):
    def test_importsPointOneWay(self) -> None:
        known = modules()
        self.assertGreater(len(known), 300)
        edges: dict[str, set[str]] = {}
        for name, path in known.items():
            here = packageOf(name)
            edges.setdefault(here, set()).update(packageOf(each) for each in importsOf(path, known))
            edges[here].discard(here)
        self.assertEqual(circles(edges), [])

    def test_circles(self) -> None:
        self.assertEqual(circles({"a": {"b"}, "b": {"c"}, "c": set()}), [])
        self.assertEqual(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}), [["a", "b"], ["b", "c"], ["c", "b"]])

    def test_noModuleIsTooLong(self) -> None:
        for name, path in modules().items():
            self.assertLessEqual(len(path.read_text().splitlines()), 500, name)

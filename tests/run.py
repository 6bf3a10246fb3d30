"""Run everything that is checked, and end with one line that says how it went.

C{.venv/bin/python tests/run.py}: each step runs even when one before it failed. With names of steps as
arguments (C{lint}, C{types}, C{unit}, C{rest}) only those run. What needs root, or a program that is missing,
is skipped by the tests themselves, each by name.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP_LIMIT = 900.0
"""Seconds after which a step is taken for hung, and killed with all that it started."""

BEYOND_UNIT = ("integration", "conformance", "fuzz", "peers", "packaging", "docs")
"""The folders that share a pytest of their own: a reactor runs in it, which the unit tests must not meet."""


class Run:
    """One run over the steps.

    @ivar failures: what went wrong, in words.
    @ivar outcomes: pytest's counts over all its steps, by the word that it uses.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.outcomes: Counter[str] = Counter()

    def lint(self) -> None:
        """The code as ruff sees it."""
        self._call("ruff", "-m", "ruff", "check", "--output-format=concise", ".")

    def types(self) -> None:
        """The code as mypy sees it; the drop-in apart, as it is in no package."""
        self._call("mypy", "-m", "mypy", "--strict", "-p", "twistproxy")
        self._call("mypy of the drop-in", "-m", "mypy", "--strict", "twisted/plugins/twistproxy_plugin.py")

    def unit(self) -> None:
        """The unit tests under both runners, which must find the same tests; side by side, as neither looks at a clock."""
        with ThreadPoolExecutor(1) as pool:
            later: list[str] = []  # what trial says, to be shown when pytest is done
            running = pool.submit(self._call, "trial", "-m", "twisted.trial", "--reporter=text", "tests.unit", say=later.append)
            pytestRan = self._pytest("pytest of the unit tests", "tests/unit")
            trialOutput = running.result()
        print("".join(later), end="", flush=True)
        trialRan = sum(int(found) for found in re.findall(r"^Ran (\d+) tests?", trialOutput, re.MULTILINE))
        if trialRan != pytestRan:
            self.failures.append(f"trial ran {trialRan} unit tests, pytest {pytestRan}")

    def rest(self) -> None:
        """All other tests."""
        folders = [f"tests/{name}" for name in BEYOND_UNIT if any((ROOT / "tests" / name).rglob("test_*.py"))]
        if folders:
            self._pytest("pytest of the other tests", *folders)

    def closing(self, seconds: float) -> str:
        """The line that says how it went, in pytest's words."""
        words = [f"{count} {word}" for word, count in sorted(self.outcomes.items(), key=_wordOrder)]
        counted = f"{', '.join(words) or 'no tests ran'} in {seconds:.1f}s"
        return f"FAILED: {'; '.join(self.failures)} ({counted})" if self.failures else counted

    def _pytest(self, title: str, *arguments: str) -> int:
        """Run pytest; how many tests it ran, the skipped ones included."""
        said = self._call(title, "-m", "pytest", "-q", *arguments)
        closing = said.rstrip().rpartition("\n")[2]
        # "3 subtests passed" are within a test, and do not count.
        counts = Counter[str]()
        for count, word in re.findall(r"\b(\d+) (passed|failed|skipped|xfailed|errors?)\b", closing):
            counts[word.removesuffix("s")] += int(count)
        self.outcomes += counts
        return counts.total()

    def _call(self, title: str, *arguments: str, say: Callable[[str], None] | None = None) -> str:
        """Run Python with C{arguments} and show what it says; gives that back.

        @param say: takes the text; by default it is printed.
        """
        say = say or _show
        say(f"== {title}\n")
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert process.stdout is not None
        hung = threading.Timer(STEP_LIMIT, _killAll, [process])
        hung.start()
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                say(line)
            status = process.wait()
        except BaseException:
            _killAll(process)
            raise
        finally:
            hung.cancel()
        took = time.monotonic() - started
        say(f"-- {title}: {'ok' if status == 0 else f'failed with {status}'}, {took:.1f} s\n\n")
        if status:
            self.failures.append(f"{title} was killed as hung" if took >= STEP_LIMIT else title)
        return "".join(said)


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _killAll(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _wordOrder(item: tuple[str, int]) -> int:
    return ["failed", "error", "passed", "skipped", "xfailed"].index(item[0])


def main(names: list[str]) -> int:
    """Run the steps in C{names}, or all; the exit status."""
    run = Run()
    steps: dict[str, Callable[[], None]] = {
        "lint": run.lint,
        "types": run.types,
        "unit": run.unit,
        "rest": run.rest,
    }
    if unknown := [name for name in names if name not in steps]:
        print(f"no such step: {', '.join(unknown)}; there are {', '.join(steps)}", file=sys.stderr)
        return 2
    # Tests end servers by SIGINT, and who starts this in the background of a shell has that ignored, here and in all children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    for name, step in steps.items():
        if not names or name in names:
            step()
    print(run.closing(time.monotonic() - started))
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

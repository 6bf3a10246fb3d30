"""What was checked, and what came of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from traceback import format_exception_only
from typing import Any

from attrs import frozen

from twistproxy.errors import ConfigurationError


@frozen
class Check:
    """One check.

    @ivar name: what was done, in words.
    @ivar problem: what was wrong; empty when nothing was.
    """

    name: str
    problem: str = ""


class Report:
    """All checks of one plugin, in their order; as text, a line for each and what was wrong below it."""

    subject: str
    """What was checked."""

    checks: list[Check]
    """Those that were made."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.checks = []

    def run(self, name: str, check: Callable[[], Any]) -> Any:
        """Make one check; what it raises is its problem.

        @return: what C{check} returns; None if it fails.
        """
        try:
            result = check()
        except Exception as error:
            self.checks.append(Check(name, _told(error)))
            return None
        self.checks.append(Check(name))
        return result

    @property
    def problems(self) -> list[Check]:
        """The checks that failed."""
        return [each for each in self.checks if each.problem]

    def raiseProblems(self) -> Report:
        """The report itself, if nothing was wrong.

        @raise AssertionError: with the report as its message.
        """
        if self.problems:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        failed = len(self.problems)
        result = f"fails {failed} of {len(self.checks)} checks" if failed else f"passes {len(self.checks)} checks"
        return "\n".join([f"{self.subject} {result}", *(line for each in self.checks for line in _lines(each))])

    def __repr__(self) -> str:
        return f"<Report {str(self).partition(chr(10))[0]}>"


def _lines(check: Check) -> Iterator[str]:
    yield f"  {'FAILED' if check.problem else 'ok':<7} {check.name}"
    if check.problem:
        yield textwrap.indent(check.problem, " " * 10)


def _told(error: BaseException) -> str:
    """An exception in as few lines as help: its own sentence if it has one, else what, and from where."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_told(each) for each in error.exceptions)
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, (AssertionError, ConfigurationError)) and str(error):
        return f"{error}{notes}"
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" ({last.tb_frame.f_code.co_filename}:{last.tb_lineno})" if last is not None else ""
    lines = [line for line in format_exception_only(error) if not notes or line.strip() not in notes]
    return f"{''.join(lines).strip()}{where}{notes}"

"""Directories for a test's length, under trial and pytest alike: C{mktemp} leaves its own behind."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase


def temporaryDirectory(case: SynchronousTestCase) -> Path:
    """A new directory that goes with C{case}; its absolute path."""
    directory = TemporaryDirectory()
    case.addCleanup(directory.cleanup)
    return Path(directory.name).resolve()

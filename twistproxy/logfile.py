"""A log in a file, which may be moved away while it is written to.

Whoever rotates logs renames the file, and expects the next line in a new one. Others have to be told so by a signal;
here each write looks where the path leads, as Python's C{WatchedFileHandler} does. So nobody needs to know the number of
a process, nor how many there are.
"""

from __future__ import annotations

import os
from typing import Final

from twisted.logger import Logger

_log: Final = Logger()


class LogFile:
    """A file that is appended to.

    @ivar path: absolute.
    """

    def __init__(self, path: str) -> None:
        """
        @raise OSError: when it can't be opened.
        """
        self.path = os.path.abspath(path)
        self._isStuck = False
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - kept

    def write(self, text: str) -> None:
        """Append text, to a new file if the old one was moved or removed.

        @raise OSError: when it can't be written.
        """
        if self._wasMoved():
            self._reopen()
        self._file.write(text)
        self._file.flush()

    def flush(self) -> None:
        """Everything is written already."""

    def close(self) -> None:
        """No more."""
        self._file.close()

    def _wasMoved(self) -> bool:
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self._file.fileno()))

    def _reopen(self) -> None:
        """Go on in a new file; in the old one as long as there can be none."""
        try:
            new = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - kept
        except OSError as error:
            if not self._isStuck:
                self._isStuck = True
                _log.error("{path} was moved, and can't be opened anew: {error}", path=self.path, error=error)
            return
        self._isStuck = False
        self._file.close()
        self._file = new

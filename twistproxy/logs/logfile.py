"""A log in a file, which may be moved away while it is written to.

Whoever rotates logs renames the file, and expects the next line in a new one. Others have to be told so by a signal;
here each write looks where the path leads, as Python's C{WatchedFileHandler} does. So nobody needs to know the number of
a process, nor how many there are.
"""

from __future__ import annotations

import os
from io import FileIO
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
        self._file = FileIO(self.path, "a")  # no buffer: what is written at once is not mixed with what other processes write

    def write(self, text: str) -> None:
        """Append text, to a new file if the old one was moved or removed.

        @raise OSError: when it can't be written.
        """
        if self._wasMoved():
            self._reopen()
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        while left:
            left = left[self._file.write(left) :]

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
            new = FileIO(self.path, "a")
        except OSError as error:
            if not self._isStuck:
                self._isStuck = True
                _log.error("{path} was moved, and can't be opened anew: {error}", path=self.path, error=error)
            return
        self._isStuck = False
        self._file.close()
        self._file = new

"""Secrets: text that a plugin needs and that no listing shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

MASK = "***"
"""What is shown in place of a secret."""


class Secret(str):
    """A C{str} that C{repr} and C{--print-config} mask. It is the text itself in every other respect.

    In a configuration: C{env:NAME} for an environment variable, C{file:PATH} for a file's content without the
    line end, or a table C{{ env = "NAME" }}, C{{ file = "PATH" }}.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    @classmethod
    def read(cls, value: Any, directory: str = "") -> Secret:
        """The secret that C{value} stands for; text that names no place is the secret itself.

        @param directory: what a relative path is relative to.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        place, name = _placeOf(value)
        if place == "env":
            found = os.environ.get(name)
            if found is None:
                raise ValueError(f"there is no environment variable {name}")
            return cls(found)
        if place == "file":
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    return cls(file.read().rstrip("\r\n"))
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"the file {name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        return cls(name)


def isSecretTable(value: Any) -> bool:
    """Whether C{value} is a table that names the place of a secret."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in ("env", "file")


def _placeOf(value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping):
        if not isSecretTable(value) or not isinstance(next(iter(value.values())), str):
            raise ValueError('a table here is { env = "NAME" } or { file = "PATH" }')
        return next(iter(value.items()))
    if not isinstance(value, str):
        raise ValueError("a secret is text, or names a place by env:NAME or file:PATH")
    place, mark, name = value.partition(":")
    return (place, name) if mark and place in ("env", "file") else ("", value)

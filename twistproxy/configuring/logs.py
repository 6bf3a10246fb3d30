"""Where logs go."""

from __future__ import annotations

import os
from typing import Any

from twistproxy.config import AccessLogConfig, PluginUse
from twistproxy.configuring.reading import Reader, isPlugin
from twistproxy.interfaces import IAccessLog


def readAccessLog(reader: Reader, where: str, value: Any) -> AccessLogConfig | PluginUse | None:
    """C{-}, C{FILE}, either after C{combined:} or C{json:}, or a plugin."""
    if not isinstance(value, str):
        return reader.plugin(where, IAccessLog, value)
    prefix, mark, rest = value.partition(":")
    if mark and prefix in ("combined", "json"):
        path, form = rest, prefix
    elif isPlugin(reader.found, value, IAccessLog):
        return reader.plugin(where, IAccessLog, value)
    else:
        path, form = value, "combined"
    if path != "-":
        path = reader.path(path)
        problem = _fileProblem(path)
        if problem:
            reader.wrong(where, problem)
            return None
    return AccessLogConfig(path, form, reader.place(where))


def readErrorLog(reader: Reader, where: str, value: Any) -> str:
    """The path of a file."""
    if not isinstance(value, str):
        reader.wrong(where, "an error log is the path of a file")
        return ""
    path = reader.path(value)
    if problem := _fileProblem(path):
        reader.wrong(where, problem)
    return path


def _fileProblem(path: str) -> str | None:
    """What will keep a log from being opened, found out without opening it."""
    directory = os.path.dirname(path) or "."
    if not path:
        return "a log needs the path of a file"
    if os.path.isdir(path):
        return f"{path} is a directory"
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    return None if os.access(path if os.path.exists(path) else directory, os.W_OK) else f"{path} cannot be written"

"""Upstreams as people write them: a URL, or what stands for one, with options after commas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twistproxy.text.suggest import didYouMean, nearest

UPSTREAM_OPTIONS: Final = ("weight", "max-conns", "priority", "backup")
"""What may follow an upstream's URL, after commas."""

TLS_OPTIONS: Final = ("server-name", "ca", "cert", "key", "insecure")
"""What may follow an https URL as well, where a person writes it: a registry may not say whom to trust."""


def splitUpstream(text: str, options: Sequence[str] = UPSTREAM_OPTIONS) -> dict[str, Any]:
    """The words of C{URL[,weight=N][,max-conns=N][,priority=N][,backup]}; a comma may belong to the URL.

    @param options: what may follow.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    words: dict[str, Any] = {}
    url = text
    while "," in url:
        rest, _, last = url.rpartition(",")
        name, mark, value = last.partition("=")
        if name not in options:
            if "/" in rest.partition("://")[2] and not (mark and nearest(name, [each for each in options if len(each) > 3])):
                break  # a part of the path; but what looks like a slip of the pen is told
            raise ValueError(f"an upstream has no option {name!r}{didYouMean(name, options)}")
        if name in words:
            raise ValueError(f"{name} is given twice")
        if bool(mark) == (name == "backup"):
            raise ValueError(f"{name} takes {'no' if mark else 'a'} value")
        words[name] = value if mark else True
        url = rest
    return {"url": url, **words}

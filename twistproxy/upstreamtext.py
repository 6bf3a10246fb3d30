"""Upstreams as people write them: a URL, or what stands for one, with options after commas."""

from __future__ import annotations

from typing import Any, Final

from twistproxy.suggest import didYouMean, nearest

UPSTREAM_OPTIONS: Final = ("weight", "max-conns", "priority", "backup")
"""What may follow an upstream's URL, after commas."""


def splitUpstream(text: str) -> dict[str, Any]:
    """The words of C{URL[,weight=N][,max-conns=N][,priority=N][,backup]}; a comma may belong to the URL.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    words: dict[str, Any] = {}
    url = text
    while "," in url:
        rest, _, last = url.rpartition(",")
        name, mark, value = last.partition("=")
        if name not in UPSTREAM_OPTIONS:
            if "/" in rest.partition("://")[2] and not (mark and nearest(name, UPSTREAM_OPTIONS)):
                break
            raise ValueError(f"an upstream has no option {name!r}{didYouMean(name, UPSTREAM_OPTIONS)}")
        if name in words:
            raise ValueError(f"{name} is given twice")
        if bool(mark) == (name == "backup"):
            raise ValueError(f"{name} takes {'no' if mark else 'a'} value")
        words[name] = value if mark else True
        url = rest
    return {"url": url, **words}

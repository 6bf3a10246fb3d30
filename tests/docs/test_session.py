"""The pages are really tested: what is wrong in one is found."""

from __future__ import annotations

import pytest

from tests.docs.session import Mismatch, Session, isAsExpected


def run(page: str) -> None:
    Session("a page", page, {}).run()


@pytest.mark.parametrize(
    "page",
    [
        "```python\nassert False\n```\n",
        "```python\nprint(\n```\n",
        "```toml\n[pools.default]\nupstream = 1\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ printf 'one\\ntwo\\n'\none\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ twist revproxy --upstream http://127.0.0.1:9000 --set nonsense=1\nlistening on ...\n```\n",
        "```bash\ntrue\n```\n",
        "```\ntrue\n```\n",
        "```python\n# examples/upstream.py\nprint()\n```\n",
    ],
)
def test_aMistakeIsFound(page: str) -> None:
    with pytest.raises(Mismatch):
        run(page)


def test_aPageIsOneSession() -> None:
    run(
        "```python\n# one.py\nANSWER = 42\n```\n\n"
        "```python\nimport one\n\nassert one.ANSWER == 42\n```\n\n"
        "```console\n$ echo one > /srv/file && cat /srv/file\none\n$ tail -1 one.py\nANSWER = 42\n$ false; echo $?\n1\n```\n"
    )


@pytest.mark.parametrize(
    ("expected", "said", "is_"),
    [
        (["one"], "one\n", True),
        (["one"], "one", True),
        (["one"], "one\ntwo\n", False),
        (["..."], "one\ntwo\n", True),
        (["one", "...", "four"], "one\ntwo\nthree\nfour\n", True),
        (["one", "...", "two"], "one\ntwo\n", True),
        (["one", "...", "two"], "one\nthree\n", False),
        (["...", "a", "...", "a"], "a\nb\na\n", True),
        (["o...e"], "one\n", True),
        (["a.c"], "abc\n", False),
        (["at http://127.0.0.1:2003/"], "at http://127.0.0.1:54321/\n", True),
        (["at http://127.0.0.1:2003/"], "at http://127.0.0.1:none/\n", False),
    ],
)
def test_whatDotsMean(expected: list[str], said: str, is_: bool) -> None:
    assert isAsExpected(expected, said) is is_

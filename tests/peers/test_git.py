"""git over HTTP through the proxy: uploads in chunks and compressed, answers of a CGI program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.apache import Apache
from tests.support.programs import needs, run

CONFIGURATION = """
SetEnv GIT_PROJECT_ROOT {directory}/files
SetEnv GIT_HTTP_EXPORT_ALL 1
ScriptAlias / /usr/lib/git-core/git-http-backend/
<Directory /usr/lib/git-core>
    Options +ExecCGI
    Require all granted
</Directory>
"""

BACKEND = Path("/usr/lib/git-core/git-http-backend")

pytestmark = [needs("apache2", "git", "curl"), pytest.mark.skipif(not BACKEND.exists(), reason="not installed: git-http-backend")]


@pytest.fixture(scope="module")
def apache() -> Iterator[Apache]:
    """Apache that serves one repository."""
    with Apache(CONFIGURATION) as running:
        repository = running.files / "project.git"
        subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
        subprocess.run(["git", "-C", repository, "config", "http.receivepack", "true"], check=True)
        running.own()
        yield running


def git(directory: Path, *words: str) -> str:
    """Run git, alone with its own configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = run("git", "-C", directory, *words, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_cloneAndPush(apache: Apache, startProxy: StartProxy, tmp_path: Path) -> None:
    proxy = startProxy(apache.url)
    url = f"{proxy.url}/project.git"
    git(tmp_path, "clone", "--quiet", url, "first")
    first = tmp_path / "first"
    # More than http.postBuffer: git sends it in chunks, of a length that nobody knows.
    contents = os.urandom(5 << 20)
    (first / "big").write_bytes(contents)
    (first / "small").write_text("hello\n")
    git(first, "add", ".")
    git(first, "commit", "--quiet", "-m", "first")
    git(first, "push", "--quiet", "origin", "HEAD:refs/heads/main")
    git(tmp_path, "clone", "--quiet", "--branch", "main", url, "second")
    second = tmp_path / "second"
    assert (second / "big").read_bytes() == contents
    for number in range(3):
        (second / "small").write_text(f"{number}\n")
        git(second, "commit", "--quiet", "-am", str(number))
        git(second, "push", "--quiet", "origin", "main")
        git(first, "fetch", "--quiet", "origin", "main")
        assert git(first, "show", "FETCH_HEAD:small") == f"{number}\n"
    assert len(git(first, "ls-remote", url).splitlines()) >= 1
    assert proxy.log == []

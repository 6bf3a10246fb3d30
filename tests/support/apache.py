"""Apache with a configuration of its own, as an unprivileged user below a directory of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from tests.support.process import LIMIT, Child, waitFor
from tests.support.programs import freePort, program, run

MODULES = Path("/usr/lib/apache2/modules")

CONFIGURATION = """
ServerRoot {directory}
ServerName localhost
PidFile {directory}/apache.pid
DefaultRuntimeDir {directory}
ErrorLog {directory}/error.log
LogLevel warn
Mutex pthread
Listen 127.0.0.1:{port}
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule env_module {modules}/mod_env.so
LoadModule cgi_module {modules}/mod_cgi.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
LoadModule dav_lock_module {modules}/mod_dav_lock.so
StartServers 4
MinSpareServers 2
DocumentRoot {directory}/files
DAVLockDB {directory}/locks
"""


class Apache(Child):
    """A running Apache, and its directory, which is gone when it is.

    @ivar directory: where its files are, owned by its user.
    @ivar files: the document root.
    @ivar url: where it listens.
    """

    def __init__(self, configuration: str) -> None:
        """@param configuration: more directives; C{directory} is filled in."""
        self.directory = Path(tempfile.mkdtemp(prefix="apache"))
        self.files = self.directory / "files"
        self.files.mkdir()
        port = freePort()
        self.url = f"http://127.0.0.1:{port}"
        text = CONFIGURATION.format(directory=self.directory, port=port, modules=MODULES)
        (self.directory / "apache.conf").write_text(text + configuration.format(directory=self.directory))
        self.own()
        apache = program("apache2")
        assert apache is not None
        try:
            words = (apache, "-d", self.directory, "-f", self.directory / "apache.conf", "-DFOREGROUND")
            super().__init__(self.directory, "apache", *words, user=self.user)
            pid = self.directory / "apache.pid"
            waitFor(lambda: pid.exists() or self.process.poll() is not None, "Apache did not start")
            assert self.process.poll() is None, self.said
            waitFor(self._isUp, "Apache does not listen", LIMIT)
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def _isUp(self) -> bool:
        return run("curl", "-s", "-o", os.devnull, self.url).returncode == 0

    def __enter__(self) -> Apache:
        return self

    @property
    def user(self) -> str | None:
        """Whom it runs as; Apache refuses to be root."""
        return "nobody" if os.geteuid() == 0 else None

    def own(self) -> None:
        """Give it whatever was put into its directory."""
        if self.user is not None:
            user = pwd.getpwnam(self.user)
            for each in (self.directory, *self.directory.rglob("*")):
                os.chown(each, user.pw_uid, user.pw_gid)

    def kill(self) -> None:
        """End it at once."""
        super().kill()
        shutil.rmtree(self.directory, ignore_errors=True)

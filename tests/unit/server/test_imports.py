"""Which imports install a reactor: that of twisted.web.proxy does, and so only one module of ours may have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[3]


def installsReactor(statements: str) -> bool:
    """Whether a reactor is there after C{statements} in a Python of their own."""
    program = f"import sys\n{statements}\nprint('twisted.internet.reactor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1] == "True"


class TestImports(SynchronousTestCase):
    def test_theProxyInstallsNoReactor(self) -> None:
        self.assertFalse(installsReactor("import twistproxy, twistproxy.proxy\nfrom twistproxy import ReverseProxy"))

    def test_noModuleButTheResourceInstallsOne(self) -> None:
        self.assertFalse(
            installsReactor(
                "import importlib, pkgutil, twistproxy\n"
                "for each in pkgutil.walk_packages(twistproxy.__path__, 'twistproxy.'):\n"
                "    if each.name not in ('twistproxy.server.resource', 'twistproxy.__main__'):\n"
                "        importlib.import_module(each.name)"
            )
        )

    def test_theResourceInstallsTheDefaultOneUnlessThereIsAnother(self) -> None:
        self.assertTrue(installsReactor("import twistproxy.server.resource"))
        self.assertTrue(
            installsReactor(
                "from twisted.internet import selectreactor\nselectreactor.install()\n"
                "import twistproxy.server.resource\nfrom twisted.internet import reactor\n"
                "assert type(reactor).__name__ == 'SelectReactor'"
            )
        )

    def test_nothingIsDeprecatedForWhoImportsIt(self) -> None:
        self.assertTrue(installsReactor("import warnings\nwarnings.simplefilter('error')\nimport twistproxy.server.resource"))

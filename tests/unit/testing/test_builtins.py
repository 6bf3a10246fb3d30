"""Every plugin that comes with twistproxy stands what any plugin has to stand; the drop-in says which there are."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from twisted.plugins import twistproxy_plugin
from twistproxy.discovery import zookeeper
from twistproxy.loader.finder import findPlugins
from twistproxy.plugin import Plugin
from twistproxy.testing import checkPlugin

BUILT_IN = {each.tag: each for each in vars(twistproxy_plugin).values() if isinstance(each, Plugin)}

FURTHER: dict[str, dict[str, Any]] = {
    "strip-prefix:/a": {},
    "rewrite:^/a:/z?y\\=1": {},
    "query:policy=clean:set=lang=en": {},
    "host:keep": {},
    "host:www.example.com\\:8443": {},
    "redirect:/new$target": {},
    "redirect:/new/$1:pattern=^/old/(.*):code=308": {"path": "/old/x"},
    "static:Be right back.:status=503:headers=Retry-After=60": {},
    "static:ok:status=204": {},
    "split:key=header\\:X-User:a=1:b=1": {"headers": {"X-User": "ann"}},
    "canary:b:header=X-Beta": {"headers": {"X-Beta": "yes"}},
    "response-headers:set=ETag=x:add=Vary=Cookie": {},
    "body-prefix:Hello :types=*/*:limit=10": {},
    "body-replace:new": {},
    "body-replace:sit:pattern=dolor:limit=4MiB": {},
    "status-error:2xx:keep-status=yes": {},
    "fallback::status=204:on=4xx,5xx": {},
    "fallback:stale=10m:stale-cookies=yes:stale-vary=X-Key": {},
    "text:detail=yes": {},
    "consistent-hash:key=path": {},
}
"""Plugin strings besides the examples, and what C{checkPlugin} is told with them."""

POOLS = ("a", "b", "shadow")
"""Those that the examples name."""


class NoKeeper:
    """In the place of kazoo, which would look for a real ZooKeeper in threads of its own."""

    def __init__(self, *args: Any) -> None:
        pass

    def start(self) -> None:
        """Never connected."""

    def stop(self) -> Deferred[None]:
        """Over at once."""
        return succeed(None)


class BuiltInTests(SynchronousTestCase):
    """One test for each plugin, and for each of the further strings."""

    def setUp(self) -> None:
        self.patch(zookeeper, "Keeper", NoKeeper)

    def check(self, plugin: Any, **options: Any) -> None:
        self.assertEqual(checkPlugin(plugin, directory=self.directory(), pools=POOLS, **options).problems, [])

    def directory(self) -> str:
        """What the examples find in the directory of a configuration."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        os.makedirs(os.path.join(directory, "errors"))
        for name in ("errors/404.html", "errors/5xx.html", "errors/5xx.json"):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write("{{status}} {{sentence}}")
        with open(os.path.join(directory, "upstreams.txt"), "w", encoding="utf-8") as file:
            file.write("http://10.0.0.1:80\n")
        with open(os.path.join(directory, "users"), "w", encoding="utf-8") as file:
            file.write("ali:$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/\n")
        return directory

    def test_theDropInNamesAll(self) -> None:
        self.assertEqual({tag for tag, each in findPlugins().byTag.items() if each in BUILT_IN.values()}, set(BUILT_IN))
        self.assertEqual({spec.partition(":")[0] for spec in FURTHER} - set(BUILT_IN), set())


def _add(name: str, plugin: Any, options: dict[str, Any]) -> None:
    def test(self: BuiltInTests) -> None:
        self.check(plugin, **options)

    test.__name__ = f"test_{name}"
    setattr(BuiltInTests, test.__name__, test)


for tag, factory in BUILT_IN.items():
    _add(tag.replace("-", "_"), factory, {})
for number, (spec, options) in enumerate(FURTHER.items(), 1):
    _add(f"{spec.partition(':')[0].replace('-', '_')}_{number}", spec, options)

"""Upstreams from a list, and the subject that tells them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import built
from twistproxy.discovery.listed import Listed
from twistproxy.discovery.subject import Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.messages import Upstream


class ListedTests(SynchronousTestCase):
    def test_fromAPluginString(self) -> None:
        source = built(IUpstreamSource, r"list:10.0.0.1\:80:10.0.0.2\:80,weight\=3:format=http\://%s/base:weights=10.0.0.1=5")
        self.assertEqual([(each.url, each.weight) for each in source.upstreams],
                         [("http://10.0.0.1:80/base", 5), ("http://10.0.0.2:80/base", 3)])  # fmt: skip

    def test_aProgramTellsWhatChanges(self) -> None:
        told: list[list[str]] = []
        source = Listed("a:1")
        end = source.subscribe(lambda upstreams: told.append([each.url for each in upstreams]))
        source.update(["a:1", {"url": "https://b"}, Upstream("http://c")])
        self.assertRaises(ValueError, source.update, ["no address"])
        end()
        end()
        source.update(["d:1"])
        self.assertEqual(told, [["http://a:1"], ["http://a:1", "https://b", "http://c"]])


class SubjectTests(SynchronousTestCase):
    def test_nothingIsToldBeforeTheFirstSnapshot(self) -> None:
        told: list[object] = []
        subject = Subject()
        subject.subscribe(told.append)
        self.assertEqual(told, [])
        subject.tell([])
        self.assertEqual(told, [()])

    def test_anObserverMayLeaveWhileItIsTold(self) -> None:
        subject, told = Subject(), []

        def once(_: object) -> None:
            told.append("once")
            end()

        end = subject.subscribe(once)
        subject.subscribe(lambda _: told.append("always"))
        subject.tell([])
        subject.tell([])
        self.assertEqual(told, ["once", "always", "always"])

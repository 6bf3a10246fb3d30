"""L{checkPlugin}: any plugin, in every conversation that a proxy may have with clients and upstreams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twistproxy.config import BuildContext
from twistproxy.errors import ConfigurationError
from twistproxy.messages import HeadersLike
from twistproxy.settings import Settings
from twistproxy.testing.assembly import makeSettings
from twistproxy.testing.conformance.conversations import CONVERSATIONS, IN_SINGLE_BYTES, Conversation
from twistproxy.testing.conformance.loading import checkLoading
from twistproxy.testing.conformance.report import Report
from twistproxy.testing.conformance.stage import Stage
from twistproxy.testing.conformance.subject import Subject, interfacesOf
from twistproxy.testing.network import MemoryNetwork


def checkPlugin(
    plugin: Any,
    *,
    path: str = "/a/b?c=d",
    headers: HeadersLike = (),
    pools: Sequence[str] = ("a", "b"),
    settings: Settings | Mapping[str, Any] | None = None,
    directory: str = "",
    skip: Sequence[str] = (),
) -> Report:
    """Check what has to hold for every plugin.

    It is loaded as a configuration loads it: found, described, made of its documented options, compared with its
    interfaces. Then it is put into a proxy, and clients and upstreams do all that clients and upstreams do: GET, HEAD,
    304, streamed POST, 1xx, upgrades, event streams, leaving, breaking off, stalling, all that in whole segments and some
    of it byte by byte. What the plugin does with a request is its own business, but each conversation has to end, what
    goes over the wire has to be proper HTTP, nothing may be raised, and no connection and no delayed call left behind.
    Of directors also: the inbound request stays as it was. Of modifiers: a 101 leads to a tunnel that works, an answer
    that broke off is not passed off as whole. Of middleware: each C{around} ends. Of the others: nothing hangs for them.

    Directors, modifiers, middleware, error handlers, balancers, access logs, retry policies and round trippers are tried
    in conversations; plugins of other kinds are loaded only.

    @param plugin: a plugin string or table; a factory such as L{twistproxy.plugin.Plugin}, which is made of its
        C{example}; a class or a function that makes the object, called without arguments for each conversation; or an
        object, which then goes through all of them.
    @param path: what is asked for.
    @param headers: what each request has, so that the plugin finds what it looks for.
    @param pools: names of pools that it may use, besides C{default}.
    @param settings: see L{twistproxy.testing.ProxyHarness}.
    @param directory: what relative paths in its options are relative to.
    @param skip: names of checks, as in the report, that are not to be made.
    @return: the report, to be printed.
    @raise AssertionError: when anything is wrong; its message is the report.
    """
    try:
        subject = Subject(plugin)
    except (ConfigurationError, ValueError) as error:
        raise AssertionError(str(error)) from error
    report = Report(subject.name)
    context = BuildContext(MemoryNetwork(), makeSettings(settings), "checkPlugin", directory, ("default", *pools))
    made = checkLoading(report, subject, context)
    if made is None:
        return report.raiseProblems()
    report.subject = f"{subject.name} ({', '.join(sorted(each.__name__ for each in interfacesOf(made)))})"
    if not subject.kinds(made):
        return report.raiseProblems()

    trial = _Trial(report, lambda segmentSize: Stage(subject, path, headers, pools, settings, directory, segmentSize))
    for conversation in CONVERSATIONS:
        if nameOf(conversation) not in skip:
            trial.whole(conversation)
    for conversation in IN_SINGLE_BYTES:
        if not {nameOf(conversation), f"{nameOf(conversation)}, byte by byte"} & {*skip}:
            trial.bytewise(conversation, subject.isFresh)
    return report.raiseProblems()


def nameOf(conversation: Conversation) -> str:
    """What the report calls it."""
    return (conversation.__doc__ or "").strip()


class _Trial:
    """The conversations of one plugin."""

    def __init__(self, report: Report, stage: Callable[[int | None], Stage]) -> None:
        self._report = report
        self._stage = stage
        self._statuses: dict[Conversation, list[int]] = {}

    def whole(self, conversation: Conversation) -> None:
        """Have it in whole segments."""
        statuses = self._report.run(nameOf(conversation), lambda: self._converse(conversation, None))
        if statuses is not None:
            self._statuses[conversation] = statuses

    def bytewise(self, conversation: Conversation, isFresh: bool) -> None:
        """Have it again in segments of one byte; if it went well in whole ones."""
        if conversation not in self._statuses:
            return

        def converse() -> None:
            expected, found = self._statuses[conversation], self._converse(conversation, 1)
            if isFresh and found != expected:
                raise AssertionError(f"the statuses are {expected} in whole segments, but {found} byte by byte")

        self._report.run(f"{nameOf(conversation)}, byte by byte", converse)

    def _converse(self, conversation: Conversation, segmentSize: int | None) -> list[int]:
        stage = self._stage(segmentSize)
        conversation(stage)
        stage.close()
        return [each.status for client in stage.harness.clients for each in client.answers]

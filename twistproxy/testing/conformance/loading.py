"""What can be seen of a plugin before any request: its drop-in, its class, its options, its services."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.plugin import IPlugin

from twistproxy.config import BuildContext
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.finder import PluginSet
from twistproxy.loader.listing import helpPlugin
from twistproxy.loader.verify import verifyPlugin, whereIs
from twistproxy.testing.conformance.report import Report
from twistproxy.testing.conformance.subject import Subject, checkObject
from twistproxy.testing.network import MemoryNetwork


def checkLoading(report: Report, subject: Subject, context: BuildContext) -> Any:
    """Make these checks.

    @return: the object; None when it cannot be made.
    """
    factory = subject.factory
    if factory is not None:
        report.run("its drop-in says what there is to say", lambda: _checkFactory(factory))
        report.run("--help-plugin describes it", lambda: _checkHelp(factory))
    made = report.run("it is made, and has the methods of its interfaces", lambda: _make(subject, context))
    if made is None:
        return None
    if factory is not None:
        report.run("it is what its drop-in says", lambda: _checkProvided(factory, made))
    if subject.isFresh:
        report.run("each use gets an object of its own", lambda: _checkFresh(made, subject.make(context)))
    if IService.providedBy(made) and subject.isFresh:
        report.run("its service starts and stops, twice", lambda: _checkService(subject, context))
    return made


def _checkFactory(factory: Any) -> None:
    problems = [each for interface in (IPlugin, IPluginFactory) for each in verifyPlugin(interface, factory)]
    if not factory.summary:
        problems.append(f"{factory.tag} has no summary for --list-plugins")
    if problems:
        raise AssertionError("\n".join(problems))


def _checkHelp(factory: Any) -> None:
    said = helpPlugin(PluginSet({factory.tag: factory}), factory.tag)
    if len(said.split("\n\n")) < 3:
        raise AssertionError(f"it says little: give {factory.tag} a summary, and its class a docstring")


def _make(subject: Subject, context: BuildContext) -> Any:
    made = subject.make(context)
    checkObject(made)
    return made


def _checkProvided(factory: Any, made: Any) -> None:
    problems = [each for interface in factory.provides for each in verifyPlugin(interface, made)]
    if problems:
        raise AssertionError("\n".join(problems))


def _checkFresh(one: Any, other: Any) -> None:
    if one is other:
        raise AssertionError(f"{whereIs(type(one))} is shared: two places of a configuration get the same object")


def _checkService(subject: Subject, context: BuildContext) -> None:
    network = MemoryNetwork()
    service = subject.make(BuildContext(network, context.settings, context.place, context.directory, context.pools))
    for _ in range(2):
        service.startService()
        network.advance(5)
        stopping: Deferred[Any] = maybeDeferred(service.stopService)
        network.advance(5)
        if not stopping.called:
            raise AssertionError("stopService does not end")
        stopping.addErrback(_raise)
        network.assertClean()


def _raise(failure: Any) -> None:
    failure.raiseException()

"""What C{--help-plugin} makes of docstrings and signatures."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.loader.finder import PluginSet
from twistproxy.loader.listing import helpPlugin
from twistproxy.plugin import Duration, Plugin


@implementer(IDirector)
class Told:
    """Does C{this} and L{that<twisted>}.

    Twice.

    @param header: which C{header} it
        looks at.
    @param wait: how long.
    @raise ValueError: no part of the help.
    """

    def __init__(self, header: str, wait: Duration = 5.0, **pools: int) -> None:
        """
        @param pools: a share each.
        """

    def direct(self, inbound: object, outbound: object) -> None:
        """Decides nothing."""


class HelpTests(SynchronousTestCase):
    def help(self, *parts: str) -> str:
        name = ".".join((__name__, *parts))
        return helpPlugin(PluginSet({"told": Plugin("told", name, IDirector, summary="tells")}), "told")

    def test_eachOptionIsFollowedByWhatTheDocstringSaysOfIt(self) -> None:
        self.assertEqual(
            self.help("Told"),
            "told: IDirector\n\ntells\n\nDoes this and that<twisted>.\n\nTwice.\n\nOptions:\n"
            "  header          text          required\n      which header it looks at.\n"
            "  wait            duration      default 5s\n      how long.\n"
            "  any other name  whole number\n      a share each.\n",
        )

    def test_withoutOptions(self) -> None:
        self.assertEqual(self.help("nothing"), "told: IDirector\n\ntells\n\nIt has no options.\n")

    def test_theExampleComesLast(self) -> None:
        plugin = Plugin("told", f"{__name__}.nothing", IDirector, example="told:header=X-Team")
        said = helpPlugin(PluginSet({"told": plugin}), "told")
        self.assertEqual(said, "told: IDirector\n\nIt has no options.\n\nExample:\n  told:header=X-Team\n")


def nothing() -> None:
    pass

"""The door for plugins: what an author imports, and what a drop-in in C{twisted/plugins} says.

    from twistproxy.plugin import Plugin
    from twistproxy.interfaces import IDirector
    tenant = Plugin("tenant", "twistproxy_tenant.Tenant", IDirector, summary="routes by tenant")

Every Twisted command that looks for plugins imports this module, so it imports nothing heavy: the machinery
in L{twistproxy.loader} comes in when a plugin is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.plugin import IPlugin
from zope.interface import Interface, implementer

from twistproxy.interfaces import IPluginFactory
from twistproxy.text.secret import Secret
from twistproxy.text.units import Duration, Share, Size

if TYPE_CHECKING:
    from twistproxy.loader.options import Option

__all__ = ["Duration", "Plugin", "Secret", "Share", "Size"]


@implementer(IPlugin, IPluginFactory)
class Plugin:
    """Names a plugin: its class is imported when a configuration uses it.

    The class's constructor takes the options; see L{twistproxy.loader.options} for how they are read.

    @ivar tag: the name by which a configuration asks for it.
    @ivar className: the class, or a function that makes the object, as C{module.name}.
    @ivar provides: the interfaces of the object.
    @ivar summary: one line for C{--list-plugins}; empty: the first of the class's docstring, in
        C{--help-plugin}.
    @ivar example: a plugin string that works, such as C{tenant:header=X-Team}, for C{--help-plugin} and for
        L{twistproxy.testing.checkPlugin}; empty: the tag alone.
    """

    def __init__(self, tag: str, className: str, *provides: type[Interface], summary: str = "", example: str = "") -> None:
        """
        @param example: it may name the pools C{a} and C{b}, which C{checkPlugin} has, besides C{default}.
        @raise ValueError: when the tag could not be written in a plugin string, or names no interface, or the example
            is one of another tag.
        """
        if not tag or not tag.isprintable() or any(each in " .:=,\\" for each in tag):
            raise ValueError(f"{tag!r} is not a tag: it has no space, dot, colon, comma, = or backslash")
        if "." not in className:
            raise ValueError(f"{className!r} is not module.Class")
        if not provides:
            raise ValueError(f"the plugin {tag!r} names no interface")
        if example and example.partition(":")[0] != tag:
            raise ValueError(f"{example!r} is no example of {tag!r}: it has to begin with it")
        self.tag = tag
        self.className = className
        self.provides: Sequence[type[Interface]] = provides
        self.summary = summary
        self.example = example

    def load(self) -> Callable[..., Any]:
        """The class, imported.

        @raise twistproxy.errors.ConfigurationError: when that fails.
        """
        from twistproxy.loader.building import loadName

        return loadName(self.className)

    def describeOptions(self) -> tuple[Option, ...]:
        """Its options, as its constructor takes them.

        @raise twistproxy.errors.ConfigurationError: when it cannot be loaded.
        """
        from twistproxy.loader.options import describeOptions

        return describeOptions(self.load())

    def check(self, args: Sequence[Any], options: Mapping[str, Any], directory: str = "") -> Sequence[str]:
        """What is wrong with these options, a line each, found out without making the object."""
        from twistproxy.loader.building import checkOptions

        return checkOptions(self, args, options, directory)

    def build(self, context: Any, /, *args: Any, **options: Any) -> Any:
        """Make the object and verify it.

        @param context: a L{twistproxy.config.BuildContext}, for a constructor with a parameter of that name.
        @raise twistproxy.errors.ConfigurationError: with a line for each mistake.
        """
        from twistproxy.loader.building import buildPlugin

        return buildPlugin(self, context, args, options)

    def __repr__(self) -> str:
        return f"<Plugin {self.tag} {self.className}>"

"""Settings by name, from the text of C{--set} or the values of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from twistproxy.configuring.reading import Reader
from twistproxy.settings import SettingDescription, describeSettings, parseSetting
from twistproxy.text.suggest import didYouMean

ROUTE_SETTINGS: Final = frozenset(
    {
        "expectContinueTimeout",
        "explain",
        "hookTimeout",
        "lenientUpgrade",
        "maxBodyBytes",
        "maxInformational",
        "maxReplayBytes",
        "maxTries",
        "queueTimeout",
        "triesTimeout",
        "tryTimeout",
        "tunnelIdleTimeout",
        "upstreamHeadTimeout",
        "upstreamTimeout",
    }
)
"""The attributes of L{Settings} that a route may have its own value of."""

POOL_SETTINGS: Final = frozenset(
    {
        "discoveryAllowEmpty",
        "discoveryInterval",
        "discoveryMaxShrink",
        "discoveryShrinkHold",
        "healthFall",
        "healthInterval",
        "healthRise",
        "healthTimeout",
        "maxHealthChecks",
        "panicThreshold",
        "slowStart",
    }
)
"""Those that a pool may have its own value of; the others hold for the whole proxy."""


def readSettings(
    reader: Reader,
    where: Callable[[str], str],
    values: Iterable[tuple[str, Any]],
    allowed: Collection[str] | None = None,
) -> dict[str, Any]:
    """Settings by attribute.

    @param where: makes a place of a setting's name.
    @param values: names with what was written.
    @param allowed: the attributes that may be set here; None: all.
    """
    known = {each.name: each for each in describeSettings()}
    made: dict[str, Any] = {}
    for name, value in values:
        description = known.get(name)
        if description is None:
            reader.wrong(where(name), f"there is no setting {name!r}{didYouMean(name, known)}")
        elif allowed is not None and description.attribute not in allowed:
            reader.wrong(where(name), f"{name} holds for {_scope(description.attribute)}")
        else:
            try:
                made[description.attribute] = _settingOf(description, value)
            except ValueError as error:
                reader.wrong(where(name), str(error))
    return made


def _scope(attribute: str) -> str:
    """Where a setting belongs that is set elsewhere."""
    if attribute in ROUTE_SETTINGS:
        return "a route or the whole proxy: set it there, or in [settings]"
    if attribute in POOL_SETTINGS:
        return "a pool or the whole proxy: set it there, or in [settings]"
    return "the whole proxy: set it in [settings]"


def _settingOf(description: SettingDescription, value: Any) -> Any:
    """C{value} may be text, or of TOML's own types."""
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, list) and description.kind == "networks":
        value = ",".join(map(str, value))
    elif isinstance(value, (int, float)):
        value = repr(value)
    elif not isinstance(value, str):
        raise ValueError(f"{value!r} is not a value for a setting")
    return parseSetting(description, value)

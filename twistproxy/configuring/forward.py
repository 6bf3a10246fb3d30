"""A forward proxy's rules and users, as people write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twistproxy.configuring.reading import Reader, Written, indexed
from twistproxy.errors import ConfigurationError
from twistproxy.forward.config import ForwardConfig
from twistproxy.forward.policy import ForwardPolicy, Rule, parseRule
from twistproxy.permissions.users import readUsers

FORWARD_KEYS: Final = ("allow", "deny", "users")
DEFAULT_VIA: Final = "twistproxy"
"""The name in Via of a forward proxy that was given none: RFC 9110 section 7.6.3 wants one."""


def readForward(
    reader: Reader, where: str, allow: Iterable[Written], deny: Iterable[Written], users: Written | None
) -> ForwardConfig:
    """The rules, and the file of users, tried.

    @param where: what asks for a forward proxy.
    """
    policy = ForwardPolicy(_rules(reader, allow), _rules(reader, deny))
    path = ""
    if users is not None:
        place, written = users
        if isinstance(written, str) and written:
            path = reader.path(written)
            try:
                readUsers(path)
            except ConfigurationError as error:
                reader.wrong(place, *error.problems)
        else:
            reader.wrong(place, "users are in a file: name it")
    return ForwardConfig(policy, path, reader.place(where))


def readForwardTable(reader: Reader, where: str, table: Mapping[str, Any]) -> ForwardConfig:
    """The table C{[forward]}."""
    reader.keys(where, table, FORWARD_KEYS)

    def rules(key: str) -> list[Written]:
        value = table.get(key, [])
        return indexed(f"{where}.{key}", value if isinstance(value, list) else [value])

    users = (f"{where}.users", table["users"]) if "users" in table else None
    return readForward(reader, where, rules("allow"), rules("deny"), users)


def _rules(reader: Reader, values: Iterable[Written]) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for where, value in values:
        try:
            rules.append(parseRule(value if isinstance(value, str) else repr(value)))
        except ValueError as error:
            reader.wrong(where, str(error))
    return tuple(rules)

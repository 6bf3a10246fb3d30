"""What is configured about a forward proxy: plain data."""

from __future__ import annotations

from attrs import field, frozen

from twistproxy.forward.policy import ForwardPolicy


@frozen
class ForwardConfig:
    """Where clients may go who say so themselves, and who they have to be.

    @ivar users: the path of a file with names and hashes; empty: anybody.
    """

    policy: ForwardPolicy = field(factory=ForwardPolicy)
    users: str = ""
    place: str = field(default="", eq=False)

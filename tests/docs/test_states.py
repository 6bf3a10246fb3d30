"""The table of an upstream's states in the documentation is that of the code."""

from __future__ import annotations

from tests.docs.session import ROOT


def test_theTableOfStates() -> None:
    from twistproxy.upstream.standing import TABLE

    rows = []
    for row in TABLE:
        facts = [each.value if each is not None else "" for each in (row.administrative, row.active, row.passive)]
        cells = ["yes" if row.present else "no", *facts, f"`{row.state}`", row.traffic.value]
        rows.append(f"| {' | '.join(cells)} |\n".replace("|  |", "| |").replace("|  |", "| |"))
    assert "".join(rows) in (ROOT / "docs" / "how-to" / "health-checks.md").read_text()

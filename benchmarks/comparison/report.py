"""Results as text that can stand in a Markdown page, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparison.measuring import Row
from comparison.proxies import Proxy
from comparison.scenarios import Scenario


def table(scenario: Scenario, rows: Mapping[str, Row], peers: Sequence[str]) -> str:
    """One scenario: medians, how far rounds are apart, and how many times each peer's figure that is."""
    measured = [name for name in peers if name in rows and rows[name].median]
    better = "less" if scenario.lessIsBetter else "more"
    lines = [f"**{scenario.name}**: {scenario.summary}; {scenario.unit}, {better} is better", ""]
    lines += _grid(["proxy", "median", "spread", *(f"times {name}" for name in measured)], list(_cells(rows, measured)))
    remarks = [(name, remark) for name, row in rows.items() for remark in dict.fromkeys(row.remarks)]
    if remarks:
        lines.append("")
    lines += [f"- {name}: {remark}" for name, remark in remarks]
    return "\n".join(lines)


def heading(machine: Mapping[str, str], proxies: Sequence[Proxy], missing: Sequence[str], rounds: int, seconds: int) -> str:
    """Where and with what: stands above the tables."""
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    lines += [f"- {proxy.name}: {proxy.version}" for proxy in proxies]
    lines += [f"- left out: {reason}" for reason in missing]
    lines.append(f"- {rounds} rounds of {seconds} s, medians; spread is from the lowest to the highest round")
    return "\n".join(lines)


def asJson(
    machine: Mapping[str, str], proxies: Sequence[Proxy], missing: Sequence[str],
    results: Sequence[tuple[Scenario, Mapping[str, Row]]],
) -> str:  # fmt: skip
    """Everything, each round's figure included."""
    document: dict[str, Any] = {
        "machine": dict(machine),
        "versions": {proxy.name: proxy.version for proxy in proxies},
        "missing": list(missing),
        "scenarios": {
            scenario.name: {
                "unit": scenario.unit,
                "proxies": {
                    name: {"median": row.median, "rounds": row.values, "remarks": row.remarks} for name, row in rows.items()
                },
            }
            for scenario, rows in results
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _cells(rows: Mapping[str, Row], measured: Sequence[str]) -> Iterator[list[str]]:
    for name, row in rows.items():
        if row.median:
            ratios = [f"{row.median / rows[peer].median:.2f}" for peer in measured]
            yield [name, f"{row.median:,.0f}" if row.median >= 100 else f"{row.median:.1f}", f"{row.spread:.0%}", *ratios]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, names to the left and figures to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    rule = ["-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return [
        "| " + " | ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs)) + " |"
        for pairs in (list(zip(cells, widths, strict=True)) for cells in [head, rule, *rows])
    ]

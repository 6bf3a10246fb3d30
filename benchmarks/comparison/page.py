"""The figures of a run as a part of a page for people: tables, where others do more, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from comparison.measuring import Row
from comparison.report import table
from comparison.scenarios import Scenario

BEGIN: Final = "<!-- figures: written by benchmarks/compare.py --page -->"
END: Final = "<!-- end of figures -->"
BASE: Final = "go"
"""Whose figure is 1 in the picture."""

_KINDS: Final = {"twistproxy-uvloop": "best", "twistproxy": "ours", "go": "base", "nginx": "first", "haproxy": "second"}
_BAR, _GAP, _LEFT, _UNIT, _LONGEST = 13, 14, 190, 95, 6.0
_STYLE: Final = """<style>
  svg { --paper: #ffffff; --ink: #1c2733; --soft: #5a6876; --best: #1b6e3c; --ours: #4caf72; --base: #7a7a7a; --first: #3f6fb5;
        --second: #9db8de; --other: #c9c9c9 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #e6edf3; --soft: #9aa7b4; --best: #56b58a; --ours: #2f7d5b; --base: #8a8f98; --first: #6f9ede;
          --second: #3f5f8f; --other: #4a525c }
  }
  .paper { fill: var(--paper) } .best { fill: var(--best) } .ours { fill: var(--ours) } .base { fill: var(--base) }
  .first { fill: var(--first) } .second { fill: var(--second) } .other { fill: var(--other) }
  text { font: 12px system-ui, sans-serif; fill: var(--ink) }
  .name { font-weight: 600 } .right { text-anchor: end; fill: var(--soft) }
  line { stroke: var(--soft); stroke-dasharray: 2 3 }
</style>"""
_TITLE: Final = "Work per CPU second, beside Go's ReverseProxy"

Results = Sequence[tuple[Scenario, Mapping[str, Row]]]


def write(page: Path, heading: str, results: Results, peers: Sequence[str]) -> None:
    """Put the figures between the marks of C{page}, and the picture beside it.

    @raise ValueError: when the page has no such marks.
    """
    text = page.read_text()
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    picture = page.with_suffix(".svg")
    picture.write_text(drawing(results))
    parts = [
        heading,
        f"![Work per CPU second, Go's ReverseProxy being 1]({picture.name})",
        *(table(scenario, rows, peers) for scenario, rows in results),
        "\n".join(["Where others do more than twistproxy on uvloop, or on its default reactor:", "", *_losses(results, peers)]),
    ]
    page.write_text(before + "\n\n".join([BEGIN, *parts, END]) + after)


def ratio(scenario: Scenario, one: Row, other: Row) -> float:
    """How many times better C{one} is."""
    if not one.median or not other.median:
        return 0.0
    return other.median / one.median if scenario.lessIsBetter else one.median / other.median


def _losses(results: Results, peers: Sequence[str]) -> Iterator[str]:
    for scenario, rows in results:
        said = []
        for name in ("twistproxy-uvloop", "twistproxy"):
            if name in rows:
                better = [(ratio(scenario, rows[peer], rows[name]), peer) for peer in peers if peer in rows]
                said += [f"{peer} {times:.1f} times {name}" for times, peer in sorted(better, reverse=True) if times > 1]
        if said:
            yield f"- {scenario.name}: {', '.join(said)}"


def drawing(results: Results) -> str:
    """Bars for each scenario, the longer the better, in SVG."""
    lines: list[str] = []
    told: list[str] = []
    y = 32
    for scenario, rows in results:
        if BASE not in rows or not rows[BASE].median:
            continue
        lines.append(_text(10, y + 11, scenario.name, "name"))
        for name, row in rows.items():
            times = ratio(scenario, row, rows[BASE])
            if not times:
                continue
            length = min(times, _LONGEST) * _UNIT
            lines.append(_text(_LEFT - 8, y + 11, name, "right"))
            kind = _KINDS.get(name, "other")
            lines.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.0f}" height="{_BAR}"/>')
            lines.append(_text(_LEFT + length + 5, y + 11, f"{times:.2f}" + (" and more" if times > _LONGEST else "")))
            told.append(f"{scenario.name}, {name}: {times:.2f}")
            y += _BAR + 3
        y += _GAP
    width = round(_LEFT + _LONGEST * _UNIT + 60)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" '
            'aria-labelledby="title desc">',
            f'<title id="title">{_TITLE}</title>',
            f'<desc id="desc">{escape("; ".join(told))}</desc>',
            _STYLE,
            f'<rect class="paper" width="{width}" height="{y}"/>',
            _text(10, 18, f"{_TITLE}, which is 1. Of idle: connections per KiB."),
            *lines,
            f'<line x1="{_LEFT + _UNIT}" y1="26" x2="{_LEFT + _UNIT}" y2="{y - _GAP}"/>',
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}"' + (f' class="{kind}"' if kind else "") + f">{escape(text)}</text>"

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

_COLOURS: Final = {
    "twistproxy-uvloop": "#1b6e3c", "twistproxy": "#4caf72", "go": "#7a7a7a", "nginx": "#3f6fb5", "haproxy": "#9db8de",
}  # fmt: skip
_OTHER: Final = "#c9c9c9"
_BAR, _GAP, _LEFT, _UNIT, _LONGEST = 13, 14, 190, 95, 6.0

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
    y = 30
    for scenario, rows in results:
        if BASE not in rows or not rows[BASE].median:
            continue
        lines.append(_text(10, y + 11, scenario.name, "font-weight:bold"))
        for name, row in rows.items():
            times = ratio(scenario, row, rows[BASE])
            if not times:
                continue
            length = min(times, _LONGEST) * _UNIT
            lines.append(_text(_LEFT - 8, y + 11, name, "text-anchor:end"))
            colour = _COLOURS.get(name, _OTHER)
            lines.append(f'<rect x="{_LEFT}" y="{y}" width="{length:.0f}" height="{_BAR}" fill="{colour}"/>')
            lines.append(_text(_LEFT + length + 5, y + 11, f"{times:.2f}" + (" →" if times > _LONGEST else "")))
            y += _BAR + 3
        y += _GAP
    width = _LEFT + _LONGEST * _UNIT + 60
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{y}" viewBox="0 0 {width:.0f} {y}" '
        'style="background:#fff;font:12px sans-serif">'
    )
    line = f'<line x1="{_LEFT + _UNIT}" y1="24" x2="{_LEFT + _UNIT}" y2="{y - _GAP}" stroke="#000" stroke-dasharray="2 3"/>'
    title = _text(10, 16, "Work per CPU second (idle: connections per KiB), Go's ReverseProxy being 1")
    return "\n".join([start, title, *lines, line, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" style="{style}">{escape(text)}</text>'

"""What a sample upstream shows of a request: as text for curl, as one self-contained page for a browser."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from string import Template

from attrs import frozen

Fields = tuple[tuple[str, str], ...]
"""Names and values, in order."""


@frozen
class Echo:
    """What a sample upstream saw of one request.

    @ivar own: the upstream's own address, C{host:port}.
    @ivar method: as it came.
    @ivar target: path and query, as they came.
    @ivar fields: what is worth a line of its own.
    @ivar headers: all header fields, their names in the case that twisted.web gives them.
    """

    own: str
    method: str
    target: str
    fields: Fields
    headers: Fields

    def asText(self) -> str:
        """Address and path, the fields, an empty line, all headers."""
        lines = [f"{self.method} http://{self.own}{self.target}"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        lines += ["", *(f"{name}: {value}" for name, value in self.headers)]
        return "\n".join(lines) + "\n"

    def asPage(self, number: int, headline: str) -> str:
        """A page in the colour of the C{number}th upstream, with C{headline}; nothing in it is fetched."""
        return _PAGE.substitute(
            colour=_COLOURS[number % len(_COLOURS)],
            number=number,
            own=escape(self.own),
            headline=escape(headline),
            request=escape(f"{self.method} {self.target}"),
            fields=_rows(self.fields),
            headers=_rows(self.headers),
        )


def _rows(fields: Iterable[tuple[str, str]]) -> str:
    row = "<tr><th>{}</th><td>{}</td></tr>"
    return "\n".join(row.format(escape(name), escape(value) or "&ndash;") for name, value in fields)


_COLOURS = ("7c3aed", "0f766e")
"""Six hex digits each; the second upstream has the first, dark enough for white text."""

# The icon is in the page: a browser that asked for /favicon.ico would use up every second turn of the round
# robin, and each reload would show the same upstream.
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>upstream $number &middot; twistproxy demo</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E\
%3Crect width='8' height='8' rx='2' fill='%23$colour'/%3E%3C/svg%3E">
<style>
:root { color-scheme: light dark; --colour: #$colour; --line: #8883; --quiet: #667; }
@media (prefers-color-scheme: dark) { :root { --quiet: #99a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem; max-width: 46rem; font: 1rem/1.5 system-ui, sans-serif; }
header { padding: 1.5rem 1.75rem; border-radius: .9rem; background: var(--colour); color: #fff; }
header p { margin: 0; opacity: .85; }
h1 { margin: .1rem 0 .4rem; font-size: 2rem; line-height: 1.2; }
h2 { margin: 2rem 0 .4rem; color: var(--quiet); font-size: .8rem; }
h2 { letter-spacing: .08em; text-transform: uppercase; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { width: 13rem; padding-right: 1rem; font-weight: 500; color: var(--quiet); }
td, code { font: .9rem/1.6 ui-monospace, monospace; overflow-wrap: anywhere; }
a { text-decoration-color: var(--colour); text-underline-offset: .2em; }
ul { margin: 0; padding-left: 1.2rem; color: var(--quiet); }
li { margin: .3rem 0; }
a, code { color: CanvasText; }
@media (max-width: 34rem) {
  th { display: block; width: auto; padding-bottom: 0; border: 0; }
  td { display: block; padding-top: 0; }
}
</style>
</head>
<body>
<header>
<p>sample upstream $number answered</p>
<h1>$own</h1>
<p>$headline</p>
</header>
<main>
<h2>What reached it</h2>
<table>
<tr><th>Request</th><td>$request</td></tr>
$fields
</table>
<h2>Try</h2>
<ul>
<li>Through the proxy, a reload is answered by the other upstream.</li>
<li><a href="/any/path?and=query">/any/path?and=query</a> arrives as it was sent.</li>
<li><a href="/base/error">/base/error</a> is an upstream's own 500.</li>
<li><a href="/base/timeout">/base/timeout</a> answers after six seconds.</li>
<li><code>curl</code> the same address for plain text.</li>
</ul>
<h2>Header fields</h2>
<table>
$headers
</table>
</main>
</body>
</html>
""")

"""Write the pages of docs/reference that are made from the code: C{python docs/generate.py}.

A test fails when one of them is not what this program would write.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from twistproxy import errors, interfaces, settings
from twistproxy.configuring.settings import POOL_SETTINGS, ROUTE_SETTINGS
from twistproxy.loader.finder import findPlugins
from twistproxy.loader.listing import helpPlugin

REFERENCE = Path(__file__).resolve().parent / "reference"
_MARK = "<!-- Made by docs/generate.py: change the code that it is made from. -->\n\n"

REMARKS: dict[str, str] = {}
"""What is not yet as the interface says."""


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    made = {
        "settings.md": settingsPage(),
        "errors.md": errorsPage(),
        "command-line.md": commandLinePage(),
        "interfaces.md": interfacesPage(),
        "plugins.md": pluginsPage(),
    }
    return {name: _MARK + text.rstrip() + "\n" for name, text in made.items()}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


# Settings.

_SETTINGS = """\
# Settings

Every limit and timeout has a value that holds without configuration. Another is given by `--set NAME=VALUE` on the [command
line](command-line.md), by `NAME = "VALUE"` in the `[settings]` of the [configuration file](configuration-file.md), or, in
a program, by the attribute of `twistproxy.Settings`: `max-head-bytes` is `Settings(maxHeadBytes=...)`.
`twist revproxy --print-config` shows what is in force.

| kind | written as | in `Settings` |
|---|---|---|
| duration | `500ms`, `10s`, `5m`, `1h`, `2d`, or seconds | seconds |
| size | `512`, `64KiB`, `10MiB`, `2GiB`; `64kB`, `10MB`, `2GB` are decimal | bytes |
| count | a whole number | the number |
| yes-no | `yes` or `no`, `true` or `false`, `on` or `off`, `1` or `0` | `True` or `False` |
| networks | `10.0.0.0/8,::1`, as many as there are, `unix` for UNIX sockets; in a file also a list | `ipaddress` networks |
| word | as it is | text |

A setting that is marked *route* may have another value in the `settings` of a route, one that is marked *pool* in those of
a pool; the others hold for the whole proxy.

Most times are looked at once a second: such a timeout comes between its time and two seconds later.

"""


def settingsPage() -> str:
    """All settings, below the headings of their definition."""
    groups = _groups()
    page = _SETTINGS
    rows: list[Sequence[str]] = []
    head = ("name", "default", "kind", "")

    for each in settings.describeSettings():
        if each.attribute in groups:
            page += _table(head, rows) + "\n" if rows else ""
            page += f"## {groups[each.attribute]}\n\n"
            rows = []
        anchor = f'<a id="{each.name}"></a>`{each.name}`'
        default = f"`{each.default}`" if each.default else "*empty*"
        scope = " *route*" if each.attribute in ROUTE_SETTINGS else " *pool*" if each.attribute in POOL_SETTINGS else ""
        rows.append((anchor, default, each.kind + scope, each.documentation))
    return page + _table(head, rows)


def _groups() -> dict[str, str]:
    """The comments between the settings, by the attribute that follows each."""
    source = inspect.getsource(settings.Settings)
    return {found[2]: found[1] for found in re.finditer(r"^    # (.+)\.\n    (\w+):", source, re.MULTILINE)}


# Errors.

_ERRORS = """\
# Errors

Every way in which an exchange can fail. The *reason* is the word by which it is known in the [access and error
logs](../how-to/logs.md), in `application/problem+json` answers and to balancers (`Outcome.error`); in code, the row is
`twistproxy.errors.NAME`, and an error handler finds it in `error.kind`. 

- *Status* is what the client gets, unless an [error handler](../how-to/error-pages.md) says otherwise. 499 is never sent: it
  stands in the log for a client that went away. When the head of an answer is out already, the connection is cut instead.
- *Fault* says whose it was; *rule*: nobody's, the proxy refuses by a rule. Failures of upstreams and of the proxy are errors in
  the [error log](../how-to/logs.md#the-error-log), and have a line each; those of clients are information, and what is refused by
  a rule is a warning: of these a few have lines, and of the others the log gets the number.
- *Next* says whether another upstream is asked, as long as nothing of the request was sent to this one.

"""


def errorsPage() -> str:
    """The table of errors."""
    names = {id(value): name for name, value in vars(errors).items() if isinstance(value, errors.ErrorKind)}
    rows = [
        (
            f'<a id="{names[id(kind)].lower()}"></a>`{kind.reason}`',
            str(kind.status),
            "rule" if kind.byRule else kind.fault.value,
            "yes" if kind.retryable else "",
            f"`{names[id(kind)]}`",
            kind.sentence,
        )
        for kind in errors.ALL_KINDS
    ]
    return _ERRORS.replace(" \n", "\n") + _table(("reason", "status", "fault", "next", "name", "what the page says"), rows)


# The command line.

_COMMAND_LINE = """\
# The command line

    twist [options of twist] revproxy [options] --upstream URL

`twist` is Twisted's: before `revproxy` stand its own options, such as `--log-file`, `--log-level`, `--log-format` and
`--reactor`; `twist --help` lists them. After it:

"""

_SPEC = """
## SPEC

A plugin is named by its tag, as `--list-plugins` shows it, or, without any packaging, by `module.Class`. What follows after
colons are its options, by name or, as far as its constructor takes them so, by position:

    round-robin
    consistent-hash:key=header\\:X-User:replicas=200
    tenant.Tenant:header=X-Team

A colon within a value is written `\\:`, a backslash `\\\\`. `--help-plugin` shows the options of one.

## Status

The status is 0 when `--check` finds nothing wrong, or an option has printed what it prints; 1 when something is wrong with the
configuration, or a port cannot be had, after a line for each mistake; 64 for an option that there is not. A proxy that
is stopped by SIGINT or SIGTERM lets exchanges run out, for [`drain-timeout`](settings.md#drain-timeout), and ends by that signal.
"""


def commandLinePage() -> str:
    """The options, from what C{--help} prints."""
    command = [sys.executable, "-m", "twisted", "revproxy", "--help"]
    environment = {**os.environ, "COLUMNS": "100000"}
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    options = re.findall(r"^ +(?:(-\w), )?--([\w-]+)(=?) +(.*)$", text, re.MULTILINE)
    rows = []
    for short, name, value, words in options:
        shown = f"`-{short[1]}`, `--{name}`" if short else f"`--{name}`"
        rows.append((f'<a id="{name}"></a>{shown}', _sentence(words, bool(value))))
    return _COMMAND_LINE + _table(("option", ""), rows) + _SPEC


def _sentence(words: str, takesValue: bool) -> str:
    """An option's words; what it takes, in capitals, comes first."""
    words = re.sub(r" {2,}", " ", words)
    if takesValue:
        words = re.sub(r"^[A-Z][\w=.\[\],-]*(?<![,:])", r"`\g<0>`", words)
    return re.sub(r" \[default: (.*)\]$", r" Default: \1.", words)


# Built-in plugins.

_PLUGINS = """\
# Built-in plugins

What comes with twistproxy, as `--help-plugin TAG` shows it. How a plugin is named with its options:
[SPEC](command-line.md#spec) on the command line, and [a plugin](configuration-file.md#a-plugin) in a file.

"""


def pluginsPage() -> str:
    """Those of twistproxy's own drop-in, by their kind."""
    found = findPlugins()
    ours = [each for each in found.byTag.values() if getattr(each, "className", "").startswith("twistproxy.")]
    page = _PLUGINS
    for kind in sorted({each.provides[0].__name__ for each in ours}, key=_order):
        page += f"## {kind}\n\n"
        for plugin in sorted((each for each in ours if each.provides[0].__name__ == kind), key=lambda each: each.tag):
            text = helpPlugin(found, plugin.tag).partition("\n\n")[2]
            page += f"### {plugin.tag}\n\n```text\n{text.rstrip()}\n```\n\n"
    return page


def _order(kind: str) -> int:
    """In which order kinds are known: that of their definition."""
    return list(vars(interfaces)).index(kind)


# Interfaces.

_INTERFACES = """\
# Interfaces

A plugin is an object that provides one of these interfaces of `twistproxy.interfaces`, by `@implementer(...)` on its class:
exactly these methods, with these arguments. The [plugin book](../plugins/index.md) shows each of them at work, and in which
order they are called. What the arguments are is told by [Messages](../plugins/messages.md).

*May wait* says whether a hook may return a Deferred or be a coroutine instead of returning its answer. One that waits longer
than [`hook-timeout`](settings.md#hook-timeout) counts as one that raised an exception.

"""


@frozen
class Hook:
    """A method of an interface, taken apart.

    @ivar fields: name, or "return", with the text of each field of its docstring.
    """

    name: str
    arguments: Sequence[tuple[str, str]]
    returns: str
    when: str
    onException: str
    fields: Sequence[tuple[str, str]]

    @property
    def mayWait(self) -> bool:
        """Whether its answer may be awaited."""
        return "Awaitable" in self.returns

    @property
    def answer(self) -> str:
        """What it returns, in words."""
        for name, text in self.fields:
            if name == "return":
                return text
        return "nothing" if self.returns == "None" else f"`{_withoutAwaitable(self.returns)}`"


def interfacesPage() -> str:
    """All interfaces, one section each."""
    page = _INTERFACES
    for node in ast.parse(inspect.getsource(interfaces)).body:
        if isinstance(node, ast.ClassDef):
            page += _interface(node)
    return page


def _interface(node: ast.ClassDef) -> str:
    text = f"## {node.name}\n\n{_plain(_documentation(node)).replace(' *Sync*.', '')}\n\n"
    if node.name in REMARKS:
        text += f"{REMARKS[node.name]}\n\n"
    attributes = [
        (f"`{each.target.id}`", _plain(str(each.value.args[0].value)))
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and isinstance(each.value, ast.Call)
        and isinstance(each.value.args[0], ast.Constant)
    ]
    if attributes:
        text += _table(("attribute", ""), attributes) + "\n"
    for hook in _hooks(node):
        arguments = ", ".join(name for name, _ in hook.arguments)
        text += f"### {node.name}.{hook.name}\n\n    {hook.name}({arguments})\n\n"
        facts = [
            ("When", hook.when),
            ("Returns", hook.answer),
            ("May wait", "yes" if hook.mayWait else "no"),
            ("On an exception", hook.onException),
        ]
        text += "".join(f"- *{name}*: {fact}\n" for name, fact in facts if fact)
        described = dict(hook.fields)
        text += "".join(f"- `{name}`: `{kind}`{_comma(described.get(name))}\n" for name, kind in hook.arguments)
        text += "\n"
    return text


def _comma(text: str | None) -> str:
    return f", {text}" if text else ""


def _hooks(node: ast.ClassDef) -> Iterator[Hook]:
    for method in node.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        description, fields = _taken(_documentation(method))
        sentences = re.split(r"(?<=\.) (?=[A-Z])", description)
        failing = [each for each in sentences if re.search(r"[Ee]xception|^When it fails|^Failures", each)]
        spec = method.args
        arguments = [(each.arg, _unparsed(each.annotation)) for each in spec.args]
        arguments += [(f"*{each.arg}", _unparsed(each.annotation)) for each in (spec.vararg,) if each]
        arguments += [(f"**{each.arg}", _unparsed(each.annotation)) for each in (spec.kwarg,) if each]
        yield Hook(
            method.name,
            arguments,
            _unparsed(method.returns),
            " ".join(each for each in sentences if each not in failing),
            " ".join([*failing, *(text for name, text in fields if name.startswith("raise"))]),
            fields,
        )


def _unparsed(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation) if annotation is not None else ""


def _withoutAwaitable(annotation: str) -> str:
    """An annotation as of a plain function."""
    return re.sub(r"Awaitable\[.*\] \| ", "", annotation)


def _documentation(node: ast.ClassDef | ast.FunctionDef) -> str:
    return ast.get_docstring(node) or ""


def _plain(epytext: str) -> str:
    """Epytext as Markdown, in one line."""
    text = re.sub(r"[CL]\{(\{.*?\}|[^}]*)\}", r"`\1`", epytext)
    text = re.sub(r"I\{([^}]*)\}", r"*\1*", text)
    return " ".join(text.split())


def _taken(documentation: str) -> tuple[str, list[tuple[str, str]]]:
    """A docstring's description, and its fields."""
    description: list[str] = []
    fields: list[tuple[str, list[str]]] = []
    inField = False
    for line in documentation.splitlines():
        found = re.match(r"@(\w+)(?: ([\w.]+))?: (.*)", line)
        if found:
            name = found[2] if found[1] == "param" else " ".join(filter(None, found.groups()[:2]))
            fields.append((name, [found[3]]))
            inField = True
        elif inField and line.startswith(" "):
            fields[-1][1].append(line)
        else:
            inField = False
            description.append(line)
    return _plain("\n".join(description)), [(name, _plain(" ".join(lines))) for name, lines in fields]


if __name__ == "__main__":
    for file, content in pages().items():
        (REFERENCE / file).write_text(content)

"""Compare twistproxy with other reverse proxies, on the same work, by what each does per second of its own CPU time.

Each proxy has a core to itself; the load and the upstream have another. Within a round the proxies are measured in turn,
so that a machine that slows down slows down all of them; the ratios of one call are what holds, see README.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from comparison.machine import describe
from comparison.measuring import Bench, Cores
from comparison.page import write
from comparison.processes import ProcessFailed
from comparison.proxies import PEER_MAKERS, POLICIES, NotInstalled, Proxy, candidate, find, twistproxy
from comparison.report import asJson, heading, table
from comparison.scenarios import SCENARIOS

NEEDED = {
    "wrk": "apt-get install wrk",
    "nginx": "apt-get install nginx-light",
    "taskset": "apt-get install util-linux",
}
"""Without these nothing can be measured: the load, the upstream, and what pins processes to cores."""

OPEN_FILES = 20000
"""For each process: the idle connections, twice over, and some more."""


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    scenarios = "\n".join(f"  {name:8} {each.summary} ({each.unit})" for name, each in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        epilog=f"scenarios:\n{scenarios}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", type=_some(SCENARIOS), default=list(SCENARIOS), metavar="NAME,...", help="default: all")
    parser.add_argument(
        "--peer", type=_some(PEER_MAKERS), default=list(PEER_MAKERS), metavar="NAME,...",
        help=f"of {', '.join(PEER_MAKERS)}; default: all that are installed",
    )  # fmt: skip
    parser.add_argument(
        "--reactor", type=lambda text: text.split(","), default=["default", "uvloop"], metavar="NAME,...",
        help="twistproxy's; default: default,uvloop",
    )  # fmt: skip
    parser.add_argument(
        "--candidate", type=candidate, action="append", default=[], metavar="NAME=COMMAND",
        help="another proxy, such as an older twistproxy, to be measured too; {port} and {upstream} stand for its ports",
    )  # fmt: skip
    parser.add_argument("--workers", type=_positive, metavar="N", help="measure twistproxy with so many workers, too")
    parser.add_argument(
        "--policies", action="store_true",
        help="measure twistproxy with a rate limit, a circuit breaker, statistics and rules by address, too",
    )  # fmt: skip
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="default: 5")
    parser.add_argument("--seconds", type=_positive, default=3, metavar="S", help="of load in each round; default: 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of each round there too")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write tables and a picture into that page too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status."""
    chosen = options(arguments)
    try:
        cores = pin()
        for program, install in NEEDED.items():
            find(program, install)
    except (NotInstalled, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _terminated)
    with tempfile.TemporaryDirectory(prefix="twistproxy-compare-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        proxies, missing = gather(chosen, folder)
        machine = describe()
        title = heading(machine, proxies, missing, chosen.rounds, chosen.seconds)
        print(title, flush=True)
        bench = Bench(folder, cores, chosen.rounds, chosen.seconds)
        results = []
        for scenario in (SCENARIOS[name] for name in chosen.scenario):
            try:
                rows = bench.run(scenario, proxies)
            except ProcessFailed as error:
                print(error, file=sys.stderr)
                return 1
            results.append((scenario, rows))
            print(f"\n{table(scenario, rows, chosen.peer)}", flush=True)
        if chosen.json is not None:
            chosen.json.write_text(asJson(machine, proxies, missing, results))
        if chosen.page is not None:
            write(chosen.page, title, results, chosen.peer)
    return 0


def gather(chosen: argparse.Namespace, folder: Path) -> tuple[list[Proxy], list[str]]:
    """The proxies that can be measured, and a sentence for each of the others."""
    proxies: list[Proxy] = list(chosen.candidate)
    missing = []
    makers: list[Callable[[], Proxy]] = [partial(twistproxy, reactor) for reactor in chosen.reactor]
    if chosen.workers:
        makers += [partial(twistproxy, reactor, chosen.workers) for reactor in chosen.reactor]
    if chosen.policies:
        makers += [partial(twistproxy, reactor, 1, POLICIES) for reactor in chosen.reactor]
    makers += [partial(PEER_MAKERS[name], folder) for name in chosen.peer]
    for make in makers:
        try:
            proxies.append(make())
        except NotInstalled as error:
            missing.append(str(error))
    return proxies, missing


def pin() -> Cores:
    """Move this process, and so the load, to the second core that it may use, and allow it enough open files.

    @raise OSError: when there is only one core.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise OSError("two cores are needed: one for the proxies, one for the load and the upstream")
    os.sched_setaffinity(0, {allowed[1]})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard < 0 else min(OPEN_FILES, hard), hard))
    return Cores(proxy=allowed[0], load=allowed[1])


def _some(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    """A parser of names with commas between them."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return names

    return parse


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _terminated(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)  # through all the "with" blocks, which stop what was started


if __name__ == "__main__":
    sys.exit(main())

"""Measure this package and the newest upstream side by side. See README.md.

Exit status: 0, also where a bar is missed, because a busy machine says little; 1 on a wrong result or a crash.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from facts import collect_facts
from report import print_report, save_report
from rows import FULL, MEASUREMENTS, SHORT, Bench
from sides import OURS, ROOT, SOURCE, BrokenRunError, Installation, Server, Side, WorkerError
from upstream import find_upstream


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure this package and the newest upstream side by side.")
    parser.add_argument("--short", action="store_true", help="under a minute, once upstream is installed (or SHORT=1)")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS), help="some rows")
    parser.add_argument("--ours-only", action="store_true", help="leave upstream out")
    parser.add_argument("--renew", action="store_true", help="ask the index for a newer upstream")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench.json", help="where to save the figures")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    short = arguments.short or os.environ.get("SHORT", "") not in ("", "0")
    upstream, reason = (None, "upstream was left out") if arguments.ours_only else find_upstream(arguments.renew)
    if upstream is None:
        print(f"{reason}. Only our own figures follow.", flush=True)
    try:
        measure(arguments, short, upstream)
    except (BrokenRunError, WorkerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(arguments: argparse.Namespace, short: bool, upstream: Installation | None) -> None:
    """Measure the chosen rows, print and save them."""
    started = time.perf_counter()
    facts: dict[str, Any] = {**collect_facts(), "short": short}
    with contextlib.ExitStack() as stack:
        server = Server()
        stack.callback(server.close)
        sides = [Side(installation, server.address) for installation in (OURS, upstream) if installation is not None]
        for side in sides:
            stack.callback(side.close)
        described = {side.name: describe(side) for side in sides}
        bench = Bench(SHORT if short else FULL, server, sides[0], sides[1] if len(sides) > 1 else None)
        for name in arguments.only:
            for row in MEASUREMENTS[name](bench):
                bench.rows.append(row)
                print(f"{time.perf_counter() - started:5.0f} s  {row.title}: {'; '.join(row.verdicts)}", flush=True)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    print_report(bench.rows, facts, described)
    save_report(arguments.out, bench.rows, facts, described)
    print(f"Saved as {arguments.out}; {facts['seconds']} s.")


def describe(side: Side) -> dict[str, Any]:
    """Ask a worker what it measures, and make sure that it is the right package."""
    described: dict[str, Any] = side.tell("describe")
    if Path(described["path"]).is_relative_to(SOURCE) is not (side.installation is OURS):
        raise BrokenRunError(f"The side {side.name!r} imported {described['path']}, which is the other's.")
    described["packages"]["instructor"] = described["version"]
    return described


if __name__ == "__main__":
    sys.exit(main())

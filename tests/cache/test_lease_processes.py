"""Real processes that make the same call, one of which is killed or stands still: they share one request."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from forks import Forked, Template
from servers import Valkey

CHILD = Path(__file__).parent / "children" / "lease.py"
stores = pytest.mark.parametrize("shared", ["disk", "redis"], indirect=True)


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the processes find their store."""
    if request.param == "disk":
        return str(tmp_path / "cache")
    valkey: Valkey = request.getfixturevalue("valkey")
    return str(valkey.port)


class Group:
    """Processes that make one call."""

    def __init__(
        self, template: Template, directory: Path, shared: str, count: int, lease: float, threads: int
    ) -> None:
        self.directory = directory
        words = (CHILD, shared, lease, threads)
        self.processes = [template.start(*words, cwd=directory) for _ in range(count)]

    @property
    def asked(self) -> list[int]:
        """In which processes the function ran, in their order."""
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (self.directory / "asked").read_text().splitlines()]
        return []

    def await_asked(self, count: int) -> Forked:
        """Wait until it ran so often; return the process of the last time."""
        until(lambda: len(self.asked) >= count)
        return next(process for process in self.processes if process.pid == self.asked[-1])

    def answer(self) -> float:
        (self.directory / "answer").touch()
        return time.time()

    def results(self, *processes: Forked) -> list[tuple[float, int, list[int]]]:
        """When each ended, the errors of its store, and its answers."""
        found = []
        for process in processes or self.processes:
            output, errors = process.communicate(timeout=60)
            assert process.wait() == 0, errors
            moment, failures, *answers = output.split()
            found.append((float(moment), int(failures), [int(answer) for answer in answers]))
        return found

    def others(self, process: Forked) -> list[Forked]:
        return [other for other in self.processes if other is not process]


def run_out(shared: str) -> None:
    """Let the time of every lease be over. How long one lasts isn't for the clock of a busy machine to show."""
    if shared.isdigit():
        with redis.Redis(port=int(shared)) as client:
            client.delete(*client.scan_iter("instructor:{*"))
    else:
        with contextlib.closing(sqlite3.connect(f"{shared}/answers.sqlite3", isolation_level=None)) as raw:
            raw.execute("UPDATE lease SET until = 0")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def start(template: Template, tmp_path: Path, shared: str) -> Iterator[Callable[..., Group]]:
    groups: list[Group] = []

    def start(count: int, lease: float = 30.0, threads: int = 1) -> Group:
        groups.append(Group(template, tmp_path, shared, count, lease, threads))
        return groups[-1]

    yield start
    for group in groups:
        for process in group.processes:
            process.kill()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@stores
def test_processes_that_make_the_same_call_share_one_request(start: Callable[..., Group]) -> None:
    group = start(3, threads=5)
    owner = group.await_asked(1)
    group.answer()
    assert [result[1:] for result in group.results()] == [(0, [owner.pid])] * 3
    assert group.asked == [owner.pid]


@stores
@pytest.mark.parametrize("lease", [30.0, pytest.param(1.0, marks=pytest.mark.soak)])
def test_when_the_one_that_asks_is_killed_another_one_does(
    start: Callable[..., Group], shared: str, lease: float
) -> None:
    group = start(3, lease=lease)
    owner = group.await_asked(1)
    owner.kill()
    owner.wait(60)
    if lease > 1:
        run_out(shared)
    heir = group.await_asked(2)
    group.answer()
    results = [result[1:] for result in group.results(*group.others(owner))]
    if lease > 1:
        assert results == [(0, [heir.pid])] * 2
        assert group.asked == [owner.pid, heir.pid]
    else:  # a busy machine may keep the heir from renewing its lease for a second, too
        assert {answer for _, answers in results for answer in answers} <= {*group.asked} - {owner.pid}


@stores
def test_the_late_answer_of_one_that_stood_still_is_refused(start: Callable[..., Group], shared: str) -> None:
    group = start(2)
    owner = group.await_asked(1)
    os.kill(owner.pid, signal.SIGSTOP)
    run_out(shared)
    heir = group.await_asked(2)
    group.answer()
    assert [result[1:] for result in group.results(heir)] == [(0, [heir.pid])]
    os.kill(owner.pid, signal.SIGCONT)
    assert [result[1:] for result in group.results(owner)] == [(1, [owner.pid])], "its caller has what it paid for"
    later = start(1)
    assert [result[1:] for result in later.results()] == [(0, [heir.pid])]
    assert group.asked == [owner.pid, heir.pid]


@pytest.mark.soak
@stores
def test_eight_processes_with_fifty_calls_each_make_one_request(start: Callable[..., Group]) -> None:
    group = start(8, threads=50)
    group.await_asked(1)
    group.answer()
    assert len({tuple(answers) for _, _, answers in group.results()}) == 1
    assert len(group.asked) == 1

"""However many rows a job has, it holds a few hundred of them."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import DiskCache, Instructor, Mode, from_provider
from instructor.messages import Request
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT


class Answer(BaseModel):
    text: str


def make(**options: Any) -> Instructor:
    def reply(request: Request) -> Any:
        adapter.requests.clear()  # it remembers them for tests
        return {"text": request["messages"][-1]["content"]}

    adapter = ScriptedAdapter(reply)
    return Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", **options)


def grow(job: Any, first: int, last: int) -> int:
    """Take rows; return how many bytes the process has claimed between two of them, and still holds."""
    try:
        for row in job:
            if row.index == first:
                gc.collect()
                tracemalloc.start(1)
            if row.index == last:
                gc.collect()
                return tracemalloc.get_traced_memory()[0]
        raise AssertionError("the job ended early")
    finally:
        tracemalloc.stop()
        job.close()


@pytest.mark.usefixtures("clean_heap")
def test_a_job_of_hits_is_as_small_at_its_end_as_in_the_middle():
    client = make()
    rows = (f"row {number % 50}" for number in range(10_000))
    job = client.map(rows, Answer, progress=False)
    assert grow(job, 1_000, 9_999) < 400_000


@pytest.mark.usefixtures("clean_heap")
def test_a_job_of_requests_is_as_small_at_its_end_as_in_the_middle():
    client = make()
    rows = (f"row {number} {'x' * 1_000}" for number in range(1_000))
    job = client.map(rows, Answer, cache_mode="bypass", concurrency=4, progress=False)
    assert grow(job, 300, 999) < 500_000


STORES: dict[str, Callable[[Path], Any]] = {"none": lambda _: None, "disk": DiskCache}


@pytest.mark.soak
@pytest.mark.timeout(900)  # of a busy machine
@pytest.mark.parametrize(("store", "asynchronous", "count"), [("disk", False, 50_000), ("none", True, 100_000)])
def test_many_thousand_rows_take_little_memory(store: str, asynchronous: bool, count: int, tmp_path: Path):
    """By what the system counts. With a DiskCache the keys of the latest calls and the pages that SQLite holds are in it."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    at: dict[int, int] = {}

    def note(index: int) -> None:
        if index in (20_000, count - 1):
            at[index] = resident()

    async def take(client: Any) -> None:
        async for row in client.map(rows, Answer, progress=False):
            note(row.index)

    cache, rows = STORES[store](tmp_path), (f"row {number}" for number in range(count))
    if asynchronous:
        asyncio.run(take(from_provider("offline/demo", async_client=True, cache=cache)))
    else:
        for row in make(cache=cache).map(rows, Answer, progress=False):
            note(row.index)
    assert at[count - 1] - at[20_000] < 60 << 20

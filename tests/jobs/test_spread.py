"""`client.map` with ``engine=``: the rows of a job on workers, over an executor in place of a cluster. See `test_dask`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from pydantic import BaseModel, field_validator

import instructor
from instructor import AsyncJob, AutoCache, Budget, DiskCache, Job, from_openai, from_provider
from instructor.engines import spreading
from instructor.engines.opening import Engine
from instructor.engines.spreading import Groups
from instructor.exceptions import (
    ArgumentError,
    BudgetExceeded,
    CacheMiss,
    ConfigurationError,
    EngineError,
    InstructorRetryException,
)
from instructor.jobs.work import load
from instructor.row import Row

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


class User(BaseModel):
    name: str
    age: int


class Adult(BaseModel):
    age: int

    @field_validator("age")
    @classmethod
    def check_age(cls, age: int) -> int:
        if age < 18:
            raise ValueError("too young")
        return age


class Locked(BaseModel):
    age: int

    def __reduce__(self) -> Any:
        raise TypeError("it holds a lock")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    """Two workers. They share nothing with the job but its store: they make clients of their own."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def make(folder: Path, asynchronous: bool = False, **options: Any) -> Any:
    return from_provider("offline/demo", async_client=asynchronous, cache=DiskCache(folder / "answers"), **options)


def take(job: Any, most: int | None = None) -> list[Row[Any]]:
    """Take the rows of a job of either kind, and leave it."""
    rows: list[Row[Any]] = []
    if not hasattr(job, "__anext__"):
        with job:
            for row in job:
                rows.append(row)
                if len(rows) == most:
                    break
        return rows

    async def take_later() -> None:
        async with job:
            async for row in job:
                rows.append(row)
                if len(rows) == most:
                    break

    asyncio.run(take_later())
    return rows


def count_requests(client: Any) -> int:
    return client.ledger().spent.count


class Failing(Executor):
    """Does the first tasks never, as a worker that dies does; or dies after it has done them."""

    def __init__(self, losses: int, *, works: bool = False) -> None:
        self.losses, self.works = losses, works

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        self.losses -= 1
        result = function(*arguments) if self.losses < 0 or self.works else None
        if self.losses >= 0:
            future.set_exception(BrokenProcessPool("the worker died"))
        else:
            future.set_result(result)
        return future


@BOTH
def test_rows_come_back_as_from_a_job_in_this_process(asynchronous: bool, tmp_path: Path, executor: Executor):
    client = make(tmp_path, asynchronous)
    inputs = [{"text": f"Anna is {number % 50}."} for number in range(200)]
    job = client.map(inputs, User, prompt="{{ text }} How old?", engine=executor)
    assert isinstance(job, AsyncJob if asynchronous else Job)
    rows = take(job)
    assert [row.index for row in rows] == list(range(200))
    assert all(row.input is inputs[row.index] for row in rows)
    assert all(row.value == User(name="Anna", age=row.index % 50) for row in rows)
    assert sum(not row.cached for row in rows) == count_requests(client) == 50
    again = take(make(tmp_path, asynchronous).map(inputs, User, prompt="{{ text }} How old?"))
    assert all(row.cached for row in again)
    assert [row.key for row in again] == [row.key for row in rows]


class Recording(Executor):
    """Does the work at once, as one worker, and remembers the sizes of the groups and how many rows the worker asks for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.at_once: list[int] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
        """Do it now."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        self.sizes.append(len(arguments[0]))
        self.at_once.append(load(future.result()).at_once)
        return future


def test_a_group_is_as_many_whole_rounds_as_its_worker_asks_for_at_once(tmp_path: Path):
    engine = Recording()
    assert (
        len(take(make(tmp_path).map([f"Anna is {n}." for n in range(250)], User, engine=engine, concurrency=10))) == 250
    )
    assert sum(engine.sizes) == 250
    assert not [size for size in engine.sizes if size % 10]


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_that_cannot_be_is_refused_as_in_this_process(concurrency: int, tmp_path: Path):
    with pytest.raises(ArgumentError, match="a whole number above 0"):
        take(make(tmp_path).map(["Anna is 1."], User, engine=Recording(), concurrency=concurrency))


def test_a_worker_begins_a_group_with_what_it_learned_in_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("instructor.jobs.pace._SLOWER", float("inf"))  # however busy the machine is
    engine = Recording()
    assert len(take(make(tmp_path).map([f"Anna is {n}." for n in range(600)], User, engine=engine))) == 600
    assert engine.sizes[:2] == [16, 16]
    assert engine.at_once[:2] == [4 + 16, 4 + 16 + 16], "one more for each answer"
    assert engine.at_once[-1] == 64
    late = [size for size, at_once in zip(engine.sizes[1:], engine.at_once, strict=False) if at_once == 64]
    assert min(late[:-1]) >= 64


def test_rows_in_any_order_are_all_rows(tmp_path: Path, executor: Executor):
    job = make(tmp_path).map([f"Anna is {number}." for number in range(200)], User, ordered=False, engine=executor)
    assert {row.index: row.value.age for row in take(job)} == {number: number for number in range(200)}


@BOTH
def test_rows_are_read_as_they_are_needed(asynchronous: bool, tmp_path: Path, executor: Executor):
    read = 0

    def read_rows() -> Iterator[str]:
        nonlocal read
        for number in range(100_000):
            read += 1
            yield f"Anna is {number % 5}."

    job = make(tmp_path, asynchronous).map(read_rows(), User, engine=executor)
    assert len(take(job, 300)) == 300
    assert read <= 4_000


async def test_an_asynchronous_iterable_is_read_in_its_own_loop(tmp_path: Path, executor: Executor):
    loop = asyncio.get_running_loop()

    async def read_rows() -> AsyncIterator[str]:
        for number in range(40):
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            yield f"Anna is {number}."

    job = make(tmp_path, True).map(read_rows(), User, engine=executor)
    assert [row.value.age async for row in job] == list(range(40))


@BOTH
def test_the_first_row_without_an_answer_ends_the_job(asynchronous: bool, tmp_path: Path, executor: Executor):
    job = make(tmp_path, asynchronous, max_retries=0).map(
        [f"Anna is {number}." for number in range(60, 0, -1)], Adult, engine=executor
    )
    rows: list[Row[Any]] = []

    async def take_later() -> None:
        rows.extend([row async for row in job])

    with pytest.raises(InstructorRetryException) as caught:
        asyncio.run(take_later()) if asynchronous else rows.extend(job)
    assert caught.value.__notes__ == ["This is about row 43 of the job, counted from 0."]


def test_a_job_on_an_engine_asks_live_where_batches_are_left_to_us(tmp_path: Path, executor: Executor):
    (row,) = take(make(tmp_path).map(["Anna is 25."], User, engine=executor, batch="auto", again="never"))
    assert (row.value.age, row.batched) == (25, False)


def test_a_row_that_lacks_a_field_is_named_by_its_place_in_the_job(tmp_path: Path, executor: Executor):
    rows = [{"text": f"Anna is {number}."} for number in range(20, 40)]
    with pytest.raises(ConfigurationError, match="names the field 'text'") as caught:
        take(make(tmp_path).map([*rows, {"txt": "Ben"}], Adult, prompt="{{ text }}", engine=executor))
    assert caught.value.__notes__ == ["This is about row 20 of the job, counted from 0."]


def test_rows_without_an_answer_are_collected_with_their_errors(tmp_path: Path, executor: Executor):
    texts = [f"Anna is {number}." for number in range(60)]
    rows = take(make(tmp_path, max_retries=0).map(texts, Adult, on_error="collect", engine=executor))
    assert [row.index for row in rows if row.error is not None] == list(range(18))
    assert all(isinstance(row.error, InstructorRetryException) for row in rows[:18])


def test_a_source_that_uses_one_object_for_all_rows_gets_the_answer_to_each(tmp_path: Path, executor: Executor):
    def read() -> Iterator[dict[str, int]]:
        row: dict[str, int] = {}
        for row["age"] in range(20):
            yield row

    rows = take(make(tmp_path).map(read(), User, prompt="Anna is {{ age }}.", engine=executor))
    assert [row.value.age for row in rows] == list(range(20))


def test_what_reading_raises_comes_after_the_rows_before_it(tmp_path: Path, executor: Executor):
    def read_rows() -> Iterator[str]:
        yield from ("Anna is 1.", "Anna is 2.")
        raise OSError("the disk")

    job, rows = make(tmp_path).map(read_rows(), User, engine=executor), []
    with pytest.raises(OSError, match="the disk"):
        rows.extend(row.value.age for row in job)
    assert rows == [1, 2]


def test_rows_that_were_lost_with_their_worker_are_asked_again_and_paid_once(tmp_path: Path):
    client = make(tmp_path)
    rows = take(client.map(["Anna is 25.", "Ben is 31."], User, engine=Failing(2, works=True)))
    assert [row.value.age for row in rows] == [25, 31]
    assert client.cache.ledger().spent.count == 2


def test_rows_that_are_lost_again_and_again_end_the_job(tmp_path: Path):
    job = make(tmp_path).map(["Anna is 25."], User, engine=Failing(3))
    with pytest.raises(
        EngineError, match=r"lost the same rows 3 times: BrokenProcessPool: the worker died\..*run the job"
    ):
        list(job)


def test_an_engine_that_takes_nothing_ends_the_job(tmp_path: Path):
    closed = ThreadPoolExecutor(1)
    closed.shutdown()
    with pytest.raises(EngineError, match="can't be reached: RuntimeError"):
        list(make(tmp_path).map(["Anna is 25."], User, engine=closed))


@pytest.mark.parametrize("place", ["client", "job"])
def test_a_budget_is_kept_over_all_workers(place: str, tmp_path: Path, executor: Executor):
    cost = 92  # tokens of one request
    texts = [f"Anna is {number}." for number in range(1_000)]
    take(make(tmp_path).map(texts[-10:], User))
    budget = Budget(tokens=100 * cost)
    client = make(tmp_path, **({"budget": budget} if place == "client" else {}))
    keywords = {"budget": budget} if place == "job" else {}
    rows = take(client.map(texts, User, on_error="collect", engine=executor, concurrency=2, **keywords))
    asked = sum(row.error is None and not row.cached for row in rows)
    assert 90 <= asked <= 100 + 64, "by no more than the rows that were under way"
    assert budget.spent_tokens == pytest.approx(asked * cost, rel=0.1)
    assert [row.error for row in rows if row.value is None and not isinstance(row.error, BudgetExceeded)] == []
    assert all(row.cached for row in rows[-10:]), "a budget stops no hits"


def test_leaving_early_asks_for_nothing_more(tmp_path: Path, executor: Executor):
    client = make(tmp_path)
    before = threading.active_count()
    assert len(take(client.map((f"Anna is {number}." for number in range(10_000)), User, engine=executor), 3)) == 3
    assert count_requests(client) <= 100
    assert count_requests(client) == client.cache.ledger().spent.count, "what was under way is counted"
    assert threading.active_count() <= before + 70


def test_groups_that_workers_have_begun_while_others_ended_are_waited_for_as_well():
    handed_over = [Future[str]() for _ in range(3)]
    waiting = iter(handed_over)
    engine = Engine(lambda *_: next(waiting), lambda: 1, tells_begun=True)
    groups: Groups[str] = Groups(engine, lambda: "", ordered=True, give_back=lambda arguments: arguments)
    for start in range(3):
        groups.submit(start)
    for future, result in zip(handed_over, ("first", "second"), strict=False):
        future.set_running_or_notify_cancel()
        future.set_result(result)
    assert [group.result for group in groups.close()] == ["first", "second", None]
    assert handed_over[2].cancelled()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits begin anew at once."""
    monkeypatch.setattr(spreading, "_BEAT", 0.001)


@pytest.mark.usefixtures("hasty")
def test_a_cluster_that_has_lost_its_workers_keeps_nobody_waiting():
    """The group that one of them had begun isn't done by anybody, and what another has done counts."""
    handed_over = [Future[str]() for _ in range(3)]
    waiting, slots = iter(handed_over), iter([2, 2, 2, 0])
    engine = Engine(lambda *_: next(waiting), lambda: next(slots, 0))
    groups: Groups[str] = Groups(engine, lambda: "", ordered=True, give_back=lambda arguments: arguments)
    groups.count_slots()
    for start in range(3):
        groups.submit(start)
    handed_over[1].set_running_or_notify_cancel()
    handed_over[1].set_result("second")
    assert [group.result for group in groups.close()] == [None, "second", None]
    assert handed_over[0].cancelled()


def test_a_job_that_waits_for_workers_says_so_once(caplog: pytest.LogCaptureFixture):
    engine = Engine(lambda *_: Future[str](), lambda: 0)
    groups: Groups[str] = Groups(engine, lambda: "", ordered=True, give_back=lambda arguments: arguments)
    groups.submit(0)
    beats = iter(range(3))

    def get(timeout: float) -> None:
        if next(beats, None) is not None:
            raise Empty(timeout)

    groups._finished = SimpleNamespace(get=get)  # type: ignore[assignment]
    assert groups.take() is None
    (record,) = caplog.records
    assert "no workers, so 1 groups" in record.getMessage()


def test_a_block_around_a_job_holds_for_its_workers(tmp_path: Path, executor: Executor):
    with instructor.cache_mode("replay"):
        job = make(tmp_path).map(["Anna is 25."], User, engine=executor)
    with pytest.raises(CacheMiss):
        list(job)
    with instructor.use_cache(DiskCache(tmp_path / "other")):
        job = from_provider("offline/demo").map(["Anna is 25."], User, engine=executor)
    assert len(list(job)) == 1
    assert DiskCache(tmp_path / "other").ledger().spent.count == 1


def test_a_worker_that_would_ask_elsewhere_asks_nothing(
    tmp_path: Path, executor: Executor, monkeypatch: pytest.MonkeyPatch
):
    client = from_provider("openai/gpt-6-luna", cache=DiskCache(tmp_path), api_key="sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    with pytest.raises(ConfigurationError, match=r"A worker's client asks openai at .*elsewhere.*variables") as caught:
        list(client.map(["Anna is 25."], User, engine=executor))
    assert "sk-secret" not in str(caught.value)


def test_no_key_leaves_the_process_unless_it_was_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    sent: list[Any] = []

    class Listening(Failing):
        def submit(self, function: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Any]:
            sent.append(function)
            return super().submit(function, *arguments)

    for key in (None, "sk-passed"):
        client = from_provider("openai/gpt-6-luna", cache=DiskCache(tmp_path), api_key=key)
        with pytest.raises(EngineError):
            list(client.map(["Anna is 25."], User, engine=Listening(9)))
    assert b"sk-of-the-environment" not in sent[0].assignment
    assert b"sk-passed" in sent[-1].assignment
    assert "sk-" not in repr(sent)


@pytest.mark.parametrize(
    ("cache", "keywords", "words"),
    [
        (None, {}, "needs a cache that the workers share.*RedisCache"),
        (AutoCache(), {}, "needs a cache that the workers share.*RedisCache"),
        ("disk", {"engine": "spark"}, '"dask" or "ray".*not \'spark\''),
        ("disk", {"engine": 7}, "not 7"),
        ("disk", {"stream": True}, "stream=True"),
        ("disk", {"context": {"lock": threading.Lock()}}, "can't be sent to workers.*lock"),
        ("disk", {"prompt": "{{"}, "prompt= cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(
    cache: Any, keywords: dict[str, Any], words: str, tmp_path: Path, executor: Executor
):
    client = from_provider("offline/demo", cache=DiskCache(tmp_path) if cache == "disk" else cache)
    with pytest.raises(ConfigurationError, match=words):
        client.map(["Anna is 25."], User, **{"engine": executor, **keywords})


def test_a_client_over_an_sdk_client_is_refused(tmp_path: Path, executor: Executor):
    client = from_openai(openai.OpenAI(api_key="sk-x"), model="gpt-6-luna", cache=DiskCache(tmp_path))
    with pytest.raises(ArgumentError, match="made over a client of the SDK"):
        client.map(["Anna is 25."], User, engine=executor)


def test_a_value_that_cannot_leave_its_worker_is_an_error_of_its_row(tmp_path: Path, executor: Executor):
    rows = take(make(tmp_path).map(["Anna is 25."], Locked, on_error="collect", engine=executor))
    assert "can't be sent back: it holds a lock" in str(rows[0].error)


class Holding(Executor):
    """Does nothing for as long as it likes."""

    def __init__(self) -> None:
        self.handed_over: list[Future[Any]] = []
        self.is_busy = threading.Event()

    def submit(self, *_: Any) -> Future[Any]:
        self.handed_over.append(Future())
        self.is_busy.set()
        return self.handed_over[-1]


def test_a_job_on_an_engine_can_be_stopped_and_dropped(tmp_path: Path, executor: Executor):
    texts = (f"Anna is {number}." for number in range(100_000))
    job = make(tmp_path).map(texts, User, engine=executor)
    first = next(job)
    job.stop()
    rest = list(job)
    assert [first.index, *(row.index for row in rest)] == list(range(len(rest) + 1)), "what the workers had"
    assert next(texts) != "Anna is 99999.", "no more was read"
    holding = Holding()
    job = make(tmp_path).map(["Anna is 25."], User, engine=holding)
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(next, job, None)
        holding.is_busy.wait()
        job.drop()
        assert taking.result() is None
    assert all(future.cancelled() for future in holding.handed_over)


def test_a_job_on_an_engine_that_waits_for_its_source_can_be_stopped(tmp_path: Path, executor: Executor):
    written: SimpleQueue[str | None] = SimpleQueue()
    job = make(tmp_path).map(iter(written.get, None), User, engine=executor)
    job.be_droppable(reads_ahead=True)
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(list, job)
        job.stop()
        assert taking.result() == []
    written.put(None)

"""`client.map`: each row once, in its order, equal rows asked for once, with both clients."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from instructor import AsyncInstructor, AutoCache, Budget, DiskCache, Instructor, Mode
from instructor.base_client import BaseClient
from instructor.cache import BaseCache
from instructor.exceptions import (
    ArgumentError,
    BudgetExceeded,
    ConfigurationError,
    InstructorError,
    InstructorRetryException,
    ProviderError,
    ValidationError,
)
from instructor.jobs import crew
from instructor.jobs.crew import Crew, ResultQueue
from instructor.jobs.job import note_answer
from instructor.jobs.progress import Progress
from instructor.messages import Request
from instructor.row import Row
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


class Answer(BaseModel):
    text: str


def echo(request: Request) -> Any:
    """Answer with the question; with a failure where it asks for one."""
    text = request["messages"][-1]["content"]
    if text.startswith("fail"):
        raise RuntimeError(text)
    return {"text": text}


def make(asynchronous: bool, replies: Callable[[Request], Any] = echo, **options: Any) -> tuple[Any, ScriptedAdapter]:
    adapter = ScriptedAdapter(replies, asynchronous=asynchronous)
    kind = AsyncInstructor if asynchronous else Instructor
    settings = {"model": "m", "max_retries": 0, **options}
    return kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, **settings), adapter


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


def run(client: Any, source: Any, most: int | None = None, **keywords: Any) -> list[Row[Any]]:
    """Run a job; that of an asynchronous client within its event loop."""
    return take(client.map(source, Answer, **keywords), most)


@BOTH
def test_rows_come_in_their_order_with_typed_answers(asynchronous: bool):
    client, adapter = make(asynchronous)
    rows = run(client, (f"row {number}" for number in range(300)))
    assert [row.index for row in rows] == list(range(300))
    assert all(row.value == Answer(text=row.input) and row.error is None for row in rows)
    assert len(adapter.requests) == 300


@BOTH
@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no cache"])
def test_equal_rows_make_one_request(asynchronous: bool, cache: bool):
    client, adapter = make(asynchronous, cache=AutoCache() if cache else None)
    rows = run(client, [f"row {number % 7}" for number in range(100)], concurrency=16)
    assert len(adapter.requests) == 7
    assert sum(not row.cached for row in rows) == 7


@BOTH
def test_a_hit_shows_what_its_answer_took(asynchronous: bool):
    client, adapter = make(asynchronous, cache=AutoCache())
    (live,) = run(client, ["a"])
    (hit,) = run(client, ["a"])
    assert (live.cached, hit.cached, len(adapter.requests)) == (False, True, 1)
    assert (hit.value, hit.key, hit.usage) == (live.value, live.key, live.usage)
    assert hit.usage.total_tokens
    assert hit.cost == 0.0
    assert live.cost is None  # nobody knows the price of a scripted model


@BOTH
def test_a_hit_is_served_without_a_worker(asynchronous: bool, monkeypatch: pytest.MonkeyPatch):
    """The consumer reads and answers hits itself, one by one, and in its own thread."""
    client, _ = make(asynchronous, cache=AutoCache())
    run(client, ["a", "b", "c"])
    read: list[str] = []

    def source() -> Iterator[str]:
        for text in "abc":
            read.append(text)
            yield text

    monkeypatch.setattr(client, "_ask", pytest.fail)
    assert [row.cached for row in run(client, source(), most=1)] == [True]
    assert read == ["a"]


def test_a_row_that_has_no_key_is_an_error_in_its_turn(tmp_path: Path):
    client, _ = make(asynchronous=False, cache=DiskCache(tmp_path))
    job = client.map(["a", []], Answer)
    assert next(job).value == Answer(text="a")
    with pytest.raises(ValidationError, match="messages is empty") as raised:
        take(job)
    assert raised.value.__notes__ == ["This is about row 1 of the job, counted from 0."]


@BOTH
def test_the_first_error_ends_a_job_after_the_rows_before_it(asynchronous: bool):
    client, adapter = make(asynchronous)
    job = client.map((f"row {n}" if n != 5 else "fail" for n in range(10_000)), Answer, concurrency=4)
    with pytest.raises(InstructorRetryException, match="fail") as raised:
        take(job)
    assert raised.value.__notes__ == ["This is about row 5 of the job, counted from 0."]
    assert len(adapter.requests) < 100
    assert not take(job)  # it's closed


@BOTH
@pytest.mark.parametrize(
    ("keywords", "notes"),
    [({"budget": 5}, None), ({"prompt": "{{ texts }}"}, ["This is about row 0 of the job, counted from 0."])],
    ids=["of the job", "of a row"],
)
def test_an_error_that_every_row_would_meet_names_no_row(
    asynchronous: bool, keywords: dict[str, Any], notes: list[str] | None
):
    client, _ = make(asynchronous)
    with pytest.raises(ConfigurationError) as raised:
        run(client, ["a"], **keywords)
    assert getattr(raised.value, "__notes__", None) == notes


@BOTH
def test_collected_errors_stand_in_their_rows(asynchronous: bool):
    client, _ = make(asynchronous)
    rows = run(client, ["a", "fail b", "c", {}, ["d"], []], on_error="collect")
    assert [row.value and row.value.text for row in rows] == ["a", None, "c", None, None, None]
    assert isinstance(rows[1].error, InstructorRetryException)
    assert all(isinstance(row.error, ValidationError) for row in rows[3:])
    assert (rows[0].cost, rows[1].cost) == (None, None)


@BOTH
def test_what_invalid_answers_have_cost_is_counted(asynchronous: bool):
    client, _ = make(asynchronous, lambda _: {"txt": "not valid"}, model="gpt-4.1-mini", max_retries=1)
    spent = Budget(tokens=10_000)
    job = client.map(["a"], Answer, on_error="collect", budget=spent)
    (row,) = take(job)
    assert isinstance(row.error, InstructorRetryException)
    assert (row.attempts, row.usage.total_tokens, row.model) == (2, spent.spent_tokens, "gpt-4.1-mini")
    assert (job.stats.asked, job.stats.errors, job.stats.tokens) == (
        0,
        1,
        spent.spent_tokens > 0 and spent.spent_tokens,
    )


@BOTH
def test_an_error_that_every_row_would_meet_ends_a_job_that_collects(asynchronous: bool):
    def refuse(_: Request) -> Any:
        raise ConfigurationError("no key")

    client, adapter = make(asynchronous, refuse)
    with pytest.raises(ConfigurationError, match="no key"):
        run(client, map(str, range(10_000)), on_error="collect")
    assert len(adapter.requests) < 100


class AccountError(Exception):
    """As the SDKs raise it."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"status {status}")
        self.status_code, self.code = status, code


@BOTH
@pytest.mark.parametrize("error", [AccountError(401), AccountError(429, "insufficient_quota")], ids=["key", "money"])
def test_what_every_row_would_meet_ends_a_job_that_collects_errors(asynchronous: bool, error: AccountError) -> None:
    def refuse(_: Request) -> Any:
        raise error

    client, adapter = make(asynchronous, refuse)
    with pytest.raises(InstructorRetryException, match="status"):
        run(client, map(str, range(10_000)), on_error="collect")
    assert len(adapter.requests) < 100


def lose(_: Request) -> Any:
    """As openai's SDK fails where nothing listens."""
    raise APIConnectionError("Connection error.") from ConnectionRefusedError(111, "Connection refused")


class APIConnectionError(Exception):
    """Named as the SDKs' own."""


@BOTH
def test_a_provider_that_was_never_reached_ends_a_job_that_collects_errors(asynchronous: bool):
    client, adapter = make(asynchronous, lose)
    with pytest.raises(InstructorRetryException, match="Nothing answers at the provider: the connection was refused"):
        run(client, map(str, range(10_000)), on_error="collect")
    assert len(adapter.requests) < 100


class NotFoundError(Exception):
    """As the SDKs' own: `body` is the API's answer, or a page of something else."""

    status_code = 404

    def __init__(self, message: str, body: object) -> None:
        super().__init__(message)
        self.body = body


@BOTH
@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (NotFoundError("The model `x` does not exist.", {"code": "model_not_found"}), range(1, 100)),
        (NotFoundError("Error code: 404", "<html>"), range(1, 100)),
        (ProviderError("openai", "What came isn't the answer of an API.", code="not_an_api"), range(1, 100)),
        (NotFoundError("No such File object: file-7", {"code": None}), range(120, 121)),
    ],
    ids=["model", "path", "page", "a row's file"],
)
def test_a_model_or_a_path_that_is_not_there_ends_a_job_too(asynchronous: bool, error: Exception, asked: range):
    def fail(_: Request) -> Any:
        raise error

    client, adapter = make(asynchronous, fail)
    with suppress(InstructorError):
        run(client, map(str, range(120)), on_error="collect")
    assert len(adapter.requests) in asked


def invalid(_: Request) -> Any:
    return {"wrong": 1}


@BOTH
@pytest.mark.parametrize("first", [echo, invalid], ids=["answered", "invalid"])
def test_a_provider_that_was_reached_and_goes_away_ends_no_job(asynchronous: bool, first: Callable[[Request], Any]):
    replies = chain([first], repeat(lose))

    def reply(request: Request) -> Any:
        return next(replies)(request)

    client, adapter = make(asynchronous, reply)
    rows = run(client, map(str, range(20)), on_error="collect", concurrency=1)
    assert len(adapter.requests) == 20
    assert [row.error is None for row in rows] == [first is echo] + [False] * 19


@BOTH
def test_what_took_too_long_or_broke_says_nothing_of_the_next_row(asynchronous: bool):
    def fail(_: Request) -> Any:
        raise APIConnectionError("Connection error.") from ConnectionResetError("reset by peer")

    client, adapter = make(asynchronous, fail)
    assert len(run(client, map(str, range(20)), on_error="collect")) == len(adapter.requests) == 20


@BOTH
def test_a_hit_does_not_show_that_the_provider_is_there(asynchronous: bool):
    cache = AutoCache()
    client, _ = make(asynchronous, cache=cache)
    run(client, ["0"])
    client, adapter = make(asynchronous, lose, cache=cache)
    with pytest.raises(InstructorRetryException, match="refused"):
        run(client, map(str, range(100)), on_error="collect", concurrency=1)
    assert len(adapter.requests) == 1


@BOTH
def test_an_error_of_the_source_comes_after_the_rows_before_it(asynchronous: bool):
    def source() -> Iterator[str]:
        yield "a"
        yield "b"
        raise OSError("the disk is gone")

    client, adapter = make(asynchronous)
    with pytest.raises(OSError, match="the disk is gone"):
        run(client, source())
    assert len(adapter.requests) == 2


@BOTH
def test_a_source_that_uses_one_conversation_for_all_rows_gets_the_answer_to_each(asynchronous: bool):
    client, _ = make(asynchronous, cache=AutoCache())

    def read() -> Iterator[Any]:
        messages = [{"role": "user", "content": ""}]
        for number in range(12):
            messages[0]["content"] = f"row {number}"
            yield messages

    rows = run(client, read(), concurrency=4)
    assert [row.value.text for row in rows] == [f"row {number}" for number in range(12)]


@BOTH
def test_leaving_early_asks_for_nothing_more_and_stores_what_is_under_way(asynchronous: bool):
    cache = AutoCache()
    client, adapter = make(asynchronous, cache=cache)
    run(client, map(str, range(10_000)), most=1, concurrency=8)
    asked = len(adapter.requests)
    assert 1 <= asked <= 256, "what the window holds, should the first row's thread be the slowest"
    assert cache.stats().writes == asked


@BOTH
def test_rows_are_handed_out_as_they_are_answered_where_no_order_is_wanted(asynchronous: bool):
    """The first row waits for the last one's request, which only an unordered job can hand out before it."""
    client, _ = make(asynchronous, hold_first(asynchronous, 3))
    rows = run(client, ["0", "1", "2"], ordered=False, concurrency=3)
    assert sorted(row.index for row in rows) == [0, 1, 2]
    assert rows[0].index != 0


def hold_first(asynchronous: bool, count: int) -> Callable[[Request], Any]:
    """Replies of which the first waits for all the others."""
    rest = threading.Semaphore(0)

    def reply(request: Request) -> Any:
        text = request["messages"][-1]["content"]
        if text != "0":
            rest.release()
        for _ in range(count - 1 if text == "0" else 0):
            assert rest.acquire(timeout=30)
        return {"text": text}

    async def reply_later(request: Request) -> Any:
        text = request["messages"][-1]["content"]
        if text != "0":
            rest.release()
        for _ in range(count - 1 if text == "0" else 0):
            while not rest.acquire(blocking=False):
                await asyncio.sleep(0)
        return {"text": text}

    return reply_later if asynchronous else reply


@BOTH
def test_no_more_rows_are_read_than_the_window_holds(asynchronous: bool):
    """However many rows there are, the first one's answer is waited for with few of them in memory."""
    read = 0

    def source() -> Iterator[str]:
        nonlocal read
        for number in range(5_000):
            read += 1
            yield str(number)

    held = threading.Event()
    most = 0

    def reply(request: Request) -> Any:
        nonlocal most
        text = request["messages"][-1]["content"]
        if text == "0":
            return wait_later() if asynchronous else wait()
        most = max(most, read)
        if read >= 256:
            held.set()
        return {"text": text}

    def wait() -> Any:
        assert held.wait(30)
        return {"text": "0"}

    async def wait_later() -> Any:
        while not held.is_set():
            await asyncio.sleep(0)
        return {"text": "0"}

    client, _ = make(asynchronous, reply)
    (row,) = run(client, source(), most=1, concurrency=4)
    assert row.index == 0
    assert most <= 256


async def test_an_asynchronous_source_may_be_slower_than_the_answers():
    """A row is handed out while the next one isn't there yet: here it comes only after the answer to the one before."""
    client, _ = make(asynchronous=True)
    answered = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "a"
        await answered.wait()
        yield "b"

    texts: list[str] = []
    async for row in client.map(source(), Answer):
        texts.append(row.value.text)
        answered.set()
    assert texts == ["a", "b"]


async def test_no_row_is_lost_if_whoever_waits_for_it_is_cancelled():
    client, _ = make(True, cache=AutoCache())
    texts = [f"row {number}" for number in range(200)]
    async with client.map(texts, Answer) as job:
        async for _ in job:
            pass
    taken: list[int] = []
    async with client.map(texts, Answer) as job:

        async def take_one() -> None:
            taken.append((await anext(job)).index)

        while len(taken) < len(texts):
            waiting = asyncio.ensure_future(take_one())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled() and waiting.exception():
                break  # no more rows come
    assert taken == list(range(200))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_answers_that_come_while_others_have_a_turn_are_noticed(concurrency: int, ordered: bool):
    client, _ = make(True)
    terms = {"concurrency": concurrency, "ordered": ordered, "on_error": "collect", "budget": Budget(tokens=1)}
    job = client.map([f"row {number}" for number in range(200)], Answer, **terms)

    async def take_all() -> int:
        return len([row async for row in job])

    assert await asyncio.wait_for(take_all(), 60) == 200  # but for the first rows, errors that come at once


async def test_a_job_gives_other_tasks_a_turn():
    client, _ = make(asynchronous=True, cache=AutoCache())
    async for _ in client.map(["a"], Answer):
        pass
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    async for _ in client.map(["a"] * 1000, Answer):
        pass
    counting.cancel()
    assert turns >= 10


@given(
    st.lists(
        st.sampled_from(["a", "b", "c", "fail d", "fail e"]) | st.text("xyz", min_size=1, max_size=2), max_size=60
    ),
    st.integers(1, 9) | st.just("auto"),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(1, 20),
)
def test_every_row_comes_exactly_once(
    texts: list[str], concurrency: Any, ordered: bool, asynchronous: bool, most: int | None
):
    client, adapter = make(asynchronous, cache=AutoCache())
    rows = run(client, texts, most, on_error="collect", ordered=ordered, concurrency=concurrency)
    assert len(rows) == (len(texts) if most is None else min(most, len(texts)))
    assert len({row.index for row in rows}) == len(rows)
    if ordered:
        assert [row.index for row in rows] == list(range(len(rows)))
    for row in rows:
        assert row.input == texts[row.index]
        assert (row.error is not None) == row.input.startswith("fail")
        assert row.error is not None or row.value.text == row.input
    asked = [request["messages"][-1]["content"] for request in adapter.requests]
    good = [text for text in asked if not text.startswith("fail")]
    assert len(good) == len(set(good))
    if most is None:
        assert set(asked) == set(texts)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"rows": "text"}, "rows is a str"),
        ({"rows": {"a": [1]}}, "For a single row pass a list"),
        ({"rows": 3}, "rows is 3"),
        ({"concurrency": 0}, 'concurrency= is "auto" or'),
        ({"on_error": "ignore"}, 'on_error= is "raise"'),
        ({"ordered": "no"}, "ordered is a str. Pass True or False"),
        ({"progress": None}, "progress is None. Pass True or False"),
        ({"stream": True}, "stream=True is for a single call"),
        ({"engine": "spark"}, "engine= is .* not 'spark'"),
        ({"concurency": 5}, "has no concurency=. Did you mean concurrency="),
        ({"max_workers": 5}, "Did you mean concurrency="),
        ({"poll_seconds": 5}, "poll_seconds= is about batches"),
        ({"prompt": "{{ text }}", "messages": []}, "prompt= and messages="),
        ({"messages": [{"role": "user", "content": "the same"}]}, "names no field"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_read(keywords: dict[str, Any], words: str):
    client, adapter = make(asynchronous=False)
    with pytest.raises(ArgumentError, match=words):
        client.map(**{"rows": ["a"], "response_model": Answer, **keywords})
    assert not adapter.requests


@BOTH
def test_a_budget_stops_requests_and_never_hits(asynchronous: bool):
    client, adapter = make(asynchronous, cache=AutoCache())
    (known,) = run(client, ["known"])
    tokens = known.usage.total_tokens
    budget = Budget(tokens=10 * tokens)
    texts = [f"row{number:02}" if number % 3 else "known" for number in range(60)]
    rows = run(client, texts, budget=budget, on_error="collect", concurrency=4)
    assert all(row.value for row in rows if row.input == "known")
    stopped = [row for row in rows if row.error is not None]
    assert all(isinstance(row.error, BudgetExceeded) for row in stopped)
    assert len(stopped) == 40 - (len(adapter.requests) - 1)
    assert 10 <= len(adapter.requests) - 1 <= 10 + 4


@BOTH
def test_a_budget_that_is_used_up_ends_a_job_that_raises(asynchronous: bool):
    client, adapter = make(asynchronous)
    with pytest.raises(BudgetExceeded):
        run(client, map(str, range(1_000)), budget=Budget(tokens=500), concurrency=2)
    assert len(adapter.requests) < 20


@BOTH
def test_nothing_more_is_asked_once_an_error_is_known(asynchronous: bool):
    """The error's turn to be raised comes later: the row before it is answered once the job knows of the error."""

    def reply(request: Request) -> Any:
        text = request["messages"][-1]["content"]
        if text != "0":
            return echo(request)
        return wait_later() if asynchronous else wait()

    def may_answer() -> bool:
        return job._window.has_ended or len(adapter.requests) > 2

    def wait() -> Any:
        while not may_answer():
            time.sleep(0.001)
        return {"text": "0"}

    async def wait_later() -> Any:
        while not may_answer():
            await asyncio.sleep(0)
        return {"text": "0"}

    client, adapter = make(asynchronous, reply)
    job = client.map(["0", "fail", *map(str, range(2, 200))], Answer, concurrency=2)
    with pytest.raises(InstructorRetryException, match="fail"):
        take(job)
    assert len(adapter.requests) == 2


def test_a_job_that_is_stopped_hands_out_what_is_under_way():
    gate = threading.Event()

    def answer(request: Request) -> Any:
        gate.wait()
        return echo(request)

    client, adapter = make(False, answer)
    job = client.map((str(number) for number in range(100)), Answer, concurrency=3)
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(list, job)
        wait_until(lambda: len(adapter.requests) == 3)
        job.stop()
        gate.set()
        assert [row.input for row in taking.result()] == ["0", "1", "2"]
    assert len(adapter.requests) == 3


def test_a_program_that_ends_waits_for_no_more_rows_of_a_daemon_thread(monkeypatch: pytest.MonkeyPatch):
    """It waits for the threads that ask, so it would last as long as the job."""
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    rows: list[str] = []
    raised: list[BaseException] = []

    def answer(request: Request) -> Any:
        if request["messages"][-1]["content"] == "10":
            monkeypatch.setattr(threading, "main_thread", lambda: ended)
        return echo(request)

    client, adapter = make(False, answer)

    def take_all() -> None:
        try:
            rows.extend(row.input for row in client.map(map(str, range(1000)), Answer, concurrency=2))
        except RuntimeError as error:
            raised.append(error)

    taking = threading.Thread(target=take_all, daemon=True)
    taking.start()
    taking.join()
    assert "The program is ending" in str(raised[0])
    assert rows == [str(number) for number in range(len(adapter.requests))]
    assert 10 < len(rows) < 100


def test_rows_that_no_provider_has_answered_can_be_dropped():
    """An answer that has come is waited for, until it turns out to be invalid."""
    entered, gate, judged, over = threading.Barrier(4), threading.Event(), threading.Event(), threading.Event()

    def answer(request: Request) -> Any:
        text = request["messages"][-1]["content"]
        if text != "2":
            note_answer()
        entered.wait()
        if text == "0":
            gate.wait()
            return echo(request)
        if text == "1":
            judged.wait()
            note_answer(is_valid=False)
        over.wait()
        return echo(request)

    client, _ = make(False, answer)
    rows: list[str] = []
    job = client.map(["0", "1", "2"], Answer, concurrency=3)
    job.be_droppable(reads_ahead=False)
    taking = threading.Thread(target=lambda: rows.extend(row.input for row in job))
    taking.start()
    entered.wait()
    job.drop()
    gate.set()
    wait_until(lambda: job.stats.done == 1)
    assert taking.is_alive(), "an answer that has come is being judged"
    judged.set()
    wait_until(lambda: job.drop() or not taking.is_alive())
    job.close()  # doesn't wait for the others either
    over.set()
    assert rows == ["0"]


def test_answers_are_handed_out_while_the_source_keeps_its_reader_waiting():
    written: SimpleQueue[str | None] = SimpleQueue()
    client, _ = make(False)
    job = client.map(iter(written.get, None), Answer, concurrency=2)
    job.be_droppable(reads_ahead=True)
    for text in ("a", "b"):
        written.put(text)
        assert next(job).value.text == text
    written.put(None)
    assert list(job) == []


def test_a_job_that_waits_for_its_source_can_be_stopped():
    written: SimpleQueue[str | None] = SimpleQueue()
    client, _ = make(False)
    job = client.map(iter(written.get, None), Answer)
    job.be_droppable(reads_ahead=True)
    with ThreadPoolExecutor(1) as threads:
        taking = threads.submit(list, job)
        job.stop()
        assert taking.result() == []
    written.put(None)


def test_what_reading_ahead_raises_is_raised_after_the_rows_before_it():
    def read() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    client, _ = make(False)
    job = client.map(read(), Answer)
    job.be_droppable(reads_ahead=True)
    assert next(job).value.text == "a"
    with pytest.raises(OSError, match="gone"):
        next(job)


def test_no_row_begins_while_none_is_taken():
    """Rows are ready, and threads without a row. But whoever takes the rows may have left."""
    gate = threading.Event()

    def answer(request: Request) -> Any:
        if request["messages"][-1]["content"] == "0":
            wait_until(lambda: len(adapter.requests) == 2)
        else:
            assert gate.wait(30)
        return echo(request)

    client, adapter = make(False, answer)
    with client.map(map(str, range(100)), Answer, concurrency=2) as job:
        assert next(job).index == 0
        wait_until(lambda: len(adapter.requests) == 3)
        gate.set()
        wait_until(lambda: job._crew._spare == 2)
        assert len(adapter.requests) == 3
        assert job._crew._waiting
        assert next(job).index == 1


def test_a_row_that_is_ready_is_not_asked_about_once_the_job_is_left(monkeypatch: pytest.MonkeyPatch):
    closing = threading.Event()

    def answer(request: Request) -> Any:
        if request["messages"][-1]["content"] == "0":
            wait_until(lambda: len(adapter.requests) == 2)
        else:
            assert closing.wait(30)
        return echo(request)

    client, adapter = make(False, answer)
    job = client.map(map(str, range(100)), Answer, concurrency=2)
    assert next(job).index == 0
    assert len(job._window.under_way) == 3
    monkeypatch.setattr(Progress, "close", lambda _: closing.set())
    job.close()
    assert len(adapter.requests) <= 3
    assert all(slot.is_over for slot in job._window.under_way)


def test_who_takes_the_rows_is_woken_for_the_next_one_and_where_few_are_ready(monkeypatch: pytest.MonkeyPatch):
    waits, wake, put_down = threading.Event(), ResultQueue.wake, list[int]()

    def wait(results: ResultQueue[Any], _: float) -> None:
        waits.set()
        results._wakeups.get(timeout=30)

    def note(results: ResultQueue[Any]) -> None:
        put_down.append(len(results._results))
        wake(results)

    def answer(request: Request) -> Any:
        assert waits.wait(30)
        if request["messages"][-1]["content"] == "0":
            wait_until(lambda: put_down)
        return echo(request)

    client, _ = make(False, answer)
    monkeypatch.setattr(ResultQueue, "wait", wait)
    monkeypatch.setattr(ResultQueue, "wake", note)
    assert len(run(client, map(str, range(31)), concurrency=16)) == 31
    assert put_down[0] == 8, "of the 15 rows that were ready, 7 are left"


class FarStore(BaseCache):
    """A store that may be far away, for all that is known of it."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.together: threading.Barrier | None = None

    def get(self, key: str) -> str | None:
        if self.together is not None:
            self.together.wait(10)
        return self.kept.get(key)

    def set(self, key: str, value: str, ttl: int | None = None) -> None:
        self.kept[key] = value


def test_a_store_that_may_be_far_is_read_by_several_threads_at_once():
    """Whoever reads the rows would wait for one read after the other."""
    store = FarStore()
    client, adapter = make(False, cache=store)
    run(client, ["a", "b", "c"])
    store.together = threading.Barrier(3)
    rows = run(client, ["a", "b", "c"], concurrency=3)
    assert [(row.value.text, row.cached, row.shared) for row in rows] == [(text, True, False) for text in "abc"]
    assert len(adapter.requests) == 3


def test_a_file_is_read_where_the_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A thread takes longer to wake."""
    client, _ = make(False, cache=DiskCache(tmp_path))
    run(client, ["a", "b"])
    monkeypatch.setattr(Crew, "submit", None)
    assert all(row.cached for row in run(client, ["a", "b"]))


def test_the_threads_of_a_job_end_with_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crew, "_IDLE_SECONDS", 600.0)
    client, _ = make(False)
    before = threading.active_count()
    assert len(run(client, map(str, range(20)), concurrency=8)) == 20
    wait_until(lambda: threading.active_count() <= before)


def test_the_threads_of_a_job_that_is_left_behind_end():
    client, _ = make(False)
    before = threading.active_count()
    assert next(client.map(map(str, range(100)), Answer)).index == 0
    wait_until(lambda: threading.active_count() <= before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows has no signals to threads")
def test_a_signal_that_does_not_interrupt_the_waiting_is_handled_all_the_same():
    """As one that comes just before it begins, or to another thread."""
    gate, heard = threading.Event(), []

    def answer(request: Request) -> Any:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        heard.append(gate.wait(30))
        return echo(request)

    client, _ = make(False, answer)
    handler = signal.signal(signal.SIGUSR1, lambda *_: gate.set())
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        assert run(client, ["a"])[0].value.text == "a"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGUSR1, handler)
    assert heard == [True]


def test_a_row_that_no_thread_can_be_started_for_has_an_error(monkeypatch: pytest.MonkeyPatch):
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    client, adapter = make(False)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        [row] = run(client, ["a"], on_error="collect")
    assert isinstance(row.error, RuntimeError)
    assert run(client, ["b"])[0].value.text == "b"
    assert len(adapter.requests) == 1


def test_leaving_a_job_waits_for_nothing_that_is_done(monkeypatch: pytest.MonkeyPatch):
    """From Python 3.12 on that wouldn't let the loop go on, which takes out what is done."""
    gather = asyncio.gather

    def wait(*tasks: asyncio.Task[Any], **keywords: Any) -> Any:
        assert not all(task.done() for task in tasks)
        return gather(*tasks, **keywords)

    monkeypatch.setattr(asyncio, "gather", wait)
    assert len(run(make(True)[0], map(str, range(300)))) == 300


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


@BOTH
def test_a_row_says_what_its_answer_took_and_a_failed_one_too(asynchronous: bool):
    client, _ = make(asynchronous, lambda _: {"wrong": "1"}, max_retries=2)
    [failed] = run(client, ["a"], on_error="collect")
    assert (failed.attempts, failed.usage.total_tokens) == (3, failed.error.total_usage.total_tokens)
    client, _ = make(asynchronous, cache=AutoCache())
    asked, hit = run(client, ["a"]) + run(client, ["a"])
    assert (asked.attempts, hit.attempts, hit.seconds) == (1, 1, asked.seconds)


@BOTH
def test_what_the_keywords_of_a_job_decide_is_settled_once(asynchronous: bool, monkeypatch: pytest.MonkeyPatch):
    settled: list[object] = []
    settle = BaseClient._settle
    monkeypatch.setattr(BaseClient, "_settle", lambda self, *rest: settled.append(rest) or settle(self, *rest))
    client, _ = make(asynchronous, cache=AutoCache())
    rows = run(client, ["a", "b", "c"], concurrency=1, max_retries=1, temperature=0.5)
    assert [row.value.text for row in rows] == ["a", "b", "c"]
    assert len(settled) == 1

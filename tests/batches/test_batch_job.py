"""Batches of each vendor against a server that speaks their wire formats, through the real SDKs."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from google.genai import types
from pydantic import BaseModel, ValidationInfo, field_validator

from batch_server import EXPIRED, OVERLOADED, SILENT, WRONG, BatchServer
from instructor import AutoCache, BatchJob, Budget, DiskCache, from_provider
from instructor.batches.job import begin, results
from instructor.batches.records import Shelf
from instructor.cache.handle import handle_of
from instructor.exceptions import BudgetExceeded, ConfigurationError, InstructorRetryException, ProviderError
from instructor.providers.batches import google as google_batches
from instructor.providers.batches import openai as openai_batches
from instructor.providers.batches.steps import Out, run
from instructor.providers.batches.vendor import find_vendor, found
from streams import CLAUDE, GEMINI, OPENAI

RESPONSES = "openai/gpt-6-luna"
GOOGLE = pytest.param(GEMINI, marks=pytest.mark.newest_sdks)  # the oldest says of no answer whose it is
MODELS = [OPENAI, RESPONSES, CLAUDE, GOOGLE]


class Number(BaseModel):
    number: int


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCache]:
    with DiskCache(tmp_path / "cache") as store:
        yield store


def make_client(model: str, server: BatchServer, store: Any, **settings: Any) -> Any:
    url = f"{server.address}/v1" if model.startswith("openai") else server.address
    return from_provider(model, base_url=url, api_key="none", cache=store, **settings)


def job_cost(model: str, row: Any) -> float | None:
    """Half of what a live row costs; None for a model without a price."""
    live = replace(row, batched=False).cost
    assert (row.provider, row.model) == tuple(model.split("/"))
    return None if live is None else live / 2


def ask(row: int) -> str:
    return f"row {row}"


@pytest.mark.parametrize("model", MODELS)
def test_rows_come_in_order_each_asked_once_and_a_live_call_hits(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    server.shuffled = True
    with make_client(model, server, store) as client:
        job = client.batch([3, 1, 2, 1], Number, ask, poll_seconds=0)
        rows = list(job.results())
        assert [(row.index, row.input, row.value, row.batched) for row in rows] == [
            (index, number, Number(number=number), True) for index, number in enumerate([3, 1, 2, 1])
        ]
        assert [row.shared for row in rows] == [False, False, False, True]  # the second of two equal rows
        assert (rows[0].cost, rows[3].cost) == (job_cost(model, rows[0]), 0.0)
        assert len(server.keys) == len(set(server.keys)) == 3
        reply = client.create_with_reply(response_model=Number, messages=[{"role": "user", "content": "row 2"}])
        assert (reply.value, reply.cached) == (Number(number=2), True)
        assert rows[2].usage == reply.usage
        assert server.live == []


def test_a_job_holds_neither_the_conversations_nor_the_completions_of_rows_that_are_answered(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK's completion takes ten times as much memory as its text, of which it is made again."""
    completions: list[weakref.ref[Any]] = []

    def find(key: str, completion: Any) -> Any:
        completions.append(weakref.ref(completion))
        return found(key, completion)

    monkeypatch.setattr(openai_batches, "found", find)
    with make_client(OPENAI, server, store) as client:
        job = client.batch([1, 2, 3], Number, ask, poll_seconds=0)
        rows = list(job.results())
        gc.collect()
        assert [completion() for completion in completions] == [None, None, None]
        assert set(job._job.asked.values()) == {None}
        (made,) = {type(row.value._raw_response).__name__ for row in rows}
        assert made == "ChatCompletion"
        assert [row.value._total_usage for row in rows] == [row.usage for row in rows]
        assert [row.value for row in job.results()] == [row.value for row in rows], "the rows can be taken again"


@pytest.mark.parametrize("response_model", [Number, list[int], None])
@pytest.mark.parametrize("stored", [False, True])
def test_each_of_equal_rows_has_a_value_of_its_own_whenever_it_is_taken(
    response_model: Any, stored: bool, server: BatchServer, store: DiskCache
) -> None:
    """A program may add to an answer while it takes the rows."""
    server.value = {"content": [1, 2]} if response_model == list[int] else None
    with make_client(OPENAI, server, store) as client:
        if stored:
            list(client.batch([1], response_model, ask, poll_seconds=0).results())
        job = client.batch([1, 2, 1], response_model, ask, poll_seconds=0)
        values = [row.value for _ in range(2) for row in job.results()]
        first, _, second = values[:3]
        assert first == second is not None
        assert type(first) is type(second)
        assert len({id(value) for value in values}) == 6, "the rows can be taken again"


@pytest.mark.parametrize("answer", [WRONG, {"number": "none"}], ids=["refused", "invalid"])
def test_each_of_equal_rows_has_an_error_of_its_own_whenever_it_is_taken(
    answer: Any, server: BatchServer, store: DiskCache
) -> None:
    """Raising an error adds to its traceback, and a program may note on it which row it is about."""
    server.script = {1: [answer]}
    with make_client(OPENAI, server, store) as client:
        job = client.batch([1, 1], Number, ask, again="never", poll_seconds=0)
        errors = [row.error for _ in range(2) for row in noted(job.results())]
    assert len({id(error) for error in errors}) == 4
    assert [error.__notes__ for error in errors if error] == [["row 0"], ["row 1"]] * 2


def noted(rows: Iterable[Any]) -> Iterator[Any]:
    for row in rows:
        row.error.add_note(f"row {row.index}")
        yield row


def test_a_conversation_that_is_not_all_text_is_sent_as_it_was(server: BatchServer, store: DiskCache) -> None:
    class Name(str):
        __slots__ = ()

    parts = [{"type": "text", "text": "row 2"}]
    turns: list[Any] = [{"role": "user", "content": "row 1"}, {Name("role"): "user", "content": "row 2"}]
    with make_client(OPENAI, server, store) as client:
        asked = [[turn] for turn in (*turns, {"role": "user", "content": parts})]
        job = client.batch(asked, Number, lambda row: row, poll_seconds=0)
        parts[0]["text"] = "row 9"
        assert [row.value.number for row in job.results()] == [1, 2, 2]


def killed_after(effects: int, steps: Any) -> bool:
    """Do so many steps of a conversation and leave it there, as a process that is killed would; whether it went on."""
    reply = None
    while True:
        try:
            effect = steps.send(reply)
        except StopIteration:
            return False
        if isinstance(effect, Out):
            reply = None
            continue
        reply = effect()
        effects -= 1
        if effects <= 0:
            return True


def both(*conversations: Any) -> Any:
    for steps in conversations:
        yield from steps


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])
def test_a_job_that_is_killed_at_any_step_goes_on_elsewhere_and_submits_no_row_twice(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    """After each step the next process begins with nothing but the store."""
    kills, went_on = 0, True
    server.polls = 0
    with make_client(model, server, store) as client:  # it keeps nothing of a job, and takes long to make
        while went_on:
            kills += 1
            rows = [kills * 10, kills * 10 + 1]
            server.batches.clear()
            request = client._make_request(Number, {}, poll_seconds=0)
            job = request.of_rows(rows, ask)
            went_on = killed_after(kills, both(begin(job), results(job)))
            found = list(client.batch(rows, Number, ask, poll_seconds=0).results())
            assert [row.value for row in found] == [Number(number=number) for number in rows]
            assert len(server.keys) == len(set(server.keys)) == 2, f"after {kills} steps"
    assert kills > 15


VENDORS = pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])


@VENDORS
def test_the_asynchronous_client_does_the_same(model: str, server: BatchServer, store: DiskCache) -> None:
    server.shuffled = True

    async def run() -> list[Any]:
        async with make_client(model, server, store, async_client=True) as client:
            job = await client.batch([2, 1], Number, ask, poll_seconds=0)
            return [row.value async for row in job.results()]

    assert asyncio.run(run()) == [Number(number=2), Number(number=1)]
    assert len(server.keys) == 2


@VENDORS
def test_rows_that_expired_failed_or_are_missing_are_asked_again_in_the_next_batch(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    server.script = {1: [EXPIRED, {"number": 1}], 2: [OVERLOADED, {"number": 2}], 3: [SILENT, {"number": 3}]}
    with make_client(model, server, store) as client:
        rows = list(client.batch([0, 1, 2, 3], Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=number) for number in range(4)]
    assert [len(batch["rows"]) for batch in server.batches] == [4, 3]


@VENDORS
def test_a_batch_that_succeeded_with_every_row_failed_is_an_error_for_each_row_and_stores_nothing(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    server.script = {1: [WRONG], 2: [WRONG]}
    with make_client(model, server, store) as client:
        rows = list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
        assert [type(row.error) for row in rows] == [ProviderError, ProviderError]
        assert "wrong!" in str(rows[0].error)
        assert len(server.batches) == 1, "a request that is wrong isn't sent again"
        assert not client.create_with_reply(Number, [{"role": "user", "content": "row 1"}]).cached


def test_a_row_that_keeps_failing_is_an_error_after_three_batches(server: BatchServer, store: DiskCache) -> None:
    server.script = {1: [EXPIRED]}
    with make_client(OPENAI, server, store) as client:
        [row] = client.batch([1], Number, ask, poll_seconds=0).results()
    assert isinstance(row.error, ProviderError)
    assert row.error.code == "batch_expired"
    assert len(server.batches) == 3


@pytest.mark.parametrize(("again", "live", "value"), [("live", 1, Number(number=1)), ("never", 0, None)])
def test_expired_rows_are_asked_live_or_not_at_all(
    again: str, live: int, value: Any, server: BatchServer, store: DiskCache
) -> None:
    server.script = {1: [EXPIRED]}
    with make_client(OPENAI, server, store) as client:
        [row] = client.batch([1], Number, ask, again=again, poll_seconds=0).results()
    assert (row.value, row.batched, len(server.live), len(server.batches)) == (value, value is None, live, 1)


def test_an_invalid_answer_is_asked_again_live_with_its_error_shown(server: BatchServer, store: DiskCache) -> None:
    server.script = {1: [{"number": "many"}]}
    with make_client(OPENAI, server, store) as client:
        [row] = client.batch([1], Number, ask, poll_seconds=0).results()
        assert row.value == Number(number=1)
        assert len(server.live) == 1
        assert "many" in str(server.live[0])
        assert client.create_with_reply(Number, [{"role": "user", "content": "row 1"}]).cached


def test_what_is_asked_live_after_a_batch_fits_into_the_budget_and_has_its_own_price(
    server: BatchServer, store: DiskCache
) -> None:
    server.script = {number: [{"number": "many"}] for number in range(2)}
    with make_client(OPENAI, server, store) as client:
        tokens = client.create_with_reply(Number, [{"role": "user", "content": "row 9"}]).usage.total_tokens
        live = client.ledger().spent.usd
        server.live.clear()
        roomy, narrow = Budget(tokens=2 * tokens), Budget(tokens=tokens)
        [row] = client.batch([0], Number, ask, poll_seconds=0, budget=roomy).results()
        assert (row.value, len(server.live), roomy.spent_tokens) == (Number(number=0), 1, 2 * tokens)
        [row] = client.batch([1], Number, ask, poll_seconds=0, budget=narrow).results()
        assert (type(row.error), len(server.live), narrow.spent_tokens) == (BudgetExceeded, 1, tokens)
        assert client.ledger().spent.usd == pytest.approx(live * (1 + 2 / 2 + 1))
        assert client.ledger().lost.usd == pytest.approx(live * 2 / 2)


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_budget_keeps_rows_out_of_a_batch_that_would_use_it_up(
    is_warm: bool, server: BatchServer, store: DiskCache
) -> None:
    budget = Budget(tokens=1000)
    with make_client(OPENAI, server, store) as client:
        if is_warm:
            reply = client.create_with_reply(Number, [{"role": "user", "content": "row 999"}], budget=budget)
            budget = Budget(tokens=8 * reply.usage.total_tokens)
            client.create(Number, [{"role": "user", "content": "row 998"}], budget=budget)
        job = client.batch(range(100), Number, ask, poll_seconds=0, budget=budget)
        rows = list(job.results())
    assert 0 < len(server.keys) < 20
    answered = [row for row in rows if row.error is None]
    assert len(answered) == len(server.keys)
    assert all(isinstance(row.error, BudgetExceeded) for row in rows if row.error is not None)
    if is_warm:
        assert budget.spent_tokens == budget.tokens


def test_a_row_that_is_not_asked_again_for_its_budget_is_an_error(server: BatchServer, store: DiskCache) -> None:
    server.script = {number: [EXPIRED, {"number": number}] for number in range(2)}
    with make_client(OPENAI, server, store) as client:
        tokens = client.create_with_reply(Number, [{"role": "user", "content": "row 9"}]).usage.total_tokens
        budget = Budget(tokens=6 * tokens)
        ask_live = partial(client.create, Number, budget=budget)
        ask_live([{"role": "user", "content": "row 10"}])
        job = client.batch(range(2), Number, ask, poll_seconds=0, budget=budget)
        for number in range(11, 15):
            ask_live([{"role": "user", "content": f"row {number}"}])
        rows = list(job.results())
    assert [(row.value, type(row.error)) for row in rows] == [(Number(number=0), type(None)), (None, BudgetExceeded)]


def test_a_submission_whose_answer_is_lost_is_found_at_the_vendor(server: BatchServer, store: DiskCache) -> None:
    server.drops = 1
    with make_client(OPENAI, server, store) as client:
        with pytest.raises(ProviderError, match="Connection error"):
            client.batch([1, 2], Number, ask, poll_seconds=0)
        server.script = {3: [{"number": 3}]}
        client.batch([3], Number, ask, poll_seconds=0)
        server.page = 1
        rows = list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=1), Number(number=2)]
    assert [len(batch["rows"]) for batch in server.batches] == [2, 1]


def test_a_batch_of_another_program_that_has_as_many_rows_is_not_taken_for_ours(
    server: BatchServer, store: DiskCache, tmp_path: Path
) -> None:
    """Anthropic's batches have no name of ours, so that only their results show whose they are."""
    server.drops = 1
    with make_client(CLAUDE, server, store) as client, DiskCache(tmp_path / "other") as others:
        with pytest.raises(ProviderError, match="Connection error"):
            client.batch([1, 2], Number, ask)
        make_client(CLAUDE, server, others).batch([8, 9], Number, ask)
        rows = list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=1), Number(number=2)]
    assert len(server.keys) == len(set(server.keys)) == 4


def test_an_input_that_changed_meanwhile_asks_for_its_new_rows_only(server: BatchServer, store: DiskCache) -> None:
    with make_client(OPENAI, server, store) as client:
        client.batch([1, 2, 3], Number, ask)
        rows = list(client.batch([4, 3, 1], Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=number) for number in (4, 3, 1)]
    assert [len(batch["rows"]) for batch in server.batches] == [3, 1]


def test_a_batch_asks_what_its_rows_were_when_they_were_read(server: BatchServer, store: DiskCache) -> None:
    """A source may use one object for all its rows, and change it; a function need not say the same thing twice."""
    server.script = {1: [EXPIRED, {"number": 1}]}
    calls: list[int] = []

    def read() -> Iterator[dict[str, int]]:
        row: dict[str, int] = {}
        for row["number"] in range(3):
            yield row

    def write(row: dict[str, int]) -> str:
        calls.append(row["number"])
        return ask(row["number"])

    with make_client(OPENAI, server, store) as client:
        rows = list(client.batch(read(), Number, write, poll_seconds=0).results())
        assert [row.value for row in rows] == [Number(number=number) for number in range(3)]
        assert calls == [0, 1, 2]
        reply = client.create_with_reply(response_model=Number, messages=[{"role": "user", "content": "row 0"}])
        assert (reply.value, reply.cached) == (Number(number=0), True)


def test_a_batch_whose_name_another_process_has_overwritten_is_not_submitted_again(
    server: BatchServer, store: DiskCache
) -> None:
    with make_client(OPENAI, server, store) as client:
        client.batch([1, 2], Number, ask)
        store.delete("instructor-batch:intents")
        rows = list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=1), Number(number=2)]
    assert len(server.batches) == 1


def test_a_job_is_resumed_by_its_name_without_its_rows(server: BatchServer, store: DiskCache) -> None:
    with make_client(OPENAI, server, store) as client:
        job = client.batch([2, 1], Number, ask)
        name = job.id
    with make_client(OPENAI, server, store) as client:
        resumed = BatchJob.resume(name, client, Number, poll_seconds=0)
        assert [row.value for row in resumed.results()] == [Number(number=2), Number(number=1)]
        assert client.create_with_reply(Number, [{"role": "user", "content": "row 1"}]).cached
    assert len(server.batches) == 1


def test_a_job_is_not_resumed_for_another_response_model(server: BatchServer, store: DiskCache) -> None:
    class Word(BaseModel):
        number: str

    with make_client(OPENAI, server, store) as client:
        job = client.batch([1], Number, ask)
        with pytest.raises(ConfigurationError, match="in another form"):
            client.resume_batch(job.id, Word)
        with pytest.raises(ConfigurationError, match="There is no job"):
            client.resume_batch("nobody", Number)


class Above(BaseModel):
    """A number that the context allows."""

    number: int

    @field_validator("number")
    @classmethod
    def check(cls, number: int, info: ValidationInfo) -> int:
        least = info.context["least"]
        assert number >= getattr(least, "least", least)
        return number


@pytest.mark.parametrize("of_client", [False, True])
def test_a_row_is_judged_by_the_context_that_it_was_asked_with(
    of_client: bool, server: BatchServer, store: DiskCache
) -> None:
    """The caller changes it before the answers come, and before the second round."""
    server.script = {2: [EXPIRED, {"number": 2}]}
    context = {"least": 0}
    settings, keywords = ({"context": context}, {}) if of_client else ({}, {"context": context})
    with make_client(OPENAI, server, store, **settings) as client:
        job = client.batch([1, 2], Above, ask, poll_seconds=0, **keywords)
        context["least"] = 5
        assert [row.value for row in job.results()] == [Above.model_construct(number=number) for number in (1, 2)]
    assert server.live == []


class Rule:
    def __init__(self) -> None:
        self.least = 0

    def __cache_key__(self) -> int:
        return self.least


def test_a_row_whose_context_is_not_what_it_was_asked_with_is_refused(server: BatchServer, store: DiskCache) -> None:
    rule = Rule()
    with make_client(OPENAI, server, store) as client:
        job = client.batch([1, 7], Above, ask, poll_seconds=0, context={"least": rule})
        rule.least = 5
        assert [str(row.error).split(",")[0] for row in job.results()] == [
            "An object in context= has changed since the row was asked"
        ] * 2
        rule.least = 0
        again = client.batch([1, 7], Above, ask, poll_seconds=0, context={"least": rule})
        assert [row.error for row in again.results()] == [None, None]
        assert [row.cached for row in again.results()] == [False, False]


def test_a_job_is_not_resumed_with_another_context(server: BatchServer, store: DiskCache) -> None:
    with make_client(OPENAI, server, store) as client:
        name = client.batch([1], Above, ask, context={"least": 1}).id
        for context in ({"least": 0}, None):
            with pytest.raises(ConfigurationError, match="and context"):
                client.resume_batch(name, Above, context=context)
        resumed = client.resume_batch(name, Above, context={"least": 1}, poll_seconds=0)
        assert [row.error for row in resumed.results()] == [None]


def test_a_job_that_is_cancelled_keeps_what_was_answered_and_asks_no_more(
    server: BatchServer, store: DiskCache
) -> None:
    server.polls, server.script = 100, {2: [EXPIRED]}
    with make_client(OPENAI, server, store) as client:
        job = client.batch([1, 2], Number, ask, poll_seconds=0)
        assert not job.status().ended
        job.cancel()
        assert job.wait().ended
        rows = list(job.results())
    assert [(row.value, row.error is None) for row in rows] == [(Number(number=1), True), (None, False)]
    assert len(server.batches) == 1


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])
@pytest.mark.parametrize("outcome", [SILENT, OVERLOADED])
def test_a_batch_that_is_cancelled_elsewhere_is_not_submitted_again(
    model: str, outcome: str, server: BatchServer, store: DiskCache
) -> None:
    server.polls, server.script = 100, {2: [outcome]}
    with make_client(model, server, store) as client, make_client(model, server, store) as other:
        job = client.batch([1, 2], Number, ask, poll_seconds=0)
        other.resume_batch(job.id, Number).cancel()
        rows = list(job.results())
        assert [(row.value, row.error is None) for row in rows] == [(Number(number=1), True), (None, False)]
        assert len(server.batches) == 1
        server.polls, server.script = 0, {}
        assert all(row.error is None for row in client.batch([1, 2], Number, ask, poll_seconds=0).results())


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])
def test_results_without_any_of_the_rows_are_asked_for_three_times_and_no_more(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    server.script = {1: [SILENT], 2: [SILENT]}
    with make_client(model, server, store) as client:
        rows = list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
    assert all("answer to it" in str(row.error) for row in rows)
    assert len(server.batches) == 3


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])
def test_a_batch_that_the_vendor_does_not_know_is_an_error_until_it_is_forgotten(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    with make_client(model, server, store) as client:
        client.batch([1, 2], Number, ask)
        server.batches.clear()
        job = client.batch([1, 2, 3], Number, ask, poll_seconds=0)  # submits row 3
        with pytest.raises(ConfigurationError, match=r"doesn't know batch .* cancel PLACE"):
            list(job.results())
        job.cancel()
        values = [row.value for row in job.results()]
        assert values == [None, None, Number(number=3)]
        assert [row.value for row in client.batch([1, 2], Number, ask, poll_seconds=0).results()] == [
            Number(number=1),
            Number(number=2),
        ]


@pytest.mark.parametrize("model", [OPENAI, CLAUDE])
def test_rows_whose_results_are_no_longer_kept_are_asked_again(
    model: str, server: BatchServer, store: DiskCache
) -> None:
    with make_client(model, server, store) as client:
        job = client.batch([1, 2], Number, ask, poll_seconds=0)
        server.forgotten = {"batch_1"}
        assert [row.value for row in job.results()] == [Number(number=1), Number(number=2)]
        assert len(server.batches) == 2


def test_batches_are_split_by_the_limits_of_the_vendor(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_batches, "VENDOR", replace(openai_batches.VENDOR, most_rows=2))
    with make_client(OPENAI, server, store) as client:
        rows = list(client.batch(range(5), Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=number) for number in range(5)]
    assert [len(batch["rows"]) for batch in server.batches] == [2, 2, 1]


def test_a_row_that_no_batch_can_hold_is_an_error_of_its_own(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_batches, "VENDOR", replace(openai_batches.VENDOR, most_bytes=2_000))
    with make_client(OPENAI, server, store) as client:
        first, second = client.batch(
            [1, 2], Number, lambda row: "x" * 9_000 * row + "row 1" if row == 2 else "row 1", poll_seconds=0
        ).results()
    assert first.value == Number(number=1)
    assert "Shorten it" in str(second.error)


def test_a_batch_that_the_vendor_refuses_says_why(server: BatchServer, store: DiskCache) -> None:
    server.failure = "The enqueued token limit is reached."
    with make_client(OPENAI, server, store) as client:
        server.polls = 0
        [row] = client.batch([1], Number, ask, poll_seconds=0).results()
    assert "enqueued token limit" in str(row.error)
    assert len(server.batches) == 1


@VENDORS
def test_batches_that_the_vendor_has_no_room_for_are_submitted_when_it_has(
    model: str, server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI accepts them and lets them fail; the others refuse the submission."""
    vendor = find_vendor(model.partition("/")[0])
    monkeypatch.setattr(import_module(vendor.write.__module__), "VENDOR", replace(vendor, most_rows=1))
    server.room = 1
    with make_client(model, server, store) as client:
        rows = list(client.batch(range(3), Number, ask, poll_seconds=0).results())
    assert [row.value for row in rows] == [Number(number=number) for number in range(3)]
    assert len(server.keys) == len(set(server.keys)) == 3


@pytest.mark.parametrize(("again", "live", "batches"), [("batch", 0, 10), ("live", 1, 1), ("never", 0, 1)])
def test_a_vendor_that_never_has_room_ends_a_row_as_any_failure_does(
    again: str, live: int, batches: int, server: BatchServer, store: DiskCache
) -> None:
    server.room = 0
    with make_client(OPENAI, server, store) as client:
        [row] = client.batch([1], Number, ask, again=again, poll_seconds=0).results()
    assert (len(server.live), len(server.batches), row.error is None) == (live, batches, bool(live))
    assert row.error is None or "Enqueued token limit reached" in str(row.error)


def test_what_is_too_much_at_once_is_submitted_in_halves(server: BatchServer, store: DiskCache) -> None:
    server.room = 0
    with make_client(OPENAI, server, store) as client:
        list(client.batch(range(8), Number, ask, poll_seconds=0).results())
    assert [len(batch["rows"]) for batch in server.batches][:7] == [8, 4, 4, 4, 4, 4, 4]


@pytest.mark.newest_sdks
def test_a_row_of_googles_batches_with_what_they_do_not_take_is_refused(server: BatchServer, store: DiskCache) -> None:
    """The SDK leaves it out without a word, and it's part of the key."""
    with make_client(GEMINI, server, store) as client:
        [row] = client.batch([1], Number, ask, timeout=9.0, poll_seconds=0).results()
        assert row.value == Number(number=1)
        with pytest.raises(ConfigurationError, match="extra_body"):
            client.batch([2], Number, ask, extra_body={"labels": {"team": "a"}})
        with pytest.raises(ConfigurationError, match="does not take extra_query="):
            client.batch([2], Number, ask, extra_query={"trace": "on"})
    assert len(server.batches) == 1


def test_an_sdk_of_google_that_does_not_say_whose_an_answer_is_submits_nothing(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {name: field for name, field in types.InlinedResponse.model_fields.items() if name != "metadata"}
    monkeypatch.setattr(types, "InlinedResponse", SimpleNamespace(model_fields=fields))
    google_batches._check_sdk.cache_clear()
    with make_client(GEMINI, server, store) as client, pytest.raises(ConfigurationError, match=r"google-genai 1\.66"):
        client.batch([1], Number, ask)
    assert server.batches == []


def test_a_beta_is_that_of_the_whole_batch(server: BatchServer, store: DiskCache) -> None:
    """Anthropic takes it from the header of the submission, and not from a row."""
    with make_client(CLAUDE, server, store) as client:
        client.batch([1], Number, ask, extra_headers={"anthropic-beta": "context-1m"}, temperature=0.5)
    [batch] = server.batches
    assert batch["headers"]["anthropic-beta"] == "context-1m"
    assert batch["headers"]["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("cache", [None, AutoCache()], ids=["none", "memory"])
def test_a_batch_needs_a_store_that_outlives_the_process(cache: Any, server: BatchServer) -> None:
    with (
        make_client(OPENAI, server, cache) as client,
        pytest.raises(ConfigurationError, match="DiskCache"),
    ):
        client.batch([1], Number, ask)
    assert server.batches == []


def test_a_vendor_without_a_batch_api_says_who_has_one(store: DiskCache) -> None:
    with pytest.raises(ConfigurationError, match="openai, anthropic, google"):
        from_provider("offline/demo", cache=store).batch(["Anna is 25."], Number)


def test_the_ledger_prices_a_batched_row_at_half(server: BatchServer, store: DiskCache) -> None:
    with make_client(OPENAI, server, store) as client:
        list(client.batch([1], Number, ask, poll_seconds=0).results())
        batched = client.ledger().spent
        client.create(Number, [{"role": "user", "content": "row 7"}])
        both_rows = client.ledger().spent
    assert batched.count == 1
    assert both_rows.usd == pytest.approx(3 * (batched.usd or 0))


def test_a_row_costs_one_miss_and_one_write_though_its_result_comes_twice(
    server: BatchServer, store: DiskCache
) -> None:
    server.shuffled = True
    with make_client(OPENAI, server, store) as client:
        list(client.batch([1, 2], Number, ask, poll_seconds=0).results())
        stats = client.cache_stats()
    assert (stats.hits, stats.misses, stats.writes) == (0, 2, 2)


def test_nothing_is_submitted_if_the_record_cannot_be_written(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskCache, "set", lambda *_, **__: 1 / 0)
    with make_client(OPENAI, server, store) as client, pytest.raises(Exception, match="failed"):
        client.batch([1], Number, ask)
    assert server.batches == []


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GOOGLE])
def test_a_job_that_is_refused_leaves_no_record(model: str, server: BatchServer, store: DiskCache) -> None:
    with make_client(model, server, store) as client:
        with pytest.raises(ConfigurationError):
            client.batch([1], Number, ask, extra_query={"trace": "on"})
        assert run(Shelf(handle_of(store), asynchronous=False).jobs()) == []
        list(client.batch([1], Number, ask, poll_seconds=0).results())
        assert [job.rows for job in run(Shelf(handle_of(store), asynchronous=False).jobs())] == [1]


@pytest.mark.parametrize(
    "keywords",
    [
        {"rows": [{"n": 1}, {"n": 2}], "prompt": "row {{ n }}"},
        {"rows": [{"n": 1}, {"n": 2}], "messages": [{"role": "user", "content": "row {{ n }}"}]},
        {"rows": [{"text": "row 1"}, {"text": "row 2"}]},
    ],
    ids=["prompt", "messages", "text"],
)
def test_rows_are_read_and_asked_about_as_in_a_live_job(
    keywords: dict[str, Any], server: BatchServer, store: DiskCache
) -> None:
    with make_client(OPENAI, server, store) as client:
        job = client.batch(response_model=Number, poll_seconds=0, **keywords)
        assert [row.value for row in job.results()] == [Number(number=1), Number(number=2)]


@pytest.mark.newest_sdks  # pyarrow isn't installed beside the oldest
def test_the_rows_of_a_data_frame_are_asked_about(server: BatchServer, store: DiskCache) -> None:
    table: Any = import_module("pyarrow").table({"text": ["row 1", "row 2"]})
    with make_client(OPENAI, server, store) as client:
        job = client.batch(table, Number, poll_seconds=0)
        assert [row.value for row in job.results()] == [Number(number=1), Number(number=2)]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"concurency": 5}, "unexpected keyword argument 'concurency'"),
        ({"again": "no"}, "again is 'no'"),
        ({"poll_seconds": "3"}, "poll_seconds is a str"),
        ({"rows": "row 1"}, "rows is a str"),
        ({"prompt": [{"role": "user"}]}, "prompt is a list"),
    ],
    ids=["misspelt", "again", "poll_seconds", "rows", "prompt"],
)
def test_what_is_wrong_is_refused_before_anything_is_submitted(
    keywords: dict[str, Any], message: str, is_async: bool, server: BatchServer, store: DiskCache
) -> None:
    async def submit() -> None:
        async with make_client(CLAUDE, server, store, async_client=True) as client:
            await client.batch(**arguments)

    arguments: dict[str, Any] = {"rows": ["row 1"], "response_model": Number, **keywords}
    with pytest.raises(ConfigurationError, match=message):
        if is_async:
            asyncio.run(submit())
        else:
            make_client(CLAUDE, server, store).batch(**arguments)
    assert not server.batches


async def test_an_asynchronous_client_reads_an_asynchronous_source(server: BatchServer, store: DiskCache) -> None:
    async def source() -> AsyncIterator[str]:
        yield "row 1"

    async with make_client(OPENAI, server, store, async_client=True) as client:
        job = await client.batch(source(), Number, poll_seconds=0)
        assert [row.value async for row in job.results()] == [Number(number=1)]


def test_a_row_whose_answer_is_invalid_says_what_it_has_cost(server: BatchServer, store: DiskCache) -> None:
    server.value = {"number": "none"}
    with make_client(OPENAI, server, store) as client:
        job = client.map(["row 1"], Number, batch="always", again="never", poll_seconds=0, on_error="collect")
        (row,) = job
        ledger = client.ledger()
    assert isinstance(row.error, InstructorRetryException), "and it isn't asked for again"
    assert (row.batched, server.live, job.stats.tokens) == (True, [], row.usage.total_tokens)
    assert row.usage.total_tokens
    assert row.cost == job.stats.usd == pytest.approx(ledger.spent.usd) == pytest.approx(ledger.lost.usd)


@pytest.mark.newest_sdks
def test_a_vendor_that_cannot_be_reached_is_named_with_what_to_do(store: DiskCache) -> None:
    client = from_provider(GEMINI, base_url="http://127.0.0.1:9", api_key="none", cache=store)
    with pytest.raises(ProviderError, match=r"Nothing answers at http://127\.0\.0\.1:9.*Check base_url="):
        client.batch(["row 1"], Number)


def test_a_vendor_that_fails_for_a_while_is_asked_again_how_far_a_batch_is(
    server: BatchServer, store: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([503, 429, 408])

    def retrieve(self: Any, batch_id: str) -> Any:
        for status in failures:
            request = httpx2.Request("GET", "http://127.0.0.1")
            raise openai.APIStatusError("busy", response=httpx2.Response(status, request=request), body=None)
        return found(self, batch_id)

    found = openai.resources.Batches.retrieve
    with make_client(OPENAI, server, store) as client:
        job = client.batch(["row 1"], Number, poll_seconds=0)
        monkeypatch.setattr(openai.resources.Batches, "retrieve", retrieve)
        assert [row.value for row in job.results()] == [Number(number=1)]
        failures = iter([401])
        with pytest.raises(ProviderError, match="Check the key"):
            list(client.batch(["row 2"], Number, poll_seconds=0).results())

"""Batches of each vendor against a server that speaks their wire formats, through the real SDKs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from batch_server import BatchServer
from instructor import DiskCache, from_provider
from instructor.batches.job import begin, results
from instructor.providers.batches.steps import Out
from streams import CLAUDE, GEMINI, OPENAI

RESPONSES = "openai/gpt-6-luna"
MODELS = [OPENAI, RESPONSES, CLAUDE, GEMINI]


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
        assert len(server.keys) == len(set(server.keys)) == 3
        reply = client.create_with_reply(response_model=Number, messages=[{"role": "user", "content": "row 2"}])
        assert (reply.value, reply.cached) == (Number(number=2), True)
        assert rows[2].usage == reply.usage
        assert server.live == []


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


@pytest.mark.parametrize("model", [OPENAI, CLAUDE, GEMINI])
def test_a_job_that_is_killed_at_any_step_goes_on_elsewhere_and_submits_no_row_twice(
    model: str, tmp_path: Path
) -> None:
    """After each step the next process begins with nothing but the store."""
    kills, went_on = 0, True
    with BatchServer() as server:
        server.polls = 0
        while went_on:
            kills += 1
            rows = [kills * 10, kills * 10 + 1]
            server.batches.clear()
            with DiskCache(tmp_path) as store, make_client(model, server, store) as client:
                request = client._make_request(Number, {}, poll_seconds=0)
                job = request.of_rows(rows, ask)
                went_on = killed_after(kills, both(begin(job), results(job)))
            with DiskCache(tmp_path) as store, make_client(model, server, store) as client:
                found = list(client.batch(rows, Number, ask, poll_seconds=0).results())
            assert [row.value for row in found] == [Number(number=number) for number in rows]
            assert len(server.keys) == len(set(server.keys)) == 2, f"after {kills} steps"
    assert kills > 15

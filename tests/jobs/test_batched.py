"""`client.map(batch=...)`: the same rows, through the vendor's batch API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from batch_server import EXPIRED, BatchServer
from instructor import AutoCache, DiskCache, Row, from_provider
from instructor.exceptions import ArgumentError, ConfigurationError
from streams import OPENAI


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


def make_client(server: BatchServer, cache: Any, **settings: Any) -> Any:
    return from_provider(OPENAI, base_url=f"{server.address}/v1", api_key="none", cache=cache, **settings)


def check(rows: list[Row[Any]], server: BatchServer) -> None:
    assert [(row.index, row.input, row.value.number) for row in rows] == [(0, 3, 3), (1, 1, 1), (2, 2, 2), (3, 1, 1)]
    assert [(row.batched, row.cached, row.shared) for row in rows] == [(True, False, False)] * 3 + [(True, True, True)]
    assert len(server.keys) == 3
    assert server.live == []


ROWS = {"rows": [3, 1, 2, 1], "response_model": Number, "prompt": "row {{ record }}", "poll_seconds": 0}


@pytest.mark.parametrize("batch", ["always", "auto"])
def test_rows_are_asked_in_a_batch_at_half_the_price(batch: str, server: BatchServer, store: DiskCache):
    with make_client(server, store) as client:
        rows = list(client.map(**ROWS, batch=batch))
        check(rows, server)
        (live,) = client.map(["row 4"], Number)
        assert (rows[0].cost / rows[0].usage.total_tokens) < (live.cost / live.usage.total_tokens)
        assert [row.cached for row in client.map([2], Number, prompt="row {{ record }}")] == [True]


def test_a_hit_says_the_same_of_its_requests_in_a_batch_as_in_a_live_job(server: BatchServer, store: DiskCache):
    with make_client(server, store) as client:
        asked = {"rows": [1], "response_model": Number, "prompt": "row {{ record }}", "progress": False}
        [first] = client.map(**asked)
        assert (first.attempts, first.cached) == (1, False)
        for batch in ("always", "never"):
            [hit] = client.map(**asked, batch=batch)
            assert (hit.cached, hit.attempts, hit.seconds) == (True, 1, first.seconds)


def test_an_asynchronous_job_is_asked_in_a_batch_too(server: BatchServer, store: DiskCache):
    async def run() -> list[Row[Any]]:
        async with make_client(server, store, async_client=True) as client, client.map(**ROWS, batch="auto") as job:
            return [row async for row in job]

    check(asyncio.run(run()), server)


def test_what_was_asked_live_after_a_batch_has_its_full_price(server: BatchServer, store: DiskCache):
    server.script = {1: [{"number": "many"}], 2: [EXPIRED]}
    with make_client(server, store) as client:
        prompt = {"prompt": "row {{ record }}", "progress": False}
        [alone] = client.map([7], Number, **prompt)
        job = client.map([1, 2, 3], Number, batch="always", again="live", poll_seconds=0, **prompt)
        rows = list(job)
        assert [(row.batched, row.attempts, row.cached) for row in rows] == [
            (True, 2, False),
            (False, 1, False),
            (True, 1, False),
        ]
        assert [row.cost for row in rows] == [pytest.approx(factor * alone.cost) for factor in (1.5, 1, 0.5)]
        assert job.stats.usd == pytest.approx(3 * alone.cost)
        assert client.ledger().spent.usd == pytest.approx(4 * alone.cost)


def test_auto_asks_live_where_there_is_no_batch(server: BatchServer):
    with make_client(server, AutoCache()) as client:
        rows = list(client.map(**ROWS, batch="auto"))
        assert [(row.value.number, row.batched) for row in rows] == [(3, False), (1, False), (2, False), (1, False)]
        with pytest.raises(ConfigurationError, match="A batch outlives the process"):
            list(client.map(**ROWS, batch="always"))
        with pytest.raises(ArgumentError, match="batch= is"):
            client.map([1], Number, batch="sometimes")

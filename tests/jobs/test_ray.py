"""`client.map` on Ray; run by `make test-ray`, which installs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instructor import AutoCache, RedisCache, from_provider
from people import Fragile, Person
from servers import Valkey

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Two workers."""
    pytest.importorskip("ray", reason="make test-ray installs it")
    ray: Any = importlib.import_module("ray")
    ray.init(num_cpus=2, include_dashboard=False)
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("named", [False, True])
def test_workers_answer_each_distinct_row_once(named: bool, ray: Any, valkey: Valkey):
    client = from_provider("offline/demo", cache=[AutoCache(), RedisCache(url=valkey.url)], latency=0.005)
    inputs = [f"Anna is {number % 50}." for number in range(200)]
    rows = list(client.map(inputs, Person, engine="ray" if named else ray, concurrency=8))
    assert [row.value for row in rows] == [Person(name="Anna", age=number % 50) for number in range(200)]
    assert client.ledger().spent.count == client.cache.tiers[-1].ledger().spent.count == 50


def test_leaving_early_asks_for_nothing_more(ray: Any, valkey: Valkey):
    client = from_provider("offline/demo", cache=RedisCache(url=valkey.url), latency=0.01)
    with client.map((f"Anna is {number}." for number in range(10_000)), Person, engine=ray) as job:
        next(job)
    ray.get([ray.remote(lambda: None).remote() for _ in range(4)])  # which come after what the workers have
    assert client.ledger().spent.count == client.cache.ledger().spent.count < 200, "what was under way is counted"


def test_a_worker_that_dies_costs_no_row_twice(ray: Any, valkey: Valkey, tmp_path: Path):
    client = from_provider("offline/demo", cache=RedisCache(url=valkey.url, lease=0.5))
    texts = [f"Anna is {number}." for number in range(64)]
    context = {"mark": str(tmp_path / "died"), "age": 40}
    rows = list(client.map(texts, Fragile, context=context, engine=ray, concurrency=1))
    assert (tmp_path / "died").exists()
    assert [row.value.age for row in rows] == list(range(64))
    assert client.cache.ledger().spent.count == 64

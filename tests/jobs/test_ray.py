"""`client.map` on Ray; run by `make test-ray`, which installs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from instructor import AutoCache, RedisCache, from_provider
from people import Person
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

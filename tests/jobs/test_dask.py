"""`client.map` on a cluster of Dask: worker processes of its own, which share a Valkey. What needs no cluster is in `test_spread`."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from instructor import AutoCache, Budget, RedisCache, from_provider
from instructor.exceptions import BudgetExceeded, EngineError
from people import Fragile, Person, sign_and_ask
from servers import Valkey

if TYPE_CHECKING:
    from distributed import Client

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    """Two worker processes with one thread each."""
    before = dict(copyreg.dispatch_table)  # Dask changes for the whole process how errors are pickled
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(before)


@pytest.fixture
def dask(running: Client) -> Client:
    """Both of them, also after the test in which one dies."""
    running.wait_for_workers(2, timeout=60)
    return running


def make(valkey: Valkey, lease: float = 5.0, **options: Any) -> Any:
    return from_provider("offline/demo", cache=[AutoCache(), RedisCache(url=valkey.url, lease=lease)], **options)


def test_workers_answer_each_distinct_row_once(dask: Client, valkey: Valkey):
    client = make(valkey, latency=0.005)
    inputs = [f"Anna is {number % 50}." for number in range(200)]
    rows = list(client.map(inputs, Person, engine=dask, concurrency=8))
    assert [row.value for row in rows] == [Person(name="Anna", age=number % 50) for number in range(200)]
    assert client.ledger().spent.count == client.cache.tiers[-1].ledger().spent.count == 50
    assert sum(not row.cached for row in rows) == 50
    assert client.create(Person, [{"role": "user", "content": inputs[7]}], cache_mode="replay").age == 7


def test_an_error_of_many_rows_comes_back_whole(dask: Client, valkey: Valkey):
    client = make(valkey, latency=0.001)
    inputs = [f"Anna is {number}." for number in range(300)]
    rows = list(client.map(inputs, Person, engine=dask, budget=Budget(tokens=500), on_error="collect"))
    assert {type(row.error) for row in rows} == {BudgetExceeded, type(None)}


def test_both_workers_have_rows_to_do(dask: Client, valkey: Valkey, tmp_path: Path):
    rows = [{"text": f"Anna is {number}.", "folder": str(tmp_path)} for number in range(64)]
    assert len(list(make(valkey).map(rows, Person, prompt=sign_and_ask, engine=dask))) == 64
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_that_dies_costs_no_row_twice(dask: Client, valkey: Valkey, tmp_path: Path):
    client = make(valkey, lease=0.5)  # the row that was under way waits for the dead worker's
    texts = [f"Anna is {number}." for number in range(64)]
    context = {"mark": str(tmp_path / "died"), "age": 40}
    rows = list(client.map(texts, Fragile, context=context, engine=dask, concurrency=1))
    assert (tmp_path / "died").exists()
    assert [row.value.age for row in rows] == list(range(64))
    spent = client.cache.tiers[-1].ledger().by("response_model")["Fragile"].spent  # of this test alone
    assert spent.count <= 64 + 1, "the row that was under way"


def test_a_scheduler_that_ends_ends_the_job_and_the_next_one_pays_for_the_rest(valkey: Valkey):
    client = make(valkey, latency=0.002)
    texts = [f"Anna is {number}." for number in range(300)]
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        dask = Client(cluster, set_as_default=False)
        job = client.map(texts, Person, engine=dask, concurrency=4)
        next(job)
        cluster.close()
        with pytest.raises(EngineError, match="run the job again"):
            list(job)
        dask.close()
    rows = list(client.map(texts, Person))
    assert [row.value.age for row in rows] == list(range(300))
    assert client.cache.tiers[-1].ledger().spent.count <= 300 + 4

"""A batch of 100,000 rows whose process is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from batch_server import BatchServer
from instructor import DiskCache, from_provider
from streams import OPENAI

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]
ROWS = 100_000


class Number(BaseModel):
    number: int


def ask(row: int) -> str:
    return f"row {row}"


def work(address: str, folder: Path) -> None:
    store = DiskCache(folder, size_limit=None)
    client = from_provider(OPENAI, base_url=f"{address}/v1", api_key="none", cache=store)
    rows = list(client.batch(range(ROWS), Number, ask, poll_seconds=0).results())
    assert [row.value.number for row in rows if row.value is not None] == list(range(ROWS))
    assert [row.index for row in rows] == list(range(ROWS))
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it kills forked processes")
def test_a_hundred_thousand_rows_are_asked_once_each_however_often_the_process_is_killed(tmp_path: Path):
    chance = random.Random(7)
    with BatchServer() as server:
        server.polls = 0
        for kill in range(8):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    work(server.address, tmp_path)
                    status = 0
                finally:
                    os._exit(status)
            if kill < 7:
                time.sleep(chance.uniform(5, 60))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        assert status == 0
        assert len(server.keys) == len(set(server.keys)) == ROWS

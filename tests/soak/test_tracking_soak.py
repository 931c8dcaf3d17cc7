"""Memory before Redis under load: links are cut and silenced without end, and many processes hear of each change."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis.sentinel

from forks import Template
from instructor.cache import RedisCache, redis_link
from instructor.cache.redis_link import ANSWER_SECONDS, CONNECT_SECONDS
from instructor.exceptions import InstructorRetryException
from servers import Relay, Sentinel, Valkey
from worlds import MESSAGES, Process, User, both, until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

CUTS, CHANGES = 200, 300
LONGEST_LAG = 10.0
"""Seconds. It is below one on a machine that isn't busy, as `cache/test_redis_link.py` says without a clock."""


@pytest.fixture(autouse=True)
def brisk(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are tried as often as by default: how long one may be dead is what is tested."""
    monkeypatch.setattr(redis_link, "ANSWER_SECONDS", ANSWER_SECONDS)
    monkeypatch.setattr(redis_link, "CONNECT_SECONDS", CONNECT_SECONDS)


class Truth:
    """What the right answer is now, and when each was known to all."""

    def __init__(self) -> None:
        self.number = 0
        self.acknowledged: list[float] = []  # when the write of each number was over

    def write(self, writer: Process) -> None:
        """Make it another one, and let the server know."""
        self.number += 1
        writer.ask(cache_mode="refresh")
        self.acknowledged.append(time.monotonic())

    def lag_of(self, began: float, number: int) -> float:
        """How long before a read began that had this number the next one had been written."""
        return began - self.acknowledged[number] if number < len(self.acknowledged) else 0.0


def refuse() -> Any:
    """What a provider does that must not be asked."""
    raise ConnectionError


@both
def test_no_read_stays_stale_while_links_are_cut(asynchronous: bool, valkey: Valkey, relay: Relay) -> None:
    truth, reads, is_over = Truth(), [], threading.Event()
    with RedisCache(port=relay.port) as near, RedisCache(port=valkey.port) as far:
        near.pause = 0.05
        reader, writer = Process(near, asynchronous), Process(far)
        writer.world.reply = lambda: {"name": str(truth.number)}
        reader.world.reply = refuse  # or what it is answered might be written over something newer
        writer.ask()

        async def read_all() -> None:
            while not is_over.is_set():
                began = time.monotonic()
                with contextlib.suppress(InstructorRetryException):
                    answer: Any = reader.world.client.create(User, MESSAGES)
                    reads.append((began, int((await answer if asynchronous else answer).name)))
                await asyncio.sleep(0.0002)

        thread = threading.Thread(target=lambda: asyncio.run(read_all()))
        thread.start()
        chance = random.Random(7)
        for number in range(CUTS):
            if chance.random() < 0.1:
                relay.silence()
                time.sleep(chance.random())
            relay.cut()
            relay.go_on()
            for _ in range(chance.randrange(4)):
                truth.write(writer)
            time.sleep(chance.random() / 20)
            if number % 100 == 99:  # a link that is dead, though nobody closes it
                until(partial(is_served_from_memory, reader))
                relay.silence()
                truth.write(writer)
                time.sleep(1.2 * LONGEST_LAG)
                relay.go_on()
        until(partial(is_served_from_memory, reader))
        is_over.set()
        thread.join()
    lags = sorted(truth.lag_of(began, number) for began, number in reads)
    assert lags[-1] < LONGEST_LAG


def is_served_from_memory(reader: Process) -> bool:
    """Whether the thread that reads has just been served from memory."""
    hits = reader.memory.stats().hits
    time.sleep(0.01)
    return reader.memory.stats().hits > hits


def write(writer: Process, before: int) -> bool:
    """Write anew; return whether the server took it."""
    writer.ask(cache_mode="refresh")
    return writer.store.stats().writes > before


def read(reader: Process, right: str, seen: list[str]) -> bool:
    """Read once; return whether the last 20 reads have been answered rightly.

    A Sentinel takes a new primary for gone until it is linked to it, which it tries once a second. redis-py finds no
    primary then, so the call is a miss, and the provider refuses.
    """
    with contextlib.suppress(InstructorRetryException):
        seen.append(reader.ask())
    return seen[-20:] == [right] * 20


def test_no_read_stays_stale_while_a_sentinel_fails_over(valkey: Valkey) -> None:
    with contextlib.ExitStack() as stack:
        servers = [Valkey(), Valkey()]
        sentinel = Sentinel(servers[0])
        sentinel.command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "300", "failover-timeout", "2000")
        for server in (*servers, sentinel):
            stack.callback(server.close)
        servers[1].command("REPLICAOF", "127.0.0.1", str(servers[0].port))
        until(lambda: b"slave0" in servers[0].command("INFO", "replication"))

        def make() -> Process:
            address = [("127.0.0.1", sentinel.port)]
            client = redis.sentinel.Sentinel(address).master_for("mymaster", socket_timeout=1.0)
            stack.callback(client.close)
            store = stack.enter_context(RedisCache(client=client))
            store.pause = 0.05
            return Process(store)

        reader, writer = make(), make()
        truth = Truth()
        writer.world.reply = lambda: {"name": str(truth.number)}
        reader.world.reply = refuse
        writer.warm()
        reader.warm()
        until(lambda: b"num-slaves\r\n$1\r\n1" in sentinel.command("SENTINEL", "MASTER", "mymaster"))
        servers[0].stop()
        where = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
        until(lambda: str(servers[1].port).encode() in sentinel.command(*where))
        for _ in range(5):
            truth.number += 1
            before = writer.store.stats().writes
            until(partial(write, writer, before))
            written, seen = time.monotonic(), list[str]()
            until(partial(read, reader, str(truth.number), seen))
            assert time.monotonic() - written < LONGEST_LAG
            assert seen == sorted(seen), "what is right stays right"
        until(lambda: read(reader, str(truth.number), seen) and len(reader.memory) == 1)


READER = """
import sys, time
sys.path.insert(0, {folder!r})
from instructor.cache import RedisCache
from instructor.exceptions import InstructorRetryException
from worlds import Process

def refuse():
    raise ConnectionError

with RedisCache(port={port}, timeout=30.0) as store:
    reader = Process(store)
    reader.world.reply = refuse
    reader.warm()
    before = None
    while before != "end":
        try:
            seen = reader.ask()
        except InstructorRetryException:
            seen = "gone"
        if seen != before:
            print(seen, time.monotonic(), flush=True)
            before = seen
        time.sleep(0.0005)
"""


def test_eight_processes_see_each_overwrite_and_each_deletion(
    valkey: Valkey, template: Template, tmp_path: Path
) -> None:
    program, answers = tmp_path / "reader.py", (str(number) for number in itertools.count())
    program.write_text(READER.format(folder=str(Path(__file__).parents[1]), port=valkey.port))
    written: list[tuple[str, float]] = []
    with RedisCache(port=valkey.port) as store:
        writer = Process(store)
        writer.world.reply = lambda: {"name": next(answers)}
        key_of = next(iter(writer.warm() and writer.memory._held))
        readers = [template.start(program, cwd=tmp_path) for _ in range(8)]
        for reader in readers:
            assert reader.stdout is not None
            reader.stdout.readline()
        for number in range(CHANGES):
            if number % 3 == 2:
                store.delete(key_of)
                written.append(("gone", time.monotonic()))
            else:
                name = writer.ask(cache_mode="refresh")
                written.append((name, time.monotonic()))
            time.sleep(0.02)
        writer.world.reply = lambda: {"name": "end"}
        writer.ask(cache_mode="refresh")
        seen = [[line.split() for line in reader.communicate(timeout=60)[0].splitlines()] for reader in readers]
    lags = sorted(lag for lines in seen for lag in find_lags(written, [(name, float(at)) for name, at in lines]))
    assert len(lags) == 8 * CHANGES
    assert lags[-1] < LONGEST_LAG, lags[-20:]


def find_lags(written: list[tuple[str, float]], seen: list[tuple[str, float]]) -> Iterator[float]:
    """How long after each change a reader first saw it, or a later one."""
    at = len(seen) - 1
    for number in reversed(range(len(written))):
        name, over = written[number]
        latest = at
        while latest >= 0 and seen[latest][0] != name:
            latest -= 1
        at = latest if latest >= 0 else at
        yield seen[at][1] - over

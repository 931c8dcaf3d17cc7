"""Many calls at once with the real client over a scripted provider, on every kind of store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from instructor import AsyncInstructor, AutoCache, BaseCache, DiskCache, Instructor, Mode, RedisCache
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT


class Answer(BaseModel):
    text: str


class UsersStore(BaseCache):
    """A plain store of a user's, which takes a moment."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}

    def get(self, key: str) -> Any:
        time.sleep(0.0005)
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        time.sleep(0.0005)
        self.data[key] = value


class UsersAsyncStore(UsersStore):
    """The same with coroutines."""

    async def get(self, key: str) -> Any:
        await asyncio.sleep(0.0005)
        return self.data.get(key)

    async def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        await asyncio.sleep(0.0005)
        self.data[key] = value


STORES: dict[str, Callable[[Path, int], BaseCache]] = {
    "AutoCache": lambda folder, port: AutoCache(maxsize=10_000),
    "DiskCache": lambda folder, port: DiskCache(folder / "cache"),
    "RedisCache": lambda folder, port: RedisCache(port=port),
    "UsersStore": lambda folder, port: UsersStore(),
    "UsersAsyncStore": lambda folder, port: UsersAsyncStore(),
}


@dataclass(frozen=True)
class Outcome:
    """What many calls came to.

    Attributes:
        requests: How many the provider got.
        events: How often each event of the cache came.
        wrong: Answers that are not those to their questions.
    """

    requests: int
    events: Counter[str]
    wrong: int


def _echo(request: Any) -> dict[str, str]:
    return {"text": request["messages"][-1]["content"]}


def _make_client(kind: Any, store: BaseCache) -> tuple[Any, ScriptedAdapter, Counter[str]]:
    adapter = ScriptedAdapter(_echo, asynchronous=kind is AsyncInstructor)
    client = kind(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=store)
    events: Counter[str] = Counter()
    lock = threading.Lock()

    def count(name: str) -> None:
        with lock:
            events[name] += 1

    for name in ("cache:hit", "cache:miss", "cache:write", "cache:error"):
        client.on(name, lambda _, name=name: count(name))
    return client, adapter, events


def call_from_tasks(store: BaseCache, number: int, busy_seconds: float = 0.0) -> Outcome:
    """Ask so many questions at once from tasks of one loop; compute for so long with each answer."""
    client, adapter, events = _make_client(AsyncInstructor, store)

    async def ask(question: str) -> bool:
        answer = await client.create(Answer, [{"role": "user", "content": question}])
        if busy_seconds:
            time.sleep(busy_seconds)  # noqa: ASYNC251 - what keeps the loop busy
        return bool(answer.text == question)

    async def ask_all() -> int:
        return (await asyncio.gather(*(ask(f"question {at}") for at in range(number)))).count(False)

    wrong = asyncio.run(ask_all())
    return Outcome(len(adapter.requests), events, wrong)


def call_from_threads(store: BaseCache, number: int) -> Outcome:
    """Ask so many questions at once, each from a thread of its own."""
    client, adapter, events = _make_client(Instructor, store)
    wrong: list[Any] = []
    start = threading.Event()

    def ask(question: str) -> None:
        start.wait()
        try:
            answer = client.create(Answer, [{"role": "user", "content": question}])
            if answer.text != question:
                wrong.append(answer)
        except Exception as error:  # noqa: BLE001 - counted, and seen by the test
            wrong.append(error)

    with _small_stacks():
        threads = [threading.Thread(target=ask, args=(f"question {at}",)) for at in range(number)]
        for thread in threads:
            thread.start()
    start.set()
    for thread in threads:
        thread.join()
    return Outcome(len(adapter.requests), events, len(wrong))


@contextmanager
def _small_stacks() -> Iterator[None]:
    """Let thousands of threads fit into a small machine."""
    before = threading.stack_size(512 * 1024)
    try:
        yield
    finally:
        threading.stack_size(before)


def check(call: Callable[..., Outcome], store: BaseCache, number: int, **options: Any) -> None:
    """Cold, every paid answer is stored; warm, every call is a hit; no error at all."""
    cold = call(store, number, **options)
    assert cold == Outcome(number, Counter({"cache:miss": number, "cache:write": number}), 0)
    warm = call(store, number, **options)
    assert warm == Outcome(0, Counter({"cache:hit": number}), 0)
    assert store.stats().errors == 0

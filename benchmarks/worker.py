"""The process that measures one side. It runs in our environment and in upstream's, line for line the same.

It is told what to do in lines of JSON on standard input, and answers each with a line of JSON: so that both sides
can be measured in turns. Usage: ``python worker.py http://127.0.0.1:PORT NAME``; NAME begins the tests' names.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from itertools import repeat
from typing import Any

from cases import CASES, Case, make_client, make_store

import instructor

PACKAGES = ("instructor", "pydantic", "pydantic-core", "openai", "orjson", "redis", "diskcache")


class WrongAnswerError(Exception):
    """A side gave something that the server did not say."""


class Worker:
    """What one side can be told to do: every public method."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._runner = asyncio.Runner()
        self._timers: dict[str, Callable[[int], int]] = {}
        self._clients: dict[str, Any] = {}
        self._misses: Misses | None = None
        self._bare: Callable[[int], int] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="bench-")

    def describe(self) -> dict[str, Any]:
        """Say what is measured here."""
        return {
            "python": sys.version.split()[0],
            "path": instructor.__file__,
            "version": instructor.__version__,
            "packages": {name: version for name in PACKAGES if (version := find_version(name))},
        }

    def prepare(self, case: str, port: int = 0) -> None:
        """Ask once, which is the one request, and make the timer of a case."""
        what = CASES[case]
        store = make_store(what.store, f"{self._directory.name}/{case}", port)
        client = self._clients[case] = make_client(self._url(case), store, what.asynchronous)
        if what.asynchronous:
            check(self._runner.run(client.create(messages=words(what.prompt), response_model=what.model)))
            self._timers[case] = lambda calls: self._runner.run(time_async_calls(client, what, calls))
        else:
            check(client.create(messages=words(what.prompt), response_model=what.model))
            self._timers[case] = lambda calls: time_calls(client, what, calls)

    def measure(self, case: str, calls: int, batches: int) -> float:
        """Nanoseconds for a call: the median of some batches.

        A batch is to take about half a millisecond: so short that a busy system lets most of them through in one go.
        """
        timer = self._timers[case]
        timer(calls)  # the other side has just used the processor's caches
        return statistics.median(timer(calls) / calls for _ in range(batches))

    def measure_redis(self, port: int, batches: int) -> list[tuple[float, float]]:
        """Nanoseconds of a bare GET and of a hit on the same bytes, batch by batch in turns."""
        if self._bare is None:
            self._bare = make_bare_get(port)
        calls, timer = 10, self._timers["redis"]
        timer(calls)
        return [(self._bare(calls) / calls, timer(calls) / calls) for _ in range(batches)]

    def measure_misses(self, pairs: int) -> list[tuple[int, int]]:
        """Nanoseconds of the bare SDK's call and of ours, one right after the other, each with a new prompt."""
        if self._misses is None:
            self._misses = Misses(self._url("miss"))
            self._misses.measure(20)
        return self._misses.measure(pairs)

    def measure_threads(self, case: str | None, threads: int, calls: int) -> tuple[int, int]:
        """Nanoseconds by the clock, and of the processor, for `calls` hits in all, made by some threads.

        Without a case the threads look into a dict instead: so much does Python itself take for its threads.
        """
        barrier = threading.Barrier(threads + 1)

        def hit() -> None:
            barrier.wait()
            if case is None:
                look_up(calls // threads)
            else:
                time_calls(self._clients[case], CASES[case], calls // threads)

        workers = [threading.Thread(target=hit) for _ in range(threads)]
        for worker in workers:
            worker.start()
        barrier.wait()
        started, used = time.perf_counter_ns(), time.process_time_ns()
        for worker in workers:
            worker.join()
        return time.perf_counter_ns() - started, time.process_time_ns() - used

    def ask_together(self, test: str, threads: int, tasks: int, delay: int) -> dict[str, Any]:
        """Ask the same thing at once from threads and tasks; return how many got an answer of their own, and seconds."""
        store = make_store("memory", "", 0)
        url = self._url(test, delay)
        client, async_client = make_client(url, store), make_client(url, store, asynchronous=True)
        what = CASES["together"]
        barrier = threading.Barrier(threads + 1)
        answers: list[Any] = []

        def ask() -> None:
            barrier.wait()
            answers.append(client.create(messages=words(what.prompt), response_model=what.model))

        async def ask_tasks() -> None:
            calls = (async_client.create(messages=words(what.prompt), response_model=what.model) for _ in range(tasks))
            answers.extend(await asyncio.gather(*calls))

        workers = [threading.Thread(target=ask) for _ in range(threads)]
        for worker in workers:
            worker.start()
        barrier.wait()
        started = time.perf_counter()
        self._runner.run(ask_tasks())
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - started
        for answer in answers:
            check(answer)
        return {"answers": len({id(answer) for answer in answers}), "seconds": seconds}

    def _url(self, test: str, delay: int = 0) -> str:
        return f"{self._address}/{self._name}-{test}/{delay}/v1"


class Misses:
    """The bare SDK and a client with an empty store, asking the same server in turns over kept connections."""

    def __init__(self, url: str) -> None:
        import openai

        what = CASES["miss"]
        self._model = what.model
        self._bare = openai.OpenAI(base_url=url, api_key="none")
        self._client = make_client(url, make_store("memory", "", 0))
        self._said: dict[str, Any] = {}
        self._numbers = itertools.count()
        # The bare call sends what the client sends, tools and all; only the words change.
        watched = make_client(url, None)
        watched.on("completion:kwargs", lambda **request: self._said.update(request))
        check(watched.create(messages=words(what.prompt), response_model=what.model))

    def measure(self, pairs: int) -> list[tuple[int, int]]:
        taken = []
        for _ in range(pairs):
            number = next(self._numbers)
            if number % 2:
                bare = self._time_bare(f"bare {number}")
                full = self._time_client(f"full {number}")
            else:
                full = self._time_client(f"full {number}")
                bare = self._time_bare(f"bare {number}")
            taken.append((bare, full))
        return taken

    def _time_bare(self, prompt: str) -> int:
        request = {**self._said, "messages": words(prompt)}
        started = time.perf_counter_ns()
        self._bare.chat.completions.create(**request)
        return time.perf_counter_ns() - started

    def _time_client(self, prompt: str) -> int:
        started = time.perf_counter_ns()
        answer = self._client.create(messages=words(prompt), response_model=self._model)
        taken = time.perf_counter_ns() - started
        check(answer)
        return taken


def words(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def time_calls(client: Any, case: Case, calls: int) -> int:
    """Nanoseconds for a number of calls, written as a user writes them."""
    prompt, model = case.prompt, case.model
    started = time.perf_counter_ns()
    for _ in repeat(None, calls):
        client.create(messages=[{"role": "user", "content": prompt}], response_model=model)
    return time.perf_counter_ns() - started


async def time_async_calls(client: Any, case: Case, calls: int) -> int:
    prompt, model = case.prompt, case.model
    started = time.perf_counter_ns()
    for _ in repeat(None, calls):
        await client.create(messages=[{"role": "user", "content": prompt}], response_model=model)
    return time.perf_counter_ns() - started


def look_up(calls: int) -> None:
    """Keep the interpreter busy for about as long as our hits do, without a lock."""
    known = {"Hi.": "Anna"}
    for _ in repeat(None, calls * 64):
        known.get("Hi.")


def make_bare_get(port: int) -> Callable[[int], int]:
    import redis

    client = redis.Redis(port=port)
    (key,) = client.scan_iter()

    def time_get(calls: int) -> int:
        started = time.perf_counter_ns()
        for _ in repeat(None, calls):
            client.get(key)
        return time.perf_counter_ns() - started

    return time_get


def check(answer: Any) -> None:
    """Compare an answer with what the server says. Upstream gives an instance of a subclass that it makes."""
    from server import ANSWERS

    model = next((case.model for case in CASES.values() if isinstance(answer, case.model)), None)
    if model is None or answer.model_dump() != model.model_validate(ANSWERS[model.__name__]).model_dump():
        raise WrongAnswerError(f"got {answer!r}")


def find_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not stand among the replies
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"result": getattr(worker, command.pop("do"))(**command)}
        except Exception:  # noqa: BLE001 - who asked decides what a failure means
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()

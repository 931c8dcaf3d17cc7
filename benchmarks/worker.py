"""The process that measures one side. It runs in our environment and in upstream's, line for line the same.

It reads commands as lines of JSON from standard input and answers each with a line of JSON, so that both sides are measured
in turns. Usage: ``python worker.py http://127.0.0.1:PORT NAME SHORT``; NAME begins the names of the tests.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import gc
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
from pathlib import Path
from typing import Any, Literal

from cases import CASES, B, Case, Stock, User, Wide

import instructor
from instructor.cache import AutoCache, DiskCache

PACKAGES = ("instructor", "pydantic", "pydantic-core", "openai", "orjson", "redis", "diskcache")
NAMESPACE = "bench"
"""Passed to both sides: without it upstream's disk cache never hits in another process."""
Timer = Callable[[int], tuple[float, float]]
"""Makes a number of calls; returns nanoseconds by the clock and of the processor, for each."""


def clock(calls: int, run: Callable[[], Any]) -> tuple[float, float]:
    """Nanoseconds by the clock, and of the processor, for each of some calls."""
    started, used = time.perf_counter_ns(), time.process_time_ns()
    run()
    return (time.perf_counter_ns() - started) / calls, (time.process_time_ns() - used) / calls


class Setup:
    """What the statements of one case know, and its timers."""

    def __init__(self, case: Case, address: str, folder: str, short: bool, redis_port: int) -> None:
        self.case, self._address, self._folder, self._redis_port = case, address, folder, redis_port
        self.runner = asyncio.Runner() if case.asynchronous else None
        self.store = self.make_store(case.store)
        self.client = self.make_client(self.store)
        count = case.count_prompts(short)
        prompts = [f"{number:07d}".ljust(case.size, "x") if count > 1 else "x" * case.size for number in range(count)]
        if case.chunk:
            prompts = [f"{case.answer} {case.chunk}"]  # the server streams what the prompt asks for
        numbers = (f"new {number}" for number in itertools.count())
        self.names: dict[str, Any] = {
            "User": User, "B": B, "Wide": Wide, "Stock": Stock, "Literal": Literal, "instructor": instructor, "client": self.client,
            "create": self.client.create, "make_store": self.make_store, "spy_on_sdk": self.spy_on_sdk,
            "make_client": self.make_client, "find_redis_key": self.find_redis_key, "ping_redis": self.ping_redis,
            "drain_canned": drain_canned,
             "read_data": read_data, "repeat": itertools.repeat, "fill": fill, "fill_redis": self.fill_redis,
             "make_change": self.make_change, "make_extract": self.make_extract, "make_entry": make_entry, "record_cassette": self.record_cassette,
             "store": self.store, "count": count,
            "prompt": prompts[0], "prompts": numbers if case.misses else itertools.cycle(prompts),
        }  # fmt: skip
        exec(case.prepare, self.names)
        self.call = self.compile(case.call)
        self.base = self.compile(case.base) if case.base else self.call
        self.call(count)  # the misses that fill the store
        if case.provider == "server" and not self.runner:  # upstream gives an instance of a subclass that it makes
            answer = self.client.create(messages=[{"role": "user", "content": "xxx"}], response_model=User)
            if answer.model_dump() != {"name": "Anna"}:
                raise RuntimeError(f"{case.name}: got {answer!r}")

    def make_store(self, kind: str | None, **more: Any) -> Any:
        """Make an empty store."""
        if kind == "redis":
            from instructor.cache import RedisCache

            return RedisCache(port=self._redis_port, **more)
        if kind == "disk":
            return DiskCache(directory=tempfile.mkdtemp(dir=self._folder), **more)
        return AutoCache(maxsize=max(1_000, 2 * self.case.prompts)) if kind else None

    def make_client(self, store: Any) -> Any:
        """Make a client, with the same arguments on both sides."""
        more = {
            "cache": store,
            "cache_namespace": NAMESPACE,
            "async_client": self.case.asynchronous,
            **self.case.options,
        }
        if self.case.provider == "scripted":
            content: Any = [{"name": "Anna"}] * self.case.items or {"name": "Anna".ljust(self.case.answer, "x")}
            return make_scripted_client(content, store)
        if self.case.provider == "offline":
            return instructor.from_provider("offline/bench", **more)
        return instructor.from_provider("openai/gpt-4.1-mini", base_url=self._address, api_key="none", **more)

    def compile(self, statement: str) -> Timer:
        """Make the timer of a statement, which stands in the loop as a user writes it."""
        wait, prefix = ("await ", "async ") if self.runner else ("", "")
        code = f"{prefix}def loop(calls):\n for _ in repeat(None, calls):\n  {wait}{statement}"
        exec(code, self.names)
        loop = self.names.pop("loop")
        run = (lambda calls: self.runner.run(loop(calls))) if self.runner else loop
        return lambda calls: clock(calls, lambda: run(calls))

    def share(self, calls: int) -> tuple[float, float]:
        """The timer of calls that some threads share; they begin together."""
        barrier = threading.Barrier(self.case.threads + 1)
        target = lambda: (barrier.wait(), self.call(calls // self.case.threads))  # noqa: E731 - a thread's two steps
        threads = [threading.Thread(target=target) for _ in range(self.case.threads)]
        for thread in threads:
            thread.start()
        barrier.wait()
        return clock(calls, lambda: [thread.join() for thread in threads])

    def spy_on_sdk(self, call: str = "") -> tuple[Callable[..., Any], dict[str, Any]]:
        """The bare SDK's call, and the request that this side sends by it: for that of the case unless another is passed."""
        import openai

        request: dict[str, Any] = {}
        watched = self.make_client(None)
        watched.on("completion:kwargs", lambda **sent: request.update(sent))
        exec(call or self.case.call, self.names | {"client": watched, "create": watched.create})
        return openai.OpenAI(base_url=self._address, api_key="none").chat.completions.create, request

    def find_redis_key(self) -> tuple[Callable[[Any], Any], Any]:
        """A bare GET, and the key of the only entry; beside it stands that of its lease."""
        import redis

        self.client.create(messages=[{"role": "user", "content": "xxx"}], response_model=User)
        bare = redis.Redis(port=self._redis_port)
        return bare.get, next(key for key in bare.scan_iter() if b"{" not in key)

    def ping_redis(self) -> Callable[[], Any]:
        """One trip to the Redis server; none without one."""
        import redis

        return redis.Redis(port=self._redis_port).ping

    def fill_redis(self, count: int) -> tuple[Any, list[str]]:
        """A store in Redis, and the keys of texts of 600 bytes in it."""
        store, keys = self.make_store("redis"), [f"{number:064x}" for number in range(count)]
        for key in keys:
            store.set(key, "x" * 600)
        return store, keys

    def make_change(self) -> Callable[[str], None]:
        """What stores a text in Redis, as another process does, and waits until it is gone from this one's memory."""
        from instructor.cache.entry import Entry, make_origin

        memory, near, far = self.make_store("memory"), self.make_store("redis"), self.make_store("redis")
        watch = near.watch(memory)

        def change(key: str) -> None:
            since = watch.note()
            while not watch.fill(Entry(key, (), b"x", make_origin("p", "m"), 0.0), since):
                time.sleep(0.0001)
                since = watch.note()
            far.set(key, "text")
            while key in memory:
                time.sleep(0)

        return change

    def make_extract(self) -> Callable[[int], None]:
        """What runs the command over so many new records, in this process, and stores their answers in a directory."""
        from instructor.cli import main

        numbers, folder = itertools.count(), Path(tempfile.mkdtemp(dir=self._folder))
        question = ["--response-model", "cases:User", "--model", "openai/gpt-4.1-mini", "--base-url", self._address]
        place = ["--out", str(folder / "out.jsonl"), "--cache", str(folder / "cache"), "--concurrency", "16"]
        os.environ["OPENAI_API_KEY"] = "none"

        def extract(count: int) -> None:
            (folder / "in.txt").write_text("".join(f"record {next(numbers)}\n" for _ in range(count)))
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
                try:
                    main(["extract", str(folder / "in.txt"), *question, *place])
                except SystemExit as end:
                    if end.code:
                        raise RuntimeError(f"instructor extract ended with {end.code}") from end

        return extract

    def record_cassette(self, count: int) -> Callable[[], None]:
        """What replays so many answers of a cassette that it opens, and asks for none."""
        from instructor.cache import CassetteCache

        path = Path(tempfile.mkdtemp(dir=self._folder)) / "answers.jsonl"

        def ask(mode: Any) -> None:
            client = self.make_client(CassetteCache(path))
            for number in range(count):
                client.create(User, [{"role": "user", "content": f"{number}"}], cache_mode=mode)

        ask("use")
        return lambda: ask("replay")

    def count_misses(self) -> int:
        """How many calls found nothing in the cache. Upstream doesn't count them; the server counts its requests."""
        return self.client.cache_stats().misses if hasattr(self.client, "cache_stats") else 0


class Worker:
    """What one side can be asked to do: every public method."""

    def __init__(self, address: str, name: str, short: str) -> None:
        self._address, self._name, self._short = address, name, short == "1"
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._setup: Setup | None = None

    def describe(self) -> dict[str, Any]:
        """Say what is measured here."""
        installed = {package.name: package.version for package in importlib.metadata.distributions()}
        versions = {name: installed[name] for name in PACKAGES if name in installed}
        return {"path": instructor.__file__, "packages": {**versions, "instructor": instructor.__version__}}

    def prepare(self, name: str, redis_port: int = 0) -> None:
        """Make the client of a case and fill its store; forget the case before."""
        self._setup = None
        gc.collect()
        case = next(case for case in CASES if case.name == name)
        address = f"{self._address}/{self._name}-{name}/v1"
        self._setup = Setup(case, address, self._folder.name, self._short, redis_port)

    def measure(self, calls: int) -> dict[str, list[float]]:
        """Nanoseconds by the clock, and of the processor, for one call, and for the base: the medians of some batches."""
        assert self._setup
        setup, case = self._setup, self._setup.case
        call, base = (setup.share if case.threads else setup.call), setup.base
        before = setup.count_misses()
        timers = {"call": call, "base": base} if case.compare else {"call": call}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in timers}
        if not case.misses:
            call(calls)  # the other side has just used the processor's caches
        for _ in range(case.batches):
            for role, timer in timers.items():
                taken[role].append(timer(calls))
            timers = dict(reversed(timers.items()))  # in changing order: a drift of the machine touches both alike
        if not case.misses and setup.count_misses() != before:
            raise RuntimeError(f"{case.name}: {setup.count_misses() - before} calls that should be hits were misses")
        return {role: [statistics.median(clock) for clock in zip(*both, strict=True)] for role, both in taken.items()}

    def weigh(self, kind: str, entries: int, calls: int) -> dict[str, float]:
        """Fill a store in memory; return a hit's nanoseconds and an entry's own bytes: beyond its texts and the prompt's."""
        sizes = {"AutoCache": {"maxsize": entries}, "MemoryCache": {"max_entries": entries, "max_bytes": None}}
        store = getattr(instructor.cache, kind)(**sizes[kind])
        client = make_scripted_client({"name": "Anna"}, store)
        adapter, texts, before = client.client, 0, read_memory()
        for number in range(entries):
            prompt = f"{number:07d}"
            _, completion = client.create_with_completion(User, [{"role": "user", "content": prompt}])
            if not number:
                texts = len(adapter.dump(completion)) + len('{"name":"Anna"}') + len(prompt)
            adapter.requests.clear()
        gc.collect()
        own = (read_memory() - before) / entries - texts
        prompts = (f"{number * 7919 % entries:07d}" for number in itertools.count())
        hit = lambda: client.create(User, [{"role": "user", "content": next(prompts)}])  # noqa: E731
        taken = statistics.median(clock(100, lambda: [hit() for _ in range(100)])[0] for _ in range(calls // 100))
        if adapter.requests:
            raise RuntimeError(f"{len(adapter.requests)} of {calls} calls that should be hits were misses")
        return {"hit": taken, "own": own, "texts": texts}

    def fill_disk(self, entries: int, calls: int) -> dict[str, float]:
        """Fill a DiskCache with texts of 600 bytes; return nanoseconds: of a hit, a write, and until a new one has opened and read."""
        directory, key = (
            tempfile.mkdtemp(dir=self._folder.name),
            lambda number: f"{number * 7919 % (entries + calls):064x}",
        )
        store, text = DiskCache(directory, size_limit=None), "x" * 600
        for number in range(entries):
            store.set(key(number), text)
        opened = clock(1, lambda: DiskCache(directory, size_limit=None).get(key(0)))[0]
        hits = [
            clock(1, functools.partial(store.get, key(number)))[0] for number in range(0, entries, entries // calls)
        ]
        writes = [
            clock(1, functools.partial(store.set, key(number), text))[0] for number in range(entries, entries + calls)
        ]
        return {"hit": statistics.median(hits), "write": statistics.median(writes), "open": opened}


def make_entry(answer: str) -> str:
    """An answer as stores get it."""
    from instructor.cache.entry import Entry, encode_entry, make_origin
    from instructor.messages import Part

    return encode_entry(Entry("key", (Part("User", answer),), b"{}", make_origin("openai", "gpt-4.1-mini"), 0.0))


def fill(call: Callable[[], Any], memory: Any) -> None:
    """Call until the answer stays in memory: what this process itself has written comes back from the server as a change."""
    time.sleep(0.1)
    call()
    time.sleep(0.1)
    while not len(memory):
        call()
        time.sleep(0.01)


def make_scripted_client(content: Any, store: Any) -> Any:
    """Make a client whose provider gives the same completion at once."""
    from instructor.testing import ScriptedAdapter
    from instructor.wires.openai_chat import OPENAI_CHAT

    def make(reply: Any, store: Any) -> Any:
        modes: dict[str, Any] = {"wires": {instructor.Mode.TOOLS: OPENAI_CHAT}, "mode": instructor.Mode.TOOLS}
        return instructor.Instructor(ScriptedAdapter(reply), model="bench", cache=store, **modes)

    model: Any
    model, data = (list[User], {"content": content}) if isinstance(content, list) else (User, content)
    _, completion = make(lambda _: data, None).create_with_completion(model, [{"role": "user", "content": "Hi."}])
    return make(lambda _: completion, store)


def read_data(stream: Any) -> Any:
    """Let a stream of the SDK hand out the data of its chunks, and make no object of them."""
    return type(stream)(cast_to=object, response=stream.response, client=make_sdk_client())


@functools.cache
def make_sdk_client() -> Any:
    """A client of the SDK, which a stream needs to read chunks."""
    import openai

    return openai.OpenAI(api_key="none")


def drain_canned(characters: int) -> Callable[[], None]:
    """Make a function that reads a stream in chunks of one character, which cost nothing to make."""
    from instructor.offline.chunks import stream_completion

    client, messages = make_scripted_client({"name": "x"}, None), [{"role": "user", "content": "Hi."}]
    chunks = list(stream_completion(client.create_with_completion(User, messages)[1], 1))
    middle = next(at for at, chunk in enumerate(chunks) if '"x"' in chunk.model_dump_json())
    repeated = itertools.repeat(chunks[middle])
    client.client.send = lambda *_: itertools.chain(
        chunks[:middle], itertools.islice(repeated, characters), chunks[middle:]
    )
    return lambda: collections.deque(client.create_partial(User, messages), 0)


def read_memory() -> int:
    """Bytes of this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not stand among the replies
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"result": getattr(worker, command.pop("do"))(**command)}
        except Exception:  # noqa: BLE001 - the run decides what a failure means
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()

"""RedisCache against a real server: that it comes back, closes what it opens, and keeps secrets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import pickle
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Self

import pytest
import redis
import redis.asyncio
import redis.cluster
from redis.backoff import NoBackoff
from redis.retry import Retry

from cache.stores import Clock
from instructor import from_provider
from instructor.cache import RedisCache
from instructor.cache.books import Amounts, Line, Posting
from instructor.cache.entry import Entry, Origin, Tagged, encode_entry, pack_completion
from instructor.cache.handle import StoreHandle, handle_of
from instructor.exceptions import CacheEntryError, CacheError, ConfigurationError
from instructor.messages import Part
from servers import Cluster, Valkey
from worlds import until


@pytest.fixture
def cache(valkey: Valkey) -> Iterator[RedisCache]:
    cache = RedisCache(port=valkey.port)
    yield cache
    cache.close()


def test_keys_carry_the_prefix_and_ttl_becomes_an_expiry(cache: RedisCache, valkey: Valkey) -> None:
    cache.set("key", "text", ttl=6000)
    assert valkey.command("GET", "instructor:key") == b"$4\r\ntext\r\n"
    assert 5000 < int(valkey.command("TTL", "instructor:key")[1:]) <= 6000
    asyncio.run(cache.set_async("key", "text"))
    assert valkey.command("TTL", "instructor:key") == b":-1\r\n"


async def use(handle: StoreHandle, name: str, *arguments: Any, in_task: bool) -> Any:
    if in_task:
        return await {"read": handle.read_async, "write": handle.write_async}[name](*arguments)
    return await asyncio.to_thread({"read": handle.read, "write": handle.write}[name], *arguments)


@pytest.fixture
async def any_store(request: pytest.FixtureRequest, valkey: Valkey) -> AsyncIterator[RedisCache]:
    kinds = {"client": redis.Redis, "async_client": redis.asyncio.Redis}
    made = {
        name: kind(port=valkey.port, decode_responses=True) for name, kind in kinds.items() if name == request.param
    }
    store = RedisCache(**made) if made else RedisCache(port=valkey.port)
    yield store
    for client in made.values():
        closed = client.close() if request.param == "client" else client.aclose()
        if closed is not None:
            await closed
    store.close() if not made else None
    await store.close_async()


@pytest.mark.parametrize("any_store", ["own", "client", "async_client"], indirect=True)
async def test_many_are_read_in_few_commands(
    valkey: Valkey, any_store: RedisCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instructor.cache.redis_steps.BATCH", 4)
    keys = [f"key {number}" for number in range(9)]
    for key in keys[1:]:
        await any_store.set_async(key, f"é {key}")
    valkey.command("LPUSH", "instructor:key 0", "theirs")
    before = read_calls(valkey).get("mget", 0)
    found = await any_store.get_many_async(keys)
    assert read_calls(valkey)["mget"] - before == 3
    texts = [text.decode() if isinstance(text, bytes) else text for text in found]
    assert texts == [None, *(f"é {key}" for key in keys[1:])]
    if any_store._client is not None:
        assert any_store.get_many(keys) == found
    assert await any_store.get_many_async([]) == []


@pytest.mark.parametrize(
    ("any_store", "in_task"),
    # A client of this loop is not for the loop of threads.
    [("own", False), ("own", True), ("client", False), ("client", True), ("async_client", True)],
    indirect=["any_store"],
)
async def test_a_key_that_holds_something_else_is_a_bad_entry_of_that_key_and_is_overwritten(
    valkey: Valkey, any_store: RedisCache, in_task: bool
) -> None:
    handle = handle_of(any_store)
    valkey.command("LPUSH", "instructor:key", "theirs")
    with pytest.raises(CacheEntryError, match=r"'key' holds another type"):
        await use(handle, "read", "key", in_task=in_task)
    assert not handle.paused(), "the others are read as ever"
    assert await use(handle, "write", "key", "text", 1e300, in_task=in_task)
    assert await use(handle, "read", "key", in_task=in_task) in {"text", b"text"}
    assert 315_000_000 < int(valkey.command("TTL", "instructor:key")[1:]) <= 315_360_000
    assert handle.stats().errors == 0


def test_bytes_that_a_decoding_client_cannot_read_are_a_bad_entry(valkey: Valkey) -> None:
    with redis.Redis(port=valkey.port, decode_responses=True) as client, redis.Redis(port=valkey.port) as other:
        handle = handle_of(RedisCache(client=client))
        other.set("instructor:key", b"\xff\x00")
        with pytest.raises(CacheEntryError, match="holds no text"):
            handle.read("key")
        assert not handle.paused()
        assert handle.read("other") is None
        handle.write("key", "text", None)
        assert handle.read("key") == "text"


@pytest.mark.parametrize("wrong", [("\ud800", "text"), (5, "text"), ("key", {"a": 1}), ("key", "text", 1.5)])
async def test_what_cannot_be_stored_is_refused(cache: RedisCache, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match="RedisCache"):
        cache.set(*wrong)
    with pytest.raises(ConfigurationError, match="RedisCache"):
        await cache.set_async(*wrong)
    await cache.close_async()


def test_a_server_that_was_stopped_and_started_is_found_again(cache: RedisCache, valkey: Valkey) -> None:
    cache.set("key", "text")
    valkey.stop()
    with pytest.raises(redis.ConnectionError):
        cache.get("key")
    valkey.start()
    assert cache.get("key") is None
    cache.set("key", "text")
    assert cache.get("key") == b"text"


def test_a_restart_between_two_reads_is_not_even_noticed(cache: RedisCache, valkey: Valkey) -> None:
    handle = handle_of(cache)
    handle.write("key", "text", None)
    valkey.stop()
    valkey.start()
    assert handle.read("key") is None
    assert handle.stats().errors == 0


class Proxy:
    """Stands before a server, and drops the first connection that asks for something."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.dropped = 0
        self._tasks: list[Any] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._to)
        answers = asyncio.create_task(self._pump(server_reader, writer))
        while data := await reader.read(65536):
            if b"GET" in data and not self.dropped:
                self.dropped += 1
                break
            server_writer.write(data)
        server_writer.close()
        writer.close()
        await answers

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)


@pytest.mark.parametrize("in_task", [False, True], ids=["thread", "task"])
async def test_a_connection_that_drops_while_it_is_asked_is_replaced_once(valkey: Valkey, in_task: bool) -> None:
    async with Proxy(valkey.port) as proxy:
        cache = RedisCache(port=proxy.port)
        assert await (cache.get_async("key") if in_task else asyncio.to_thread(cache.get, "key")) is None
        assert proxy.dropped == 1
        await cache.close_async()
        cache.close()


def test_a_restart_in_mid_run_is_survived_by_tasks(cache: RedisCache, valkey: Valkey) -> None:
    async def run() -> None:
        clock = Clock()
        handle = StoreHandle(cache, clock)
        await asyncio.gather(*(handle.write_async(str(number), "text", None) for number in range(20)))
        valkey.stop()
        with pytest.raises(CacheError):
            await handle.read_async("1")
        assert handle.paused()
        valkey.start()
        clock.now += 0.1
        assert not handle.paused()
        assert await handle.read_async("1") is None
        await asyncio.gather(*(handle.write_async(str(number), "text", None) for number in range(20)))
        assert await handle.read_async("1") == b"text"
        assert not handle.paused()

    asyncio.run(run())


def test_a_server_that_hangs_is_waited_for_no_longer_than_the_timeout(valkey: Valkey) -> None:
    def is_served() -> bool:
        with contextlib.suppress(CacheError):  # for a busy machine, a tenth of a second is short
            return handle.read("key") is None
        return False

    cache = RedisCache(port=valkey.port, timeout=0.1)
    handle = handle_of(cache)
    until(is_served)
    connected = count_all_connections(valkey)
    valkey.hang()
    with pytest.raises(CacheError):
        handle.read("key")
    with pytest.raises(CacheError):
        asyncio.run(handle.read_async("key"))
    valkey.wake()
    assert count_all_connections(valkey) - connected <= 3, "each waited once, and not ten times"
    until(is_served)
    cache.close()


def count_all_connections(valkey: Valkey) -> int:
    """How many the server has been asked for, this one too."""
    (number,) = re.findall(rb"total_connections_received:(\d+)", valkey.command("INFO", "stats"))
    return int(number)


def test_a_cancelled_read_leaves_its_answer_to_nobody(cache: RedisCache, valkey: Valkey) -> None:
    async def run() -> None:
        await cache.set_async("a", "text of a")
        await cache.set_async("b", "text of b")
        valkey.hang()
        tasks = [asyncio.create_task(cache.get_async("a")) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        valkey.wake()
        assert set(await asyncio.gather(*(cache.get_async("b") for _ in range(10)))) == {b"text of b"}

    asyncio.run(run())


@pytest.mark.usefixtures("clean_heap")
def test_each_loop_has_connections_of_its_own_and_closes_them(cache: RedisCache, valkey: Valkey) -> None:
    async def use() -> None:
        await asyncio.gather(*(cache.set_async(str(number), "text") for number in range(10)))
        assert await cache.get_async("1") == b"text"

    def connected() -> int:
        return valkey.command("CLIENT", "LIST").count(b"addr=")

    before = connected()
    for _ in range(3):
        asyncio.run(use())
    gc.collect()  # an open connection would warn here, and warnings are errors
    assert connected() <= before + 1
    assert len(cache._by_loop) == 0


def test_close_async_closes_the_connections_of_the_running_loop(cache: RedisCache) -> None:
    async def use() -> None:
        await cache.set_async("key", "text")
        await cache.close_async()
        assert await cache.get_async("key") == b"text"

    asyncio.run(use())


def test_a_fork_shares_no_connection(valkey: Valkey) -> None:
    program = f"""
import os, asyncio
from instructor import from_provider
from instructor.cache import RedisCache
cache = RedisCache(port={valkey.port}, timeout=60.0)
cache.set("key", "text")
child = os.fork()
for _ in range(200):
    assert cache.get("key") == b"text"
    cache.set(str(os.getpid()), "x")
assert asyncio.run(cache.get_async("key")) == b"text"
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_clear_removes_this_prefix_only_whatever_letters_it_has(valkey: Valkey) -> None:
    strange = RedisCache(port=valkey.port, prefix="[a]*?\\:")
    other = RedisCache(port=valkey.port, prefix="[a]xx\\:")
    for number in range(1500):
        strange.set(str(number), "text")
    other.set("key", "text")
    valkey.command("SET", "mine", "text")
    strange.clear()
    assert valkey.command("DBSIZE") == b":2\r\n"
    assert other.delete("key")
    assert not other.delete("key")
    strange.close()
    other.close()


def tagged(cache: RedisCache, *tags: str) -> Tagged:
    return Tagged(tags, cache.generations(()).latest)


def make_tagged(cache: RedisCache, key: str, *tags: str) -> str:
    parts = (Part("", "é" * 2000),)
    return encode_entry(Entry(key, parts, pack_completion("{}"), Origin("p", "m"), 1.0, tagged=tagged(cache, *tags)))


def test_a_tag_is_invalidated_by_one_command_however_many_entries_have_it(cache: RedisCache, valkey: Valkey) -> None:
    for number in range(300):
        cache.set(str(number), make_tagged(cache, str(number), "a", f"b:{number}"))
    before = count_commands(valkey)
    assert cache.invalidate(tag="a") == 300
    assert count_commands(valkey) - before == 1
    assert cache.invalidate(tag="a") == 0
    assert cache.invalidate(tag="a", erase=True) == 300
    assert cache.invalidate(tag="b:7") == 1
    assert cache.clear() == 0
    assert valkey.command("DBSIZE") == b":0\r\n"


def count_commands(valkey: Valkey) -> int:
    """Calls of clients: those of a script are its own affair, and this look is one."""
    inner = ("hlen", "hincrby", "hset", "hget", "hdel", "info")
    return sum(number for name, number in read_calls(valkey).items() if name not in inner)


def read_calls(valkey: Valkey) -> dict[str, int]:
    stats = valkey.command("INFO", "commandstats").decode()
    return {name: int(number) for name, number in re.findall(r"cmdstat_(\S+):calls=(\d+)", stats)}


async def test_an_asynchronous_client_alone_lists_removes_and_invalidates(valkey: Valkey) -> None:
    client = redis.asyncio.Redis(port=valkey.port, decode_responses=True)
    cache, plain = RedisCache(async_client=client), RedisCache(port=valkey.port)
    for key in ("one", "two", "three"):
        await cache.set_async(key, make_tagged(plain, key, "a", key))
    assert [each.key async for batch in cache.list_entries_async() for each in batch if "two" in each.tags] == ["two"]
    assert await cache.invalidate_async(tag="a") == 3
    assert (await handle_of(cache).generations_async(["a"])).latest == plain.generations(["a"]).of_tags[0]
    assert await cache.invalidate_async(tag="one", erase=True) == 1
    assert await cache.delete_async("two")
    assert await cache.clear_async() == 1
    plain.close()
    await client.aclose()


def test_a_url_and_its_options_are_used(valkey: Valkey) -> None:
    cache = RedisCache(url=f"redis://localhost:{valkey.port}/3", decode_responses=True)
    cache.set("key", "text")
    assert cache.get("key") == "text"
    assert valkey.command("EXISTS", "instructor:key") == b":0\r\n"
    cache.close()


def test_an_asynchronous_client_alone_serves_threads_too(valkey: Valkey) -> None:
    cache = RedisCache(async_client=redis.asyncio.Redis(port=valkey.port))
    handle = handle_of(cache)
    assert handle.write("key", "text", None)
    assert handle.read("key") == b"text"
    with pytest.raises(ConfigurationError, match="client="):
        cache.clear()
    handle._runner.get_loop().run(cache._async_client.aclose(), 5)


def test_a_block_closes_the_connections_at_its_end(valkey: Valkey) -> None:
    def connected() -> int:
        return valkey.command("CLIENT", "LIST").count(b" addr=")

    async def use() -> None:
        async with RedisCache(port=valkey.port) as cache:
            await cache.set_async("other", "text")

    before = connected()
    with RedisCache(port=valkey.port) as cache:
        cache.set("key", "text")
        assert connected() == before + 1
    asyncio.run(use())
    assert connected() <= before


def test_a_copy_in_another_process_reaches_the_same_server(cache: RedisCache) -> None:
    cache.set("key", "text")
    copied = pickle.loads(pickle.dumps(cache))
    assert copied.get("key") == b"text"
    copied.close()


@pytest.mark.parametrize(
    "password", ["sec@ret", "sec/ret", "sec?ret", "sec#ret", "sec:ret", "sec[ret", "@/sec#:ret?", "sec ret"]
)
def test_a_password_that_is_not_percent_encoded_is_understood_or_refused_and_never_shown(password: str) -> None:
    """With a slash, redis-py and Python would take what follows for the database, and what is before it for the port."""
    try:
        cache = RedisCache(url=f"redis://user:{password}@localhost:6399/0")
    except ConfigurationError as error:
        shown = f"{error!r} {error.__cause__!r}"
        assert "quote(password, safe='')" in shown
    else:
        shown = repr(cache)
        assert cache._client.connection_pool.connection_kwargs["password"] == password
    assert "sec" not in shown
    assert "ret" not in shown


@pytest.mark.parametrize("url", ["redis://:secret/0", "redis://localhost:secret/0"])
def test_a_password_in_place_of_the_port_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="malformed") as caught:
        RedisCache(url=url)
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_no_password_is_shown() -> None:
    for cache in (
        RedisCache(url="redis://user:secret@localhost:1/0"),
        RedisCache(password="secret", port=1),
        RedisCache(client=redis.Redis(password="secret", port=1, retry=Retry(NoBackoff(), 0))),
    ):
        with pytest.raises(CacheError) as failed:
            handle_of(cache).read("key")
        assert "secret" not in repr(cache) + str(failed.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "http://user:secret@host"},
        {"url": 5},
        {"prefix": ""},
        {"timeout": 0},
        {"timeout": None},
        {"timeout": 1e300},
        {"prefix": "\ud800"},
        {"host": None},
        {"host": " "},
        {"host": "redis://:secret@localhost"},
        {"adapter": "6379"},
        {"adapter": 0},
        {"adapter": 70_000},
        {"client": "redis://:secret@localhost"},
        {"client": {}},
        {"client": redis.Redis},
        {"client": redis.asyncio.Redis()},
        {"async_client": redis.Redis()},
        {"colour": "red"},
        {"client": redis.Redis(), "url": "redis://localhost"},
        {"client": redis.Redis(), "password": "secret"},
        {"url": "redis://:secret@localhost", "host": "example.org"},
        {"url": "redis://:secret@localhost:notaport"},
    ],
)
def test_a_wrong_argument_is_refused_without_showing_secrets(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="RedisCache") as error:
        RedisCache(**arguments)
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_without_the_redis_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match=r'pip install "instructor\[redis\]"'):
        RedisCache()


def test_a_cluster_is_used_through_its_own_client(cluster: Cluster) -> None:
    with redis.cluster.RedisCluster(host=cluster.nodes[0].host, port=cluster.nodes[0].port) as client:
        cache = RedisCache(client=client, prefix="own:")
        for number in range(50):
            cache.set(str(number), "text", ttl=60)
        assert cache.get("7") == b"text"
        assert cache.delete("7")
        entry = Entry("tagged", (), pack_completion("{}"), Origin("p", "m"), 1.0, tagged=tagged(cache, "a"))
        cache.set("tagged", encode_entry(entry))
        assert len([each for batch in cache.list_entries() for each in batch]) == 50
        assert cache.invalidate(tag="a") == 1
        assert not cache.generations(["a"]).cover(entry.tagged.generation if entry.tagged else 0)
        assert cache.invalidate(model="m") == 1
        posting = Posting({Line("2026-11-22", "kept", Origin("p", "m")): Amounts(1, 2)})
        assert [cache.add_amounts(posting) for _ in range(2)] == [2, 2]
        assert list(cache.read_amounts().values()) == [[1, 2, 0, 0, 0, 0]], "what is entered again is known again"
        assert cache.clear() == 49
        assert cache.get("8") is None


class RepeatingServer(socketserver.StreamRequestHandler):
    """A Redis that repeats every third answer: at once, or only when the next command has come."""

    kept: ClassVar[dict[bytes, bytes]] = {}
    late: ClassVar[bool] = False

    def handle(self) -> None:
        pending, count = b"", 0
        while header := self.rfile.readline():
            name, *arguments = [self._read_text() for _ in range(int(header[1:]))]
            reply = self._answer(name.upper(), arguments)
            count += 1
            again = reply if name == b"GET" and count % 3 == 0 else b""
            self.wfile.write(pending + reply + (b"" if self.late else again))
            pending = again if self.late else b""

    def _read_text(self) -> bytes:
        text = self.rfile.read(int(self.rfile.readline()[1:]))
        self.rfile.readline()
        return text

    def _answer(self, name: bytes, arguments: list[bytes]) -> bytes:
        if name == b"SET":
            self.kept[arguments[0]] = arguments[1]
        if name != b"GET":
            return b"-ERR unknown command\r\n" if name == b"HELLO" else b"+OK\r\n"
        found = self.kept.get(arguments[0])
        return b"$-1\r\n" if found is None else b"$%d\r\n%b\r\n" % (len(found), found)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("late", [False, True])
# An older asynchronous redis-py gives the connection up after each such answer, and so has no hits to count.
@pytest.mark.parametrize("async_client", [False, pytest.param(True, marks=pytest.mark.newest_sdks)])
async def test_a_repeated_answer_of_the_server_never_becomes_a_foreign_one(
    async_client: bool, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RepeatingServer, "late", late)
    monkeypatch.setattr(RepeatingServer, "kept", {})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), RepeatingServer) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        async with RedisCache(port=server.server_address[1], protocol=2) as cache:
            client = from_provider("offline/demo", cache=cache, async_client=async_client)

            async def ask(number: int) -> str:
                asked = client.create(str, [{"role": "user", "content": f"Question {number}"}])
                return await asked if async_client else asked

            first = [await ask(number) for number in range(20)]
            assert len(set(first)) == 20
            for _ in range(5):
                assert [await ask(number) for number in range(20)] == first
            assert client.cache_stats().hits >= 50
        server.shutdown()

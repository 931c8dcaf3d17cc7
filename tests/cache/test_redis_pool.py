"""Connections to Redis: waiting for one is waiting, and a timeout bounds a whole operation."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any

import pytest
import redis
import redis.asyncio

from instructor.cache import RedisCache, redis_client, redis_pool
from instructor.cache.handle import handle_of
from instructor.cache.redis_pool import make_async_client, make_client
from instructor.exceptions import CacheNotTriedError
from interrupts import interrupt_everywhere
from servers import Valkey

MANY = 200


def count_connections(valkey: Valkey) -> int:
    return valkey.command("CLIENT", "LIST").count(b" addr=")


def take_connection(client: Any) -> Any:
    """Take a connection out of the pool of a client, of the lowest redis-py as well as of today's."""
    get = client.connection_pool.get_connection
    oldest = redis.__version__.startswith("5.2")
    return get("GET") if oldest else get()


def by_port(valkey: Valkey, **options: Any) -> RedisCache:
    return RedisCache(port=valkey.port, **options)


def by_url(valkey: Valkey, **options: Any) -> RedisCache:
    return RedisCache(url=valkey.url, **options)


@pytest.mark.parametrize("make", [by_port, by_url])
def test_many_more_threads_than_connections_wait_for_each_other(valkey: Valkey, make: Any) -> None:
    cache, before = make(valkey, max_connections=5), count_connections(valkey)
    handle = handle_of(cache)

    def use(number: int) -> bool:
        return handle.write(str(number), "text", None) and handle.read(str(number)) == b"text"

    with ThreadPoolExecutor(MANY) as threads:
        assert all(threads.map(use, range(MANY)))
        assert all(found == b"text" for found in threads.map(cache.get, map(str, range(MANY)))), "without a handle too"
    assert handle.stats().errors == 0
    assert count_connections(valkey) <= before + 5
    cache.close()


@pytest.mark.parametrize("make", [by_port, by_url])
async def test_many_more_tasks_than_connections_wait_for_each_other(valkey: Valkey, make: Any) -> None:
    cache, before = make(valkey, max_connections=5), count_connections(valkey)
    handle = handle_of(cache)
    assert all(await asyncio.gather(*(handle.write_async(str(number), "text", None) for number in range(MANY))))
    found = await asyncio.gather(*(handle.read_async(str(number)) for number in range(MANY)))
    assert found == [b"text"] * MANY
    assert await asyncio.gather(*(cache.get_async(str(number)) for number in range(MANY))) == found
    assert handle.stats().errors == 0
    assert count_connections(valkey) <= before + 5
    await cache.close_async()


def test_a_url_says_how_many_connections_there_are(valkey: Valkey) -> None:
    cache = RedisCache(url=f"{valkey.url}?max_connections=3")
    assert cache.concurrency == 3
    cache.close()


@pytest.mark.parametrize("in_task", [False, True], ids=["thread", "task"])
async def test_a_pool_of_the_users_that_is_used_up_is_waited_for(valkey: Valkey, in_task: bool) -> None:
    client: Any = (redis.asyncio.Redis if in_task else redis.Redis)(port=valkey.port, max_connections=2)
    handle = handle_of(RedisCache(**{"async_client" if in_task else "client": client}))
    if in_task:
        await handle.store.set_async("key", "text")
        taken = [await take_connection(client) for _ in range(2)]
        reading = asyncio.create_task(handle.read_async("key"))
    else:
        handle.write("key", "text", None)
        taken = [take_connection(client) for _ in range(2)]
        reading = asyncio.create_task(asyncio.to_thread(handle.read, "key"))
    await asyncio.sleep(0.05)
    for connection in taken:
        released = client.connection_pool.release(connection)
        if released is not None:
            await released
    assert await reading == b"text"
    assert handle.stats().errors == 0
    await client.aclose() if in_task else client.close()


@pytest.mark.parametrize("in_task", [False, True], ids=["thread", "task"])
async def test_a_pool_of_the_users_that_stays_used_up_is_no_outage(
    valkey: Valkey, in_task: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < redis_pool._SHARE_FOR_WAITING < 1
    monkeypatch.setattr(
        redis_pool, "_SHARE_FOR_WAITING", 0.005
    )  # so that even a busy machine knows before the time is over
    client: Any = (redis.asyncio.Redis if in_task else redis.Redis)(port=valkey.port, max_connections=1)
    handle = handle_of(RedisCache(timeout=30.0, **{"async_client" if in_task else "client": client}))
    taken = take_connection(client)
    taken = await taken if in_task else taken
    with pytest.raises(CacheNotTriedError, match="max_connections"):
        await (handle.read_async("key") if in_task else asyncio.to_thread(handle.read, "key"))
    assert not handle.paused()
    released = client.connection_pool.release(taken)
    await released if in_task else None
    await client.aclose() if in_task else client.close()


@pytest.fixture
def dripping_server() -> Iterator[int]:
    """A server that is well, on a line so slow that an answer takes 4 s, in many pieces."""
    stop = threading.Event()

    def talk(peer: socket.socket) -> None:
        with peer:
            while data := peer.recv(65536):
                for command in data.split(b"\r\n*"):
                    slow = b"GET\r\n" in command
                    answer = b"$200\r\n" + b"x" * 200 + b"\r\n" if slow else b"+OK\r\n"
                    for at in range(0, len(answer), 5):
                        peer.sendall(answer[at : at + 5])
                        if slow and stop.wait(0.1):
                            return

    def serve() -> None:
        while not stop.is_set():
            try:
                talk(server.accept()[0])
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        thread.join()


def test_a_timeout_bounds_an_operation_whose_answer_comes_in_pieces(dripping_server: int) -> None:
    cache = RedisCache(port=dripping_server, timeout=0.5, protocol=2)
    with pytest.raises(redis.TimeoutError):  # each piece comes within 0.1 s, and all of them in the end
        cache.get("key")
    cache.close()


def test_a_queue_before_a_server_that_hangs_is_gone_after_one_timeout(valkey: Valkey) -> None:
    cache = RedisCache(port=valkey.port, timeout=0.3, max_connections=2)
    cache.pause = float("inf")
    handle = handle_of(cache)
    valkey.hang()

    def use(number: int) -> str:
        if handle.paused():  # a thread that starts late on a busy machine isn't in the queue
            return "CacheNotTriedError"
        try:
            handle.read(str(number))
        except Exception as error:  # noqa: BLE001 - all of them are looked at below
            return type(error).__name__
        return "read"

    with ThreadPoolExecutor(60) as threads:
        outcomes = list(threads.map(use, range(60)))
    assert set(outcomes) == {"CacheError", "CacheNotTriedError"}
    assert outcomes.count("CacheError") <= 2, "those that had a connection when the first one's time was over"
    valkey.wake()
    cache.close()


async def test_every_option_of_redis_reaches_its_connections(valkey: Valkey) -> None:
    options: dict[str, Any] = {"db": 3, "client_name": "mine", "decode_responses": True}
    client = make_client(None, "127.0.0.1", valkey.port, 2.0, options)
    assert client.client_getname() == "mine"
    assert client.client_info()["db"] == 3
    client.close()
    other = make_async_client(f"{valkey.url[:-1]}3", "", 0, {"client_name": "mine"})
    assert (await other.client_info())["db"] == 3
    await other.aclose()


@pytest.mark.parametrize("operate", ["get", "delete"])
def test_an_interrupt_anywhere_loses_no_connection(valkey: Valkey, operate: str) -> None:
    """As the quick client asks, and as redis-py does."""
    with RedisCache(port=valkey.port, max_connections=2) as cache:
        cache.set("key", "text")
        modules = (redis_pool, redis_client, redis.connection, redis.client)
        pool, words = cache._client.connection_pool, ["GET"] * redis.__version__.startswith("5.2")
        times = 0
        for times in interrupt_everywhere(lambda: getattr(cache, operate)("key"), *modules):  # noqa: B007 - looked at below
            for connection in (pool.get_connection(*words), pool.get_connection(*words)):
                pool.release(connection)
            cache.set("key", "text")
            assert cache.get("key") == b"text"
        assert (len(pool.pool.queue), pool.pool._taken) == (2, {})
    assert times > 20


def test_a_call_within_a_call_does_not_take_its_connection_for_lost(valkey: Valkey) -> None:
    """As in a handler of a signal."""
    with RedisCache(port=valkey.port, max_connections=1) as cache:
        pool, words = cache._client.connection_pool, ["GET"] * redis.__version__.startswith("5.2")
        held = pool.get_connection(*words)
        with pytest.raises(Empty):
            pool.pool.get(timeout=0.0)
        assert held._sock is not None
        pool.release(held)


def test_what_an_interrupted_thread_has_lost_is_free_for_the_others(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port, max_connections=1) as cache:
        thread = threading.Thread(target=take_connection, args=(cache._client,))
        thread.start()
        thread.join()
        cache.set("key", "text")
        assert cache.get("key") == b"text"

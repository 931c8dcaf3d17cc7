"""Usual commands go by fewer steps than redis-py's, and do what they would by its own."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.retry import Retry

from instructor.cache import RedisCache, redis_client
from instructor.cache.entry import Entry, Tagged, encode_entry, make_origin, pack_completion
from instructor.cache.lease import Ending
from instructor.cache.redis_client import ask_all
from instructor.cache.redis_pool import _BoundedSocket, _running
from instructor.exceptions import CacheEntryError
from servers import Valkey

KEY = "a" * 64
TAGGED = encode_entry(Entry(KEY, (), pack_completion("{}"), make_origin("p", "m"), 1.0, tagged=Tagged(("tag",), 1)))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What redis-py has sent."""
    packed: list[Any] = []
    send = Connection.send_packed_command

    def note(self: Connection, command: Any, check_health: bool = True) -> None:
        packed.append(command)
        send(self, command, check_health)

    monkeypatch.setattr(Connection, "send_packed_command", note)
    return packed


def test_redis_py_opens_a_connection_and_is_not_needed_for_what_callers_wait_for(
    valkey: Valkey, sent: list[Any]
) -> None:
    with RedisCache(port=valkey.port) as cache:
        cache.get(KEY)
        sent.clear()
        cache.set(KEY, "é", ttl=900)
        assert cache.get(KEY) == "é".encode()
        assert cache.get_many([KEY, "b" * 64]) == ["é".encode(), None]
        leases = cache.leases
        assert leases.take(KEY, "token") == ("token", True)
        assert leases.publish(KEY, "text", None, "token")
        assert cache.get(KEY) == b"text"
        leases.renew({KEY: "token"})
        assert leases.look([(KEY, "token")]) == [Ending.ENDED]
        assert cache.add_amounts({"line": (1, 0, 2, 0, 0, 0)}) == 2
        cache.set(KEY, TAGGED)
        assert cache.invalidate_tag("tag") == 1
        assert sent == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"decode_responses": True}, "text"),
        ({"protocol": 3}, b"text"),
        ({"health_check_interval": 1}, b"text"),
        ({"retry": Retry(NoBackoff(), 3)}, b"text"),
        ({"encoding": "latin-1"}, b"text"),
    ],
    ids=["decoding", "protocol", "health check", "retry", "encoding"],
)
def test_options_of_redis_pys_own_are_left_to_it(
    valkey: Valkey, sent: list[Any], options: dict[str, Any], found: object
) -> None:
    with RedisCache(port=valkey.port, **options) as cache:
        cache.set(KEY, "text")
        sent.clear()
        assert cache.get(KEY) == found
        assert sent


def test_a_long_answer_comes_whole(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        text = "\r\n$5\r\n" * 500_000
        cache.set(KEY, text)
        assert cache.get_many([KEY, KEY]) == [cache.get(KEY)] * 2 == [text.encode()] * 2


def test_errors_are_redis_pys_and_the_connection_stays(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        client = cache._client
        client.rpush("list", "x")
        opened = find_open(cache)
        with pytest.raises(redis.exceptions.NoPermissionError, match=r"^not you$"):
            client.eval("return redis.error_reply('NOPERM not you')", 0)
        with pytest.raises(redis.ResponseError, match=r"^WRONGTYPE"):
            client.get("list")
        with pytest.raises(redis.ResponseError, match=r"^WRONGTYPE"):
            ask_all(client, [("GET", "other"), ("HLEN", "list"), ("GET", "list")])
        assert ask_all(client, [("GET", "other"), ("RPOP", "list")]) == [None, b"x"]
        assert find_open(cache) == opened


def test_what_was_asked_by_a_connection_that_was_lost_is_asked_again(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise ConnectionResetError

    with RedisCache(port=valkey.port) as cache:
        cache.set(KEY, "text")
        opened, name = find_open(cache), cache.prefix + KEY
        with monkeypatch.context() as patch:
            patch.setattr(redis_client, "read_replies", lose)
            text, error, again = cache._client._try_asking([("GET", name), ("HLEN", name), ("GET", name)])
        assert (text, again) == (b"text", b"text")
        assert isinstance(error, redis.ResponseError)
        assert not opened & find_open(cache)


def test_what_came_unasked_is_never_taken_for_an_answer(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        cache.set(KEY, "text")
        connection = cache._client.connection_pool.pool.queue[-1]
        connection._sock.sendall(b"*2\r\n$4\r\nECHO\r\n$5\r\nother\r\n")
        deadline = time.monotonic() + 5
        while connection._sock.is_silent() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert cache.get(KEY) == b"text"


def find_open(cache: RedisCache) -> set[Any]:
    """The open connections of a store that nobody uses."""
    return {one._sock for one in cache._client.connection_pool.pool.queue if one is not None and one._sock is not None}


def test_who_was_interrupted_leaves_the_answer_to_nobody(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with RedisCache(port=valkey.port, max_connections=1) as cache:
        cache.set(KEY, "text")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(redis_client, "read_replies", interrupt)
            cache.get(KEY)
        assert find_open(cache) == set()
        assert cache.get(KEY) == b"text", "and no connection is missing"


def test_who_was_interrupted_while_asking_again_leaves_the_answer_to_nobody(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise ConnectionResetError

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with RedisCache(port=valkey.port, max_connections=1) as cache:
        cache.set(KEY, "text")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(redis_client, "read_replies", lose)
            patch.setattr(type(cache._client), "_read", interrupt)
            cache.get("other")
        assert find_open(cache) == set()
        assert cache.get(KEY) == b"text"


def test_a_forked_child_leaves_the_connections_of_its_parent_alone(valkey: Valkey) -> None:
    with RedisCache(port=valkey.port) as cache:
        cache.set(KEY, "text")
        opened = find_open(cache)
        cache._client.connection_pool.pid = -1  # by which redis-py knows a child
        assert cache.get(KEY) == b"text"
        assert not opened & find_open(cache)
        for wire in opened:
            wire.close()


def test_each_operation_has_its_whole_time_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raw:
        def __init__(self) -> None:
            self.timeouts: list[float | None] = []

        def fileno(self) -> int:
            return 0

        def settimeout(self, seconds: float | None) -> None:
            self.timeouts.append(seconds)

        def sendall(self, data: bytes) -> None: ...

        def recv(self, size: int) -> bytes:
            return b"x" * size

    raw: Any = Raw()
    wire = _BoundedSocket(raw, 2.0)
    monkeypatch.setattr(_running, "until", time.monotonic() + 0.5)
    wire.recv(1)
    monkeypatch.setattr(_running, "until", inf)
    wire.sendall(b"x")
    assert raw.timeouts[0] < 0.6
    assert raw.timeouts[-1] == 2.0


@pytest.fixture
def sent_by_tasks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What redis-py's asynchronous connections have sent."""
    packed: list[Any] = []
    send = redis.asyncio.connection.Connection.send_packed_command

    async def note(self: Any, command: Any, check_health: bool = True) -> None:
        packed.append(command)
        await send(self, command, check_health)

    monkeypatch.setattr(redis.asyncio.connection.Connection, "send_packed_command", note)
    return packed


@pytest.mark.newest_sdks
async def test_tasks_go_by_fewer_steps_as_well(valkey: Valkey, sent_by_tasks: list[Any]) -> None:
    async with RedisCache(port=valkey.port) as cache:
        await cache.get_async(KEY)
        sent_by_tasks.clear()
        await cache.set_async(KEY, "é", ttl=900)
        assert await cache.get_many_async([KEY, "b" * 64]) == ["é".encode(), None]
        assert await cache.leases.take_async(KEY, "token") == ("token", True)
        assert await cache.leases.publish_async(KEY, "x" * 200_000, None, "token")
        assert await cache.get_async(KEY) == b"x" * 200_000
        assert await cache.add_amounts_async({"line": (1, 0, 2, 0, 0, 0)}) == 2
        with pytest.raises(CacheEntryError, match="another type"):
            await cache.get_async("{ledger}")
        assert sent_by_tasks == []


@pytest.mark.parametrize(
    ("options", "found"), [({"decode_responses": True}, "text"), ({"socket_timeout": 9}, b"text")], ids=str
)
async def test_options_of_redis_pys_own_are_left_to_it_by_tasks_too(
    valkey: Valkey, sent_by_tasks: list[Any], options: dict[str, Any], found: object
) -> None:
    async with RedisCache(port=valkey.port, **options) as cache:
        await cache.set_async(KEY, "text")
        sent_by_tasks.clear()
        assert await cache.get_async(KEY) == found
        assert sent_by_tasks


@pytest.mark.newest_sdks
async def test_what_a_task_asked_by_a_connection_that_was_lost_is_asked_again(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: object) -> None:
        raise ConnectionResetError

    async with RedisCache(port=valkey.port) as cache:
        await cache.set_async(KEY, "text")
        client, name = await cache._get_async_client(), cache.prefix + KEY
        monkeypatch.setattr(redis_client, "read_replies_async", lose)
        assert await ask_all(client, [("GET", name), ("STRLEN", name)]) == [b"text", 4]
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await ask_all(client, [("GET", name), ("HLEN", name), ("GET", name)])


@pytest.mark.newest_sdks
async def test_a_task_that_was_interrupted_leaves_the_answer_to_nobody(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupt(*_: object) -> None:
        raise asyncio.CancelledError

    async with RedisCache(port=valkey.port, max_connections=1) as cache:
        await cache.set_async(KEY, "text")
        with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
            patch.setattr(redis_client, "read_replies_async", interrupt)
            await cache.get_async(KEY)
        (connection,) = (await cache._get_async_client()).connection_pool._available_connections
        assert not connection.is_connected
        assert await cache.get_async(KEY) == b"text"


@pytest.mark.newest_sdks
async def test_a_task_that_was_interrupted_while_asking_again_leaves_the_answer_to_nobody(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: object) -> None:
        raise ConnectionResetError

    async def interrupt(*_: object) -> None:
        raise asyncio.CancelledError

    async with RedisCache(port=valkey.port, max_connections=1) as cache:
        await cache.set_async(KEY, "text")
        client = await cache._get_async_client()
        with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
            patch.setattr(redis_client, "read_replies_async", lose)
            patch.setattr(type(client), "_read", interrupt)
            await cache.get_async("other")
        (connection,) = client.connection_pool._available_connections
        assert not connection.is_connected
        assert await cache.get_async(KEY) == b"text"

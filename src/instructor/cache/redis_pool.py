"""Connections to Redis: pools in which one waits for a connection, and one time limit for a whole operation."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache, partial
from math import inf
from queue import Full, SimpleQueue
from typing import Any, TypeVar

from instructor.exceptions import CacheNotTriedError, ConfigurationError

T = TypeVar("T")

MOST_CONNECTIONS = 50
"""How many connections a pool of ours opens at most, unless ``max_connections=`` says otherwise."""

_SHARE_FOR_WAITING = 0.75
"""How much of a timeout may go by in waiting for a connection of a pool that is not ours."""

_MADE_BY_THE_POOL = ("maint_notifications_pool_handler", "himport_registry")
"""Settings of a connection that redis-py's pool makes for itself: each pool has its own."""

_EXHAUSTED = ("Too many connections", "No connection available")
"""What redis-py says when its own pool has no connection to give. Its oldest version has no class for that."""


def make_client(url: str | None, host: str, port: int, timeout: float, options: dict[str, Any]) -> Any:
    """Make a ``redis.Redis`` whose pool waits, and whose operations end after `timeout` seconds each."""
    redis: Any = import_redis()
    retry = importlib.import_module("redis.retry")
    bounds = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    found = _make(redis.Redis, url, host, port, bounds | {"retry": _retry_once(redis, retry)} | options)
    stack = partial(_Stack, seconds=timeout)
    kind = _bounded(found.connection_pool.connection_class)
    return _replace_pool(found, redis, connection_class=kind, queue_class=stack)


def make_async_client(url: str | None, host: str, port: int, options: dict[str, Any]) -> Any:
    """Make a ``redis.asyncio.Redis`` whose pool waits.

    Whoever awaits an operation bounds it (`instructor.cache.deadline`). Timers of redis-py's own would take an event
    loop that is busy for a server that hangs.
    """
    import_redis()
    redis: Any = importlib.import_module("redis.asyncio")
    retry = importlib.import_module("redis.asyncio.retry")
    bounds = {"socket_timeout": None, "socket_connect_timeout": None}
    found = _make(redis.Redis, url, host, port, bounds | {"retry": _retry_once(redis, retry)} | options)
    return _replace_pool(found, redis, connection_class=found.connection_pool.connection_class)


def pool_size(client: Any) -> int:
    """Return how many connections a client may have; `MOST_CONNECTIONS` if it does not say, or has no limit."""
    size = getattr(getattr(client, "connection_pool", None), "max_connections", None)
    return min(size, MOST_CONNECTIONS) if isinstance(size, int) and size > 0 else MOST_CONNECTIONS


def import_redis() -> Any:
    """Import redis-py.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return importlib.import_module("redis")
    except ImportError as error:
        raise ConfigurationError('RedisCache needs the redis package: pip install "instructor[redis]"') from error


def wait_for_connection(operation: Callable[[], T], timeout: float) -> T:
    """Run an operation of a client that is not ours, again and again while its pool has no connection to give.

    Raises:
        CacheNotTriedError: It had none for most of `timeout` seconds.
    """
    deadline, pause = time.monotonic() + timeout * _SHARE_FOR_WAITING, 0.001
    while True:
        try:
            return operation()
        except Exception as error:  # noqa: BLE001 - raised again below, unless it says to wait
            _check_patience(error, deadline)
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


async def wait_for_connection_async(operation: Callable[[], Awaitable[T]], timeout: float) -> T:  # noqa: ASYNC109 - of the store
    """As `wait_for_connection`, in a task."""
    deadline, pause = time.monotonic() + timeout * _SHARE_FOR_WAITING, 0.001
    while True:
        try:
            return await operation()
        except Exception as error:  # noqa: BLE001 - raised again below, unless it says to wait
            _check_patience(error, deadline)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.05)


def _check_patience(error: Exception, deadline: float) -> None:
    """Raise `error` unless it says that a pool is used up, and there is time to try again."""
    if not str(error).startswith(_EXHAUSTED):
        raise error
    if time.monotonic() > deadline:
        raise CacheNotTriedError(
            f"The pool of your Redis client had no free connection: {error}. Raise its max_connections, or give it a "
            "BlockingConnectionPool."
        ) from error


def _retry_once(redis: Any, retry: Any) -> Any:
    backoff = importlib.import_module("redis.backoff")
    # One more try finds a server that was restarted behind an open connection. After a timeout there is none:
    # the answer to a request given up must never be read as the answer to the next, nor may the waiting add up.
    return retry.Retry(backoff.NoBackoff(), 1, (redis.ConnectionError,))


def _make(kind: Any, url: str | None, host: str, port: int, options: dict[str, Any]) -> Any:
    options = {"max_connections": MOST_CONNECTIONS} | options
    return kind.from_url(url, **options) if url is not None else kind(host=host, port=port, **options)


def _replace_pool(client: Any, redis: Any, **options: Any) -> Any:
    """Make the same client over a pool that waits. Only redis-py knows what its arguments and URLs mean."""
    old = client.connection_pool
    settings = {name: value for name, value in old.connection_kwargs.items() if name not in _MADE_BY_THE_POOL}
    if getattr(old, "cache", None) is not None:  # redis-py's client-side caching
        settings["cache"] = old.cache
    pool = redis.BlockingConnectionPool(max_connections=old.max_connections, timeout=None, **(settings | options))
    return redis.Redis.from_pool(pool)


class _Running(threading.local):
    """The operation that this thread performs."""

    until: float = inf


_running = _Running()


class _Stack:
    """The free connections of a pool, the latest used first. Taking one begins the time of an operation.

    It stands in for the ``LifoQueue`` of redis-py's pool, which costs ten times as much.
    """

    def __init__(self, size: int, *, seconds: float) -> None:
        self.queue: deque[Any] = deque()
        self._size = size
        self._seconds = seconds
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def put_nowait(self, connection: Any) -> None:
        """Put a connection back."""
        if len(self.queue) >= self._size:
            raise Full
        self.queue.append(connection)
        self._tokens.put(None)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a connection; wait for one if there is none."""
        self._tokens.get(block, timeout)
        _running.until = time.monotonic() + self._seconds
        return self.queue.pop()


class _BoundedSocket:
    """A socket whose every step takes no longer than what is left of its thread's operation.

    A socket's own timeout is for one piece. A server, or a line, that delivers an answer byte by byte would keep a
    caller for as long as it likes.
    """

    def __init__(self, raw: Any, timeout: float | None) -> None:
        self._raw = raw
        self._timeout = self._current = timeout

    def recv(self, size: int) -> bytes:
        """Receive a piece."""
        self._limit()
        data: bytes = self._raw.recv(size)
        return data

    def recv_into(self, *arguments: Any) -> int:
        """Receive a piece into a buffer."""
        self._limit()
        size: int = self._raw.recv_into(*arguments)
        return size

    def sendall(self, data: Any) -> None:
        """Send a command."""
        self._limit()
        self._raw.sendall(data)

    def settimeout(self, timeout: float | None) -> None:
        """Set the longest time for a piece; 0 for what is there already."""
        self._timeout = self._current = timeout
        self._raw.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Return what `settimeout` set."""
        return self._timeout

    def _limit(self) -> None:
        timeout = self._timeout
        if timeout == 0 or _running.until == inf:
            return
        left = _running.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        # Setting it is a call of the operating system; most answers come in one piece, and need none.
        wanted = timeout if left > 0.99 * (inf if timeout is None else timeout) else left
        if wanted != self._current:
            self._current = wanted
            self._raw.settimeout(wanted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class _BoundedConnection:
    """What `_bounded` adds to a class of connections."""

    socket_connect_timeout: float | None
    socket_timeout: float | None

    def _connect(self) -> Any:
        left = _running.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        if left < inf:
            self.socket_connect_timeout = left
        connect: Callable[[], Any] = super()._connect  # type: ignore[misc] # pyright: ignore - redis-py's own
        return _BoundedSocket(connect(), self.socket_timeout)


@cache
def _bounded(kind: type) -> type:
    """Return a class of connections (TCP, TLS or Unix) as one whose sockets are bounded."""
    return type(f"Bounded{kind.__name__}", (_BoundedConnection, kind), {})

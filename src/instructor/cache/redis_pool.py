"""Connections to Redis: pools in which callers wait for a connection, and one time limit for a whole operation."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import select
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache, partial
from math import inf
from queue import Empty, Full, SimpleQueue
from types import FrameType
from typing import Any, TypeAlias, TypeVar, cast

from instructor.cache.redis_client import NEEDS_PROTOCOL_3, make_quick
from instructor.exceptions import ArgumentError, CacheNotTriedError, ConfigurationError
from instructor.locks import without_collecting

T = TypeVar("T")

Sdk: TypeAlias = Any
"""An object of redis-py: a module, a client or a pool. The package may not be installed, and has no precise types."""

Options: TypeAlias = Mapping[str, object]
"""Arguments of ``redis.Redis``."""

MOST_CONNECTIONS = 50
"""How many connections a pool of ours opens at most, unless ``max_connections=`` says otherwise."""

_SHARE_FOR_WAITING = 0.75
"""How much of a timeout may be spent waiting for a connection of a pool that is not ours."""

_MADE_BY_THE_POOL = ("maint_notifications_pool_handler", "himport_registry")
"""Settings of a connection that redis-py's pool makes for itself: each pool has its own."""

_OUR_RETRIES: Options = {"retry": None, "retry_on_error": None}
"""Replaces the retries of `_make` among the settings of a connection, so that only those of a user are seen."""

_EXHAUSTED = ("Too many connections", "No connection available")
"""How redis-py's messages begin when its own pool has no connection to give. Its oldest version has no class for it."""


def make_client(url: str | None, host: str, port: int, timeout: float, options: Options) -> Sdk:
    """Make a ``redis.Redis`` whose pool waits, and whose operations end after `timeout` seconds each."""
    import_redis()
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    client = _make("redis", url, host, port, {**limits, **_ask_for_protocol(options), **options})
    kind = _bounded(client.connection_pool.connection_class)
    return _replace_pool("redis", client, options, connection_class=kind, queue_class=partial(_Stack, seconds=timeout))


def make_listening_client(url: str | None, host: str, port: int, timeout: float, options: Options) -> Sdk:
    """Make a ``redis.Redis`` for a thread that listens: nothing limits how long it does so."""
    return _make("redis", url, host, port, {"socket_timeout": timeout, "socket_connect_timeout": timeout, **options})


def make_async_client(url: str | None, host: str, port: int, options: Options) -> Sdk:
    """Make a ``redis.asyncio.Redis`` whose pool waits.

    It has no timeouts: its caller bounds an operation (`instructor.cache.deadline`). Timers of redis-py's own would
    take an event loop that is busy for a server that hangs.
    """
    import_redis()
    none = {"socket_timeout": None, "socket_connect_timeout": None}
    client = _make("redis.asyncio", url, host, port, {**none, **_ask_for_protocol(options), **options})
    return _replace_pool("redis.asyncio", client, options, connection_class=client.connection_pool.connection_class)


def _ask_for_protocol(options: Options) -> Options:
    return {} if NEEDS_PROTOCOL_3 & options.keys() else {"protocol": 2}


def pool_size(client: Sdk) -> int:
    """Return how many connections a client may have; `MOST_CONNECTIONS` if it does not say, or has no limit."""
    size = getattr(getattr(client, "connection_pool", None), "max_connections", None)
    return min(size, MOST_CONNECTIONS) if isinstance(size, int) and size > 0 else MOST_CONNECTIONS


def import_redis() -> Sdk:
    """Import redis-py."""
    try:
        return importlib.import_module("redis")
    except ImportError as error:
        raise ConfigurationError('RedisCache needs the redis package: pip install "instructor[redis]"') from error


def wait_for_connection(operation: Callable[[], T], timeout: float) -> T:
    """Run an operation of a client that is not ours, again and again while its pool has no connection to give."""
    patience = _Patience(timeout)
    while True:
        try:
            return operation()
        except Exception as error:  # noqa: BLE001 - raised again by the next line, unless it says to wait
            pause = patience.pause_after(error)
        time.sleep(pause)


async def wait_for_connection_async(operation: Callable[[], Awaitable[T]], timeout: float) -> T:  # noqa: ASYNC109 - of the store
    """As `wait_for_connection`, in a task."""
    patience = _Patience(timeout)
    while True:
        try:
            return await operation()
        except Exception as error:  # noqa: BLE001 - as above
            pause = patience.pause_after(error)
        await asyncio.sleep(pause)


class _Patience:
    """How long to wait for a pool that is used up: in pauses that grow up to 50 ms."""

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout * _SHARE_FOR_WAITING
        self._pause = 0.0005

    def pause_after(self, error: Exception) -> float:
        """Return the seconds to wait before the next try. Raise `error` if it doesn't say that the pool is used up."""
        if not str(error).startswith(_EXHAUSTED):
            raise error
        if time.monotonic() > self._deadline:
            raise CacheNotTriedError(
                f"The pool of your Redis client had no free connection: {error}. Raise its max_connections, or give it "
                "a BlockingConnectionPool."
            ) from error
        self._pause = min(2 * self._pause, 0.05)
        return self._pause


def _make(package: str, url: str | None, host: str, port: int, options: Options) -> Sdk:
    """Make a client of ``redis`` or ``redis.asyncio`` that tries once more if its connection was lost.

    One more try finds a server that was restarted behind an open connection. There is none after a timeout: the
    answer to an abandoned request must never be read as the answer to the next, nor may the waiting add up.
    """
    kind: Sdk = importlib.import_module(package).Redis
    once = importlib.import_module(f"{package}.retry").Retry
    backoff = importlib.import_module("redis.backoff").NoBackoff()
    errors = [importlib.import_module("redis").ConnectionError]
    # The oldest redis-py takes the errors in two places.
    retry = {"retry": once(backoff, 1, tuple(errors)), "retry_on_error": errors}
    options = {"max_connections": MOST_CONNECTIONS, **retry, **options}
    return kind.from_url(url, **options) if url is not None else kind(host=host, port=port, **options)


def _replace_pool(package: str, client: Sdk, asked: Options, **options: object) -> Sdk:
    """Make the same client over a pool that waits. Only redis-py knows what its arguments and URLs mean."""
    redis: Sdk = importlib.import_module(package)
    old = client.connection_pool
    settings = {name: value for name, value in old.connection_kwargs.items() if name not in _MADE_BY_THE_POOL}
    kind = make_quick(client, {**settings, **_OUR_RETRIES, **asked})
    if getattr(old, "cache", None) is not None:  # redis-py's client-side caching
        settings["cache"] = old.cache
    pool = redis.BlockingConnectionPool(max_connections=old.max_connections, timeout=None, **(settings | options))
    return kind.from_pool(pool)


class _Running(threading.local):
    """The operation that this thread performs: when it must have ended, by `time.monotonic`."""

    until: float = inf


_running = _Running()


def _seconds_left() -> float:
    left = _running.until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


class _Stack:
    """The free connections of a pool, the latest used first. Taking one begins the time of an operation.

    It stands in for the ``LifoQueue`` of redis-py's pool, which costs ten times as much.

    Ctrl-C may come between taking a connection and the `try` that gives it back. So it is noted who took one: a thread, and
    the call that uses it. Once that call has ended, what it took is free again. A connection is moved by statements that
    call nothing, because an interrupt doesn't come between such.
    """

    def __init__(self, size: int, *, seconds: float) -> None:
        self.queue: list[Sdk] = []
        self._size = size
        self._seconds = seconds
        self._lock = threading.Lock()
        self._taken: dict[FrameType, tuple[int, Sdk]] = {}
        self._is_awaited = False
        self._freed: SimpleQueue[None] = SimpleQueue()

    def put_nowait(self, connection: Sdk) -> None:
        """Put a connection back."""
        user = sys._getframe(1) if self._taken else None  # noqa: SLF001 - no other way is as fast
        while user is not None and user not in self._taken:
            user = user.f_back
        with self._lock:
            count = len(self.queue)
            if user in self._taken:
                del self._taken[user]
            if count >= self._size:
                raise Full
            self.queue[count:] = (connection,)
        if self._is_awaited and self._freed.empty():
            self._freed.put(None)

    def get(self, block: bool = True, timeout: float | None = None) -> Sdk:
        """Take a connection; wait for one if there is none."""
        user, thread = _find_user(sys._getframe(1)), threading.get_ident()  # noqa: SLF001 - as above
        until = time.monotonic() + (inf if timeout is None else timeout)
        while True:
            with self._lock:
                if self.queue:
                    connection = self.queue[-1]
                    self._taken[user] = thread, connection
                    del self.queue[-1]
                    break
            if not self._free_lost():
                self._wait(until if block else -inf)
        if self._is_awaited and self.queue:  # for the next who waits
            self._freed.put(None)
        _running.until = time.monotonic() + self._seconds
        return connection

    def _wait(self, until: float) -> None:
        """Wait until a connection is put back, or for so long that it is time to look for lost ones again."""
        left = until - time.monotonic()
        if left <= 0:
            raise Empty
        self._is_awaited = True
        with contextlib.suppress(Empty):
            self._freed.get(timeout=min(left, _LOOK_AGAIN))

    def _free_lost(self) -> bool:
        """Give back what calls have taken that have ended; return whether there are any."""
        lost: list[Sdk] = []
        with self._lock, without_collecting():
            stacks = sys._current_frames()  # noqa: SLF001 - with the lock, so that none is taken meanwhile
            for user, (thread, connection) in list(self._taken.items()):
                frame = stacks.get(thread)
                while frame is not None and frame is not user:
                    frame = frame.f_back
                if frame is None:
                    del self._taken[user]
                    self.queue.insert(0, None)
                    lost.append(connection)
        for connection in lost:
            if connection is not None:  # a reply to what was interrupted may still come
                connection.disconnect()
        return bool(lost)


_LOOK_AGAIN = 0.1
"""Seconds between two looks whether a connection was lost, while there is none to be had."""

_POOLS = frozenset({"redis.connection", "redis.utils"})


def _find_user(frame: FrameType) -> FrameType:
    """The call that a connection is taken for: the one that asks the pool."""
    while frame.f_globals.get("__name__") in _POOLS and frame.f_back is not None:
        frame = frame.f_back
    return frame


class _BoundedSocket:
    """A socket whose every step takes no longer than what is left of its thread's operation.

    A socket's own timeout is for one piece. A server, or a network, that delivers an answer byte by byte would keep a
    caller waiting for as long as it likes.
    """

    def __init__(self, raw: socket.socket, timeout: float | None) -> None:
        self._raw = raw
        self._timeout = self._current = timeout
        self._limit()
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(raw, select.POLLIN)

    def is_silent(self) -> bool:
        """Whether nothing has come, not even the end. Not for systems without `select.poll`."""
        return not self._poll.poll(0)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of something. Python's own `sendall` takes no longer than its timeout in all."""
        self._limit()
        self._raw.sendall(data)

    def recv(self, size: int) -> bytes:
        """Receive a piece."""
        if self._timeout != 0:
            self._limit()
        return self._raw.recv(size)

    def recv_into(self, buffer: bytearray | memoryview, *arguments: int) -> int:
        """Receive a piece into a buffer."""
        if self._timeout != 0:
            self._limit()
        return self._raw.recv_into(buffer, *arguments)

    def settimeout(self, timeout: float | None) -> None:
        """Set the longest time for a piece; 0 to receive only what has arrived."""
        self._timeout = self._current = timeout
        self._raw.settimeout(timeout)

    def _limit(self) -> None:
        left = _seconds_left()
        timeout = inf if self._timeout is None else self._timeout
        # Setting a timeout is a call of the operating system. Most answers come in one piece, and need none.
        wanted = self._timeout if left >= 0.99 * timeout else left
        if wanted != self._current:
            self._current = wanted
            self._raw.settimeout(wanted)

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)


class _BoundedConnection:
    """What `_bounded` adds to a class of connections."""

    socket_connect_timeout: float | None
    socket_timeout: float | None

    def _connect(self) -> _BoundedSocket:
        left = _seconds_left()
        if left < inf:
            self.socket_connect_timeout = left
        connect = cast("Callable[[], socket.socket]", super()._connect)  # type: ignore[misc] # pyright: ignore - redis-py's own
        return _BoundedSocket(connect(), self.socket_timeout)


@cache
def _bounded(kind: type) -> type:
    """Return a class of connections (TCP, TLS or Unix) as one whose sockets are bounded."""
    return type(f"Bounded{kind.__name__}", (_BoundedConnection, kind), {})


def class_name(value: object) -> str:
    """The full name of a value's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def check_clients(client: Sdk, async_client: Sdk, url: str | None, options: Options) -> None:
    """Refuse what can't be a client of the user's, or one of the other kind."""
    if url is not None or options:
        raise ArgumentError("RedisCache takes either a client, or url= and options to make one, not both.")
    for name, value, other in (("client", client, "async_client"), ("async_client", async_client, "client")):
        if value is None:
            continue
        if isinstance(value, type) or not (hasattr(value, "get") and hasattr(value, "set")):
            raise ArgumentError(
                f"RedisCache({name}=) takes a client such as redis.Redis(); got a {class_name(value)}. "
                "Pass a redis:// URL as url=."
            )
        modules = [ancestor.__module__ for ancestor in type(value).__mro__]
        known = any(module.startswith("redis.") for module in modules)
        asynchronous = any(module.startswith("redis.asyncio") for module in modules)
        if known and asynchronous == (name == "client"):
            raise ArgumentError(f"RedisCache({name}=) takes no {class_name(value)}. Pass it as {other}=.")

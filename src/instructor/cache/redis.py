"""The store in Redis or Valkey, for many machines. Redis's commands GET, SET with EX, UNLINK and SCAN are used."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

from instructor.cache.redis_pool import (
    make_async_client,
    make_client,
    pool_size,
    wait_for_connection,
    wait_for_connection_async,
)
from instructor.cache.store import Ability, BaseCache, Text, check_key, check_text, check_ttl, is_timeout
from instructor.exceptions import CacheEntryError, ConfigurationError

_BATCH = 1000
"""How many keys `RedisCache.clear` asks for, and removes, at a time."""

_HOST, _PORT, _LAST_PORT = "localhost", 6379, 65_535


class RedisCache(BaseCache):
    """A store in Redis 5 or later, or Valkey: one answer is shared by all machines that reach the server.

    You would use it for services with several processes or hosts. Threads are served by a ``redis.Redis``, tasks by
    a ``redis.asyncio.Redis`` for each event loop, which is closed with the loop. Use it in a ``with`` or
    ``async with`` block to close all its connections at the end.
    A server that was stopped and started again is found again; nothing needs to be made anew.
    What another program keeps under a key of this store, in another type than a string, is a miss and is overwritten.

    Args:
        host: The server. Default ``"localhost"``.
        port: Its port. Default 6379.
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, instead of `host` and `port`.
        client: A client of your own instead: ``redis.Redis``, ``redis.RedisCluster``, or a Sentinel's
            ``master_for(...)``. Its own timeouts apply beside `timeout`. While its pool has no free connection,
            operations wait for one.
        async_client: A client of your own from ``redis.asyncio``, for the asynchronous methods. With `client` only,
            these run in a thread. With `async_client` only, `get` and `set` return awaitables, which synchronous
            callers wait for in a loop of their own; do not then share it with asynchronous ones.
        prefix: Begins every key, and limits what `clear` removes. Default ``"instructor:"``.
        timeout: Seconds for a whole operation, connecting included, at most a day. Default 2.0. Waiting for a free
            connection does not count.
        **options: Further arguments of ``redis.Redis``, such as ``password``, ``username``, ``db`` and ``ssl``.
            ``max_connections`` (default 50) is how many connections are open at once to serve threads, and to serve
            the tasks of each event loop. Where more operations are under way they wait for each other.

    Raises:
        ConfigurationError: The redis package is missing, or an argument is wrong.

    Example:
        >>> cache = RedisCache(url="redis://localhost:6379/0")
        >>> client = instructor.from_provider("openai/gpt-6-luna", cache=cache)
    """

    abilities: frozenset[Ability] = frozenset({"async", "bounded"})

    def __init__(
        self,
        host: str = _HOST,
        port: int = _PORT,
        url: str | None = None,
        client: Any = None,
        async_client: Any = None,
        prefix: str = "instructor:",
        timeout: float = 2.0,
        **options: Any,
    ) -> None:
        self._own = client is None and async_client is None
        _check_arguments(prefix, timeout)
        if self._own:
            _check_target(host, port, url)
        else:
            _check_clients(client, async_client, url, options)
            # Only you know whether a client of yours bounds its waiting; and without an asynchronous one, tasks use
            # the plain methods, in worker threads.
            self.abilities = frozenset({"async"} if async_client is not None else ())
        self.prefix = prefix
        self.timeout = self._patience = timeout
        self._target: tuple[str, int, str | None] = (host, port, url)
        self._options = options
        self._client: Any = client
        self._given_async: Any = async_client
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        if self._own:
            self._client = self._build(lambda: make_client(url, host, port, timeout, options))
        # A turn with the store is a connection.
        self.concurrency = pool_size(self._client if async_client is None else async_client)

    def get(self, key: str) -> Any:
        """Return the text under `key`, or None.

        Raises:
            CacheEntryError: The key holds no text, but a list or another type of Redis.
            CacheNotTriedError: The pool of your client had no free connection.
        """
        name = self._name(key)
        try:
            found = self._call("get", name)
        except Exception as error:
            _check_entry(key, error)
            raise
        if found is None or isinstance(found, bytes):
            return found
        return _check_awaited(key, found) if inspect.isawaitable(found) else found

    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        """Store a text under `key`, for `ttl` seconds if given, whatever was there before.

        Raises:
            ConfigurationError: `key` is not a str, `value` is not text, or `ttl` is not a number of whole seconds
                above 0.
            CacheNotTriedError: As `get`.
        """
        return self._call("set", self._name(key), check_text("RedisCache", value), check_ttl("RedisCache", ttl))

    async def get_async(self, key: str) -> Text | None:
        """As `get`, without blocking the event loop. A client bounds its time; bound it yourself if you call it."""
        client = await self._async()
        if client is None:
            found: Text | None = await asyncio.to_thread(self.get, key)
            return found
        return await _check_awaited(key, self._call_async(client, "get", self._name(key)))

    async def set_async(self, key: str, value: str, ttl: int | None = None) -> None:
        """As `set`, without blocking the event loop, and as `get_async`."""
        client = await self._async()
        if client is None:
            await asyncio.to_thread(self.set, key, value, ttl)
        else:
            text, seconds = check_text("RedisCache", value), check_ttl("RedisCache", ttl)
            await self._call_async(client, "set", self._name(key), text, seconds)

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        return bool(self._sync().unlink(self._name(key)))

    def clear(self) -> None:
        """Remove all entries of this prefix. It scans the whole database, and touches nothing else in it."""
        client = self._sync()
        pattern = "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in self.prefix) + "*"
        batch: list[Any] = []
        for name in client.scan_iter(match=pattern, count=_BATCH):
            batch.append(name)
            if len(batch) == _BATCH:
                client.unlink(*batch)
                batch.clear()
        if batch:
            client.unlink(*batch)

    def close(self) -> None:
        """Close the synchronous connections that this store made. Using it again opens them again."""
        if self._own:
            self._client.close()

    async def close_async(self) -> None:
        """Close the connections that this store made in the running loop; otherwise they are closed with the loop."""
        held = self._by_loop.pop(asyncio.get_running_loop(), None)
        if held is not None:
            await held.keeper.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()
        self.close()

    def _name(self, key: str) -> str:
        return self.prefix + check_key("RedisCache", key)

    def _call(self, command: str, *arguments: Any) -> Any:
        if self._own:
            return _COMMANDS[command](self._client, *arguments)
        if self._client is None:
            # An awaitable, which the handle of a synchronous caller waits for.
            return self._call_async(self._given_async, command, *arguments)
        return wait_for_connection(lambda: _COMMANDS[command](self._client, *arguments), self._patience)

    async def _call_async(self, client: Any, command: str, *arguments: Any) -> Any:
        if self._own:
            return await _COMMANDS[command](client, *arguments)
        return await wait_for_connection_async(lambda: _COMMANDS[command](client, *arguments), self._patience)

    def _sync(self) -> Any:
        if self._client is None:
            raise ConfigurationError("This RedisCache has only an async_client. Pass client= too to delete and clear.")
        return self._client

    async def _async(self) -> Any:
        """Return the asynchronous client of the running loop; None if there is only a synchronous one.

        A connection belongs to the loop that opened it, so each loop has a client of its own.
        """
        if not self._own:
            return self._given_async
        loop = asyncio.get_running_loop()
        held = self._by_loop.get(loop)
        if held is None or held.process != os.getpid():
            for closed in [other for other in list(self._by_loop) if other.is_closed()]:
                self._by_loop.pop(closed, None)
            held = self._by_loop[loop] = _LoopClient(self._connect_async(), self._by_loop)
            await held.keeper.asend(None)
        return held.client

    def _connect_async(self) -> Any:
        host, port, url = self._target
        return self._build(lambda: make_async_client(url, host, port, self._options))

    def _build(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (TypeError, ValueError) as error:
            # Without its cause, whose text may hold the password of the URL.
            message = _hide(str(error), self._target[2], self._options)
            raise ConfigurationError(f"RedisCache could not be set up: {message}") from None

    def __repr__(self) -> str:
        host, port, url = self._target
        if not self._own:
            return f"RedisCache(client={_class_name(self._client or self._given_async)}, prefix={self.prefix!r})"
        parts = urlsplit(url) if url is not None else None
        where = f"{host}:{port}" if parts is None else f"{parts.hostname or ''}:{parts.port or port}{parts.path}"
        return f"RedisCache({where!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._own:
            raise TypeError("A RedisCache over a client of yours cannot be copied or sent to another process.")
        return _rebuild, (*self._target, self.prefix, self._patience, self._options)


class _LoopClient:
    """The asynchronous client of one event loop, and what closes it."""

    __slots__ = ("client", "keeper", "process")

    def __init__(self, client: Any, by_loop: dict[asyncio.AbstractEventLoop, _LoopClient]) -> None:
        self.client = client
        self.process = os.getpid()
        self.keeper = _keep(client, by_loop)


async def _keep(client: Any, by_loop: dict[asyncio.AbstractEventLoop, _LoopClient]) -> AsyncGenerator[None, None]:
    """Close the client when the loop ends: `asyncio.run` and its like close every generator begun in their loop."""
    try:
        yield
    finally:
        by_loop.pop(asyncio.get_running_loop(), None)
        await client.aclose()


def _get(client: Any, name: str) -> Any:
    return client.get(name)


def _set(client: Any, name: str, text: str | bytes, seconds: int | None) -> Any:
    return client.set(name, text, ex=seconds)


_COMMANDS: dict[str, Callable[..., Any]] = {"get": _get, "set": _set}


def _check_entry(key: str, error: Exception) -> None:
    """Raise `CacheEntryError` if an error says what is wrong with one key, rather than with the server."""
    if isinstance(error, UnicodeDecodeError):  # by a client with decode_responses=True
        raise CacheEntryError(f"The Redis key of {key!r} holds no text: {error}.") from error
    if str(error).startswith("WRONGTYPE"):  # https://redis.io/docs/latest/commands/get/
        raise CacheEntryError(f"The Redis key of {key!r} holds another type than a string.") from error


async def _check_awaited(key: str, found: Awaitable[Text | None]) -> Text | None:
    try:
        return await found
    except Exception as error:
        _check_entry(key, error)
        raise


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _rebuild(host: str, port: int, url: str | None, prefix: str, timeout: float, options: dict[str, Any]) -> RedisCache:
    return RedisCache(host, port, url, prefix=prefix, timeout=timeout, **options)


def _check_arguments(prefix: Any, timeout: Any) -> None:
    if not isinstance(prefix, str) or not prefix:
        raise ConfigurationError(f"RedisCache(prefix=) takes a str that is not empty; got {prefix!r}.")
    check_key("RedisCache(prefix=)", prefix)
    if not is_timeout(timeout):
        raise ConfigurationError(f"RedisCache(timeout=) takes seconds above 0, at most a day; got {timeout!r}.")


def _check_target(host: Any, port: Any, url: Any) -> None:
    if url is not None and not isinstance(url, str):
        raise ConfigurationError(f"RedisCache(url=) takes a str; got {type(url).__name__}.")
    if url is not None and (host, port) != (_HOST, _PORT):
        raise ConfigurationError("RedisCache takes either url=, or host= and port=, not both.")
    if not isinstance(host, str) or not host.strip() or "://" in host:
        # Without the host, because what stands there by mistake may be a URL with its password.
        raise ConfigurationError("RedisCache(host=) takes the name of a server. Pass a redis:// URL as url=.")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _LAST_PORT:
        raise ConfigurationError(f"RedisCache(port=) takes an int from 1 to {_LAST_PORT}; got {type(port).__name__}.")


def _check_clients(client: Any, async_client: Any, url: Any, options: dict[str, Any]) -> None:
    if url is not None or options:
        raise ConfigurationError("RedisCache takes either a client, or url= and options to make one, not both.")
    for name, given, other in (("client", client, "async_client"), ("async_client", async_client, "client")):
        if given is None:
            continue
        if isinstance(given, type) or not (hasattr(given, "get") and hasattr(given, "set")):
            raise ConfigurationError(
                f"RedisCache({name}=) takes a client such as redis.Redis(); got a {_class_name(given)}. "
                "Pass a redis:// URL as url=."
            )
        modules = [kind.__module__ for kind in type(given).__mro__]
        known = any(module.startswith("redis.") for module in modules)
        asynchronous = any(module.startswith("redis.asyncio") for module in modules)
        if known and asynchronous == (name == "client"):
            raise ConfigurationError(f"RedisCache({name}=) was given a {_class_name(given)}. Pass it as {other}=.")


def _hide(text: str, url: str | None, options: dict[str, Any]) -> str:
    secrets = [url, options.get("password")]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return text

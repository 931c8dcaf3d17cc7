"""The store in Redis or Valkey, for many machines. Redis's commands GET, SET with EX, UNLINK and SCAN are used."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any
from urllib.parse import urlsplit

from instructor.cache.store import Ability, BaseCache, check_key, check_text, check_ttl, is_timeout
from instructor.cache.threads import Workers
from instructor.exceptions import CacheEntryError, ConfigurationError

_BATCH = 1000
"""How many keys `RedisCache.clear` asks for, and removes, at a time."""

_LAST_PORT = 65_535


class RedisCache(BaseCache):
    """A store in Redis 5 or later, or Valkey: one answer is shared by all machines that reach the server.

    You would use it for services with several processes or hosts. Both clients are native: the synchronous one uses
    ``redis.Redis``, the asynchronous one ``redis.asyncio.Redis``, one per event loop, closed with the loop.
    A server that was stopped and started again is found again; nothing needs to be made anew.
    What another program keeps under a key of this store, in another type than a string, is a miss and is overwritten.

    Args:
        host: The server. Default ``"localhost"``.
        port: Its port. Default 6379.
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, instead of `host` and `port`.
        client: A client of your own instead: ``redis.Redis``, ``redis.RedisCluster``, or a Sentinel's
            ``master_for(...)``. Its own timeouts apply beside `timeout`.
        async_client: A client of your own from ``redis.asyncio``, for the asynchronous methods. With `client` only,
            these run in a thread. With `async_client` only, `get` and `set` return awaitables, which synchronous
            callers wait for in a loop of their own; do not then share it with asynchronous ones.
        prefix: Begins every key, and limits what `clear` removes. Default ``"instructor:"``.
        timeout: Seconds for connecting, and for each answer, at most a day. Default 2.0.
        **options: Further arguments of ``redis.Redis``, such as ``password``, ``username``, ``db`` and ``ssl``.

    Raises:
        ConfigurationError: The redis package is missing, or an argument is wrong.

    Example:
        >>> cache = RedisCache(url="redis://localhost:6379/0")
        >>> client = instructor.from_provider("openai/gpt-4.1-mini", cache=cache)  # doctest: +SKIP
    """

    abilities: frozenset[Ability] = frozenset({"async", "bounded"})

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
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
            # Only you know whether a client of yours bounds its waiting.
            self.abilities = self.abilities - {"bounded"}
        self.prefix = prefix
        self.timeout = timeout
        self._target: tuple[str, int, str | None] = (host, port, url)
        self._options = options
        self._client: Any = self._connect() if self._own else client
        self._given_async: Any = async_client
        self._workers = Workers()
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    def get(self, key: str) -> Any:
        """Return the text under `key`, or None.

        Raises:
            CacheEntryError: The key holds no text, but a list or another type of Redis.
        """
        with _judged(key):
            found = self._any().get(self._name(key))
        return _judge(key, found) if inspect.isawaitable(found) else found

    def set(self, key: str, value: Any, ttl: int | None = None) -> Any:
        """Store a text under `key`, for `ttl` seconds if given, whatever was there before.

        Raises:
            ConfigurationError: `key` is no str, `value` is no text, or `ttl` no number of whole seconds above 0.
        """
        return self._any().set(self._name(key), check_text("RedisCache", value), ex=check_ttl("RedisCache", ttl))

    async def get_async(self, key: str) -> str | bytes | None:
        """As `get`, without blocking the event loop."""
        client = await self._async()
        if client is None:
            return await self._workers.run_async(lambda: self.get(key), self.timeout)
        return await _judge(key, client.get(self._name(key)))

    async def set_async(self, key: str, value: str, ttl: int | None = None) -> None:
        """As `set`, without blocking the event loop."""
        client = await self._async()
        if client is None:
            await self._workers.run_async(lambda: self.set(key, value, ttl), self.timeout)
        else:
            await client.set(self._name(key), check_text("RedisCache", value), ex=check_ttl("RedisCache", ttl))

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

    def _name(self, key: str) -> str:
        return self.prefix + check_key("RedisCache", key)

    def _any(self) -> Any:
        # An asynchronous client returns awaitables, which the handle of a synchronous caller waits for.
        return self._client if self._client is not None else self._given_async

    def _sync(self) -> Any:
        if self._client is None:
            raise ConfigurationError("This RedisCache has only an async_client. Pass client= too to delete and clear.")
        return self._client

    async def _async(self) -> Any:
        """The asynchronous client of the running loop; None if there is only a synchronous one.

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

    def _connect(self) -> Any:
        redis = _import_redis()
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # One more try finds a server that was restarted behind an open connection. After a timeout there is none:
        # the answer to a request given up must never be read as the answer to the next, nor may the waiting add up.
        return self._build(redis.Redis, Retry(NoBackoff(), 1, (redis.ConnectionError,)))

    def _connect_async(self) -> Any:
        module: Any = importlib.import_module("redis.asyncio")
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        return self._build(module.Redis, Retry(NoBackoff(), 1, (module.ConnectionError,)))

    def _build(self, kind: Any, retry: Any) -> Any:
        host, port, url = self._target
        options = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "retry": retry,
            **self._options,
        }
        try:
            if url is not None:
                return kind.from_url(url, **options)
            return kind(host=host, port=port, **options)
        except (TypeError, ValueError) as error:
            # Without its cause, whose text may hold the password of the URL.
            raise ConfigurationError(f"RedisCache could not be set up: {_hide(str(error), url, options)}") from None

    def __repr__(self) -> str:
        host, port, url = self._target
        if not self._own:
            return f"RedisCache(client={_class_name(self._any())}, prefix={self.prefix!r})"
        parts = urlsplit(url) if url is not None else None
        where = f"{host}:{port}" if parts is None else f"{parts.hostname or ''}:{parts.port or port}{parts.path}"
        return f"RedisCache({where!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._own:
            raise TypeError("A RedisCache over a client of yours cannot be copied or sent to another process.")
        return _rebuild, (*self._target, self.prefix, self.timeout, self._options)


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


@contextlib.contextmanager
def _judged(key: str) -> Generator[None, None, None]:
    """Emit what is wrong with one key from what is wrong with the server."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UnicodeDecodeError):  # by a client with decode_responses=True
            raise CacheEntryError(f"The Redis key of {key!r} holds no text: {error}.") from error
        if str(error).startswith("WRONGTYPE"):  # https://redis.io/docs/latest/commands/get/
            raise CacheEntryError(f"The Redis key of {key!r} holds another type than a string.") from error
        raise


async def _judge(key: str, found: Awaitable[str | bytes | None]) -> str | bytes | None:
    with _judged(key):
        return await found


def _class_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _rebuild(host: str, port: int, url: str | None, prefix: str, timeout: float, options: dict[str, Any]) -> RedisCache:
    return RedisCache(host, port, url, prefix=prefix, timeout=timeout, **options)


def _import_redis() -> Any:
    try:
        import redis
    except ImportError as error:
        raise ConfigurationError('RedisCache needs the redis package: pip install "instructor[redis]"') from error
    return redis


def _check_arguments(prefix: Any, timeout: Any) -> None:
    if not isinstance(prefix, str) or not prefix:
        raise ConfigurationError(f"RedisCache(prefix=) takes a str that is not empty; got {prefix!r}.")
    check_key("RedisCache(prefix=)", prefix)
    if not is_timeout(timeout):
        raise ConfigurationError(f"RedisCache(timeout=) takes seconds above 0, at most a day; got {timeout!r}.")


def _check_target(host: Any, port: Any, url: Any) -> None:
    if url is not None and not isinstance(url, str):
        raise ConfigurationError(f"RedisCache(url=) takes a str; got {type(url).__name__}.")
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

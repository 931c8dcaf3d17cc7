"""The store in Redis or Valkey, for many machines.

It uses Redis's commands GET, SET with EX, UNLINK and SCAN; for tags also two hashes and a script (`redis_steps`).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from instructor.cache.entry import Generations
from instructor.cache.handle import known_handles
from instructor.cache.lease import LEASE_SECONDS, check_lease
from instructor.cache.listing import Listed, Which, read_tagged, select
from instructor.cache.redis_leases import RedisLeases
from instructor.cache.redis_ledger import KeepsLedger
from instructor.cache.redis_link import make_listen
from instructor.cache.redis_pool import (
    Options,
    Sdk,
    check_clients,
    class_name,
    make_async_client,
    make_client,
    make_listening_client,
    pool_size,
    wait_for_connection,
    wait_for_connection_async,
)
from instructor.cache.redis_steps import (
    Steps,
    clear,
    list_some,
    number_tag,
    perform,
    perform_async,
    read_many,
    read_numbers,
    run_script,
    unlink,
    write_tagged,
)
from instructor.cache.store import Ability, BaseCache, Text, check_key, check_text, check_timeout, check_ttl
from instructor.cache.tracking import Memory, NamesOf, Tracker, Watch
from instructor.exceptions import ArgumentError, CacheEntryError, ConfigurationError
from instructor.locks import make_lock

T = TypeVar("T")

_RESERVED = frozenset("/?#[] ")
"""What ends the part of a URL before the host; in a user name or a password it has to be percent-encoded."""

_HOST, _PORT, _LAST_PORT = "localhost", 6379, 65_535


class RedisCache(KeepsLedger, BaseCache):
    """A store in Redis 5 or later, or Valkey: one answer is shared by all machines that reach the server.

    Use it for services with several processes or hosts. Threads are served by a ``redis.Redis``, tasks by a
    ``redis.asyncio.Redis`` for each event loop, which is closed with the loop. Tasks must be asyncio's. Use the store
    in a ``with`` or ``async with`` block to close all its connections at the end. A server that was restarted is
    found again. A key of this store that holds another type than a string is a cache miss and is overwritten.

    Args:
        host: The server. Default ``"localhost"``.
        port: Its port. Default 6379.
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``, instead of `host` and `port`.
        client: A client of your own instead: ``redis.Redis``, ``redis.RedisCluster``, or a Sentinel's
            ``master_for(...)``. Its own timeouts apply beside `timeout`. While its pool has no free connection,
            operations wait for one. Close it yourself.
        async_client: A client of your own from ``redis.asyncio``, for the asynchronous methods. With `client` only,
            these run in a thread. With `async_client` only, `get` and `set` return awaitables, which synchronous
            callers wait for in a loop of their own; do not then share it with asynchronous ones.
        prefix: Begins every key, and limits what `clear` removes. Default ``"instructor:"``.
        timeout: Seconds for a whole operation, connecting included, at most a day. Default 2.0. Waiting for a free
            connection does not count.
        lease: Seconds for which a process that was killed while it asked keeps others waiting that make the same call.
            Default 5.0, at most 60; None so that each process asks for itself, as it does with an `async_client` only.
        tracking: Whether memory that stands before this store on a path is kept right by the server (client tracking,
            Redis 6 or later, or Valkey); see `docs/caching.md`. Default True. It takes a connection of its own, to each
            primary of a cluster.
        **options: Further arguments of ``redis.Redis``, such as ``password``, ``username``, ``db`` and ``ssl``.
            ``max_connections`` (default 50) limits the connections that serve threads, and those that serve the tasks
            of each event loop. It is also the store's `concurrency`: further operations wait for their turn.

    Raises:
        ConfigurationError: The redis package is missing, or an argument is wrong.

    Example:
        >>> cache = RedisCache(url="redis://localhost:6379/0")
        >>> client = instructor.from_provider("openai/gpt-6-luna", cache=cache)
    """

    abilities: frozenset[Ability] = frozenset(
        {"async", "bounded", "listing", "deleting", "tagging", "tracking", "ledger", "leasing"}
    )

    def __init__(
        self,
        host: str = _HOST,
        port: int = _PORT,
        url: str | None = None,
        client: Sdk = None,
        async_client: Sdk = None,
        prefix: str = "instructor:",
        timeout: float = 2.0,
        lease: float | None = LEASE_SECONDS,
        tracking: bool = True,
        **options: Any,
    ) -> None:
        self._own = client is None and async_client is None
        self.prefix = _check_prefix(prefix)
        self.timeout = self._patience = check_timeout("RedisCache", timeout)
        self._target = (host, port, url)
        self._options: Options = options
        self._client: Sdk = client
        self._async_client: Sdk = async_client
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        if self._own:
            _check_target(host, port, url)
            self._client = self._build(lambda: make_client(url, host, port, timeout, options))
        else:
            check_clients(client, async_client, url, options)
            # We don't know whether a client of yours limits its own time, so tasks or worker threads wait for it.
            unsure = {"bounded"} if async_client is not None else {"bounded", "async"}
            self.abilities = type(self).abilities - unsure
        self._lease = check_lease("RedisCache", lease)
        if lease is None or not hasattr(self._client, "eval"):
            self.abilities = self.abilities - {"leasing"}
        self.abilities -= frozenset() if tracking else {"tracking"}
        self._tracker: Tracker | None = None
        self.concurrency = pool_size(self._client if async_client is None else async_client)

    def get(self, key: str) -> Awaitable[Text | None] | Text | None:
        """Return the text under `key`, or None.

        Returns:
            ``bytes``; ``str`` with ``decode_responses=True``; an awaitable of them if there is only an `async_client`.

        Raises:
            CacheEntryError: The key holds no text, but a list or another type of Redis.
            CacheNotTriedError: The pool of your client had no free connection.
        """
        name = self._name(key)
        try:
            found: Awaitable[Text | None] | Text | None
            found = self._client.get(name) if self._own else self._call(lambda client: client.get(name))
        except Exception as error:
            _check_entry(key, error)
            raise
        if found is None or isinstance(found, bytes):
            return found
        return _check_awaited(key, found) if inspect.isawaitable(found) else found

    def set(self, key: str, value: str | bytes, ttl: int | None = None) -> Awaitable[None] | None:
        """Store a text under `key`, for `ttl` seconds unless it is None, whatever was there before.

        Raises:
            ConfigurationError: `key` is not a str, `value` is not text, or `ttl` is not a number of whole seconds
                above 0.
            CacheNotTriedError: As `get`.
        """
        operate = self._setter(key, value, ttl)
        written = operate(self._client) if self._own else self._call(operate)
        return written if inspect.isawaitable(written) else None

    async def get_async(self, key: str) -> Text | None:
        """As `get`, without blocking the event loop.

        `timeout` is up to the client of instructor that calls it: if you call it yourself, limit its time.
        """
        client, name = await self._get_async_client(), self._name(key)
        if client is None:
            found = await asyncio.to_thread(self.get, key)
            return found if found is None or not inspect.isawaitable(found) else await found
        return await _check_awaited(key, self._call_async(client, lambda client: client.get(name)))

    async def set_async(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
        """As `set`, without blocking the event loop, and without a timeout as `get_async`."""
        client = await self._get_async_client()
        if client is None:
            await asyncio.to_thread(self.set, key, value, ttl)
        else:
            await self._call_async(client, self._setter(key, value, ttl))

    def get_many(self, keys: Sequence[str]) -> list[Text | None]:
        """Return the text under each of `keys`, in one command for a thousand of them; on a cluster, one for each slot.

        What holds another type than a string counts as absent.
        """
        return self._perform(read_many([self._name(key) for key in keys]))

    async def get_many_async(self, keys: Sequence[str]) -> list[Text | None]:
        """As `get_many`, without blocking the event loop, and without a timeout as `get_async`."""
        return await self._perform_here(read_many([self._name(key) for key in keys]))

    def delete(self, key: str) -> bool:
        """Remove the entry under `key`; return whether it was there."""
        return bool(self.delete_many([key]))

    def delete_many(self, keys: Sequence[str]) -> int:
        """Remove the entries under `keys`; return how many of them were there."""
        return self._perform(unlink([self._name(key) for key in keys])) if keys else 0

    def clear(self) -> int:
        """Remove all entries of this prefix; return how many there were.

        It scans the whole database, and touches nothing else in it.
        """
        return self._perform(clear(self.prefix))

    def list_entries(self) -> Iterator[list[Listed]]:
        """Describe all entries of this prefix, in batches. It scans the whole database."""
        cursor, is_over = None, False
        while not is_over:
            batch, cursor = self._perform(list_some(self.prefix, cursor))
            is_over = cursor is None
            yield batch

    def generations(self, tags: Sequence[str]) -> Generations:
        """Return the number of the latest invalidation of all, and of each of `tags`, in one command."""
        return self._perform_any(read_numbers(self.prefix, tags))

    def invalidate_tag(self, tag: str) -> int:
        """Stop serving the answers that have a tag, in one command.

        Returns how many answers were stored with it since it was last invalidated.
        """
        return self._perform(number_tag(self.prefix, tag))

    async def delete_async(self, key: str) -> bool:
        """As `delete`, without blocking the event loop, and without a timeout as `get_async`."""
        return bool(await self._perform_here(unlink([self._name(key)])))

    async def clear_async(self) -> int:
        """As `clear`, likewise."""
        return await self._perform_here(clear(self.prefix))

    async def list_entries_async(self) -> AsyncIterator[list[Listed]]:
        """As `list_entries`, likewise."""
        cursor, is_over = None, False
        while not is_over:
            batch, cursor = await self._perform_here(list_some(self.prefix, cursor))
            is_over = cursor is None
            yield batch

    async def generations_async(self, tags: Sequence[str]) -> Generations:
        """As `generations`, likewise."""
        return await self._perform_here(read_numbers(self.prefix, tags))

    async def invalidate_async(self, **which: Unpack[Which]) -> int:
        """As `invalidate`, likewise."""
        selection = select(which, time.time)
        if selection.only_tag is not None:
            count = await self._perform_here(number_tag(self.prefix, selection.only_tag))
            if not which.get("erase"):
                return count
        removed = 0
        async for batch in self.list_entries_async():
            names = [self._name(key) for key in selection.keys_of(batch)]
            removed += await self._perform_here(unlink(names)) if names else 0
        return removed

    @property
    def leases(self) -> RedisLeases:
        """Which of several processes asks for an answer."""
        seconds, (host, port, url) = self._lease or LEASE_SECONDS, self._target
        connect = partial(make_listening_client, url, host, port, self._patience, self._options)
        return RedisLeases(self.prefix, seconds, self._perform, self._perform_here, connect if self._own else None)

    def watch(self, memory: Memory, names_of: NamesOf | None = None) -> Watch:
        """Keep a store in memory right that stands before this one. `TieredCache` and lists of stores do so."""
        with _making:
            if self._tracker is None:
                client = self._client if self._async_client is None else self._async_client
                self._tracker = Tracker(make_listen(client, self.prefix), type(self).__name__)
                weakref.finalize(self, self._tracker.close).atexit = False
        return self._tracker.watch(memory, names_of)

    def evaluate(self, script: str, name: str, argument: str) -> Any:
        """Run a script of Lua with one key and one argument. `Limits` are shared by one."""
        return self._perform(run_script(self.prefix, script, name, argument))

    async def evaluate_async(self, script: str, name: str, argument: str) -> Any:
        """As `evaluate`, without blocking the event loop."""
        return await self._perform_here(run_script(self.prefix, script, name, argument))

    def close(self) -> None:
        """Write down what is noted, and close the synchronous connections that this store made. Using it opens them again."""
        for handle in known_handles(self):
            handle.post()
        if self._tracker is not None:
            self._tracker.close()
        if self._own:
            self._client.close()

    async def close_async(self) -> None:
        """Close the connections that this store made in the running loop; otherwise they are closed with the loop."""
        for handle in known_handles(self):
            await handle.post_async()
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

    def _setter(self, key: str, value: str | bytes, ttl: int | None) -> Callable[[Sdk], Sdk]:
        name, text, seconds = self._name(key), check_text("RedisCache", value), check_ttl("RedisCache", ttl)
        tagged = read_tagged(text)
        if tagged is not None:
            return write_tagged(self.prefix, tagged.tags, name, text, seconds)
        return lambda client: client.set(name, text, ex=seconds)

    def _call(self, operate: Callable[[Sdk], Sdk]) -> Sdk:
        """Call a client of the user's. The result is an awaitable if there is only an asynchronous one."""
        if self._client is None:
            return self._call_async(self._async_client, operate)
        return wait_for_connection(lambda: operate(self._client), self._patience)

    async def _call_async(self, client: Sdk, operate: Callable[[Sdk], Sdk]) -> Sdk:
        if self._own:
            return await operate(client)
        return await wait_for_connection_async(lambda: operate(client), self._patience)

    def _perform(self, steps: Steps[T]) -> T:
        """Perform steps in this thread."""
        client = self._get_client()
        return perform(steps, (lambda operate: operate(client)) if self._own else self._call)

    def _perform_any(self, steps: Steps[T]) -> T:
        """Perform steps in this thread; if there is only an asynchronous client, return an awaitable for the handle."""
        if self._client is None:
            return perform_async(steps, partial(self._call_async, self._async_client))  # type: ignore[return-value] # as above
        return self._perform(steps)

    async def _perform_here(self, steps: Steps[T]) -> T:
        """Perform steps in this task, or in a thread if there is no asynchronous client."""
        client = await self._get_async_client()
        if client is None:
            return await asyncio.to_thread(self._perform, steps)
        return await perform_async(steps, partial(self._call_async, client))

    def _get_client(self) -> Sdk:
        if self._client is None:
            raise ConfigurationError("This RedisCache has only an async_client. Pass client= too to delete and clear.")
        return self._client

    async def _get_async_client(self) -> Sdk:
        """Return the asynchronous client of the running loop; None if there is only a synchronous one.

        A connection belongs to the loop that opened it, so each loop has a client of its own.
        """
        if not self._own:
            return self._async_client
        loop = asyncio.get_running_loop()
        held = self._by_loop.get(loop)
        if held is None or held.process != os.getpid():
            for closed in [other for other in list(self._by_loop) if other.is_closed()]:
                self._by_loop.pop(closed, None)
            host, port, url = self._target
            client = self._build(lambda: make_async_client(url, host, port, self._options))
            held = self._by_loop[loop] = _LoopClient(client, _keep(client, self._by_loop), os.getpid())
            await held.keeper.asend(None)
        return held.client

    def _build(self, make: Callable[[], Sdk]) -> Sdk:
        try:
            return make()
        except (TypeError, ValueError) as error:
            message = str(error)
            for secret in (self._target[2], self._options.get("password")):
                message = message.replace(secret, "***") if isinstance(secret, str) and secret else message
            # Without its cause, whose text may hold the password of the URL.
            raise ConfigurationError(f"RedisCache could not be set up: {message}") from None

    def __repr__(self) -> str:
        host, port, url = self._target
        if not self._own:
            return f"RedisCache(client={class_name(self._client or self._async_client)}, prefix={self.prefix!r})"
        parts = urlsplit(url) if url is not None else None
        where = f"{host}:{port}" if parts is None else f"{parts.hostname or ''}:{parts.port or port}{parts.path}"
        return f"RedisCache({where!r}, prefix={self.prefix!r})"

    def __reduce__(self) -> tuple[Callable[..., RedisCache], tuple[object, ...]]:
        if not self._own:
            raise TypeError("A RedisCache over a client of yours cannot be copied or sent to another process.")
        own = {"prefix": self.prefix, "timeout": self._patience, "lease": self._lease}
        arguments = {**self._options, **own, "tracking": "tracking" in self.abilities}
        return _rebuild, (*self._target, arguments)


_making = make_lock()


class _LoopClient(NamedTuple):
    """The asynchronous client of one event loop, what closes it, and the process that made it."""

    client: Sdk
    keeper: AsyncGenerator[None, None]
    process: int


async def _keep(client: Sdk, by_loop: dict[asyncio.AbstractEventLoop, _LoopClient]) -> AsyncGenerator[None, None]:
    """Close the client when the loop ends: `asyncio.run` and its like close every generator begun in their loop."""
    try:
        yield
    finally:
        by_loop.pop(asyncio.get_running_loop(), None)
        await client.aclose()


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


def _rebuild(host: str, port: int, url: str | None, arguments: dict[str, Sdk]) -> RedisCache:
    return RedisCache(host, port, url, **arguments)


def _check_prefix(prefix: object) -> str:
    if not isinstance(prefix, str) or not prefix:
        raise ArgumentError(f"RedisCache(prefix=) takes a str that is not empty; got {prefix!r}.")
    return check_key("RedisCache(prefix=)", prefix)


def _check_target(host: object, port: object, url: object) -> None:
    if url is not None and not isinstance(url, str):
        raise ArgumentError(f"RedisCache(url=) takes a str; got {type(url).__name__}.")
    if isinstance(url, str):
        _check_url(url)
    if url is not None and (host, port) != (_HOST, _PORT):
        raise ArgumentError("RedisCache takes either url=, or host= and port=, not both.")
    if not isinstance(host, str) or not host.strip() or "://" in host:
        # The message leaves the host out: it may be a URL with its password.
        raise ArgumentError("RedisCache(host=) takes the name of a server. Pass a redis:// URL as url=.")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port <= _LAST_PORT:
        raise ArgumentError(f"RedisCache(port=) takes an int from 1 to {_LAST_PORT}; got {type(port).__name__}.")


def _check_url(url: str) -> None:
    """Refuse a URL in which a part of the password would be taken for the host, the port or the database, and shown."""
    credentials = url.partition("://")[2].rpartition("@")[0]
    with contextlib.suppress(ValueError):
        _ = urlsplit(url).port  # raises an error that quotes it
        if not _RESERVED & set(credentials):
            return
    raise ArgumentError(
        "RedisCache(url=) cannot be read: the user name, the password or the port in it is malformed. Pass the password "
        "as password=, or write it as urllib.parse.quote(password, safe='') does, with %2F for a slash."
    )

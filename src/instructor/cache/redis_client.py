"""A ``redis.Redis``, or one of ``redis.asyncio``, that sends a command and reads its reply in a third of the time.

Over loopback redis-py takes three times as long for a GET as the sockets and the server. Here stands the usual case alone:
an open connection from which nothing has come unasked, and a reply of protocol 2. All else is left to redis-py, on the same
pool and the same connections: it opens them, asks again after one was lost, and knows what each error means.
"""

from __future__ import annotations

import importlib
import inspect
import os
import select
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from instructor.cache.resp import Reply, ServerError, encode_command, read_replies, read_replies_async

Sdk: TypeAlias = Any
"""As in `redis_pool`."""

Words: TypeAlias = tuple[str | bytes | int, ...]
"""A command and its arguments."""

NEEDS_PROTOCOL_3 = frozenset({"cache", "cache_config", "maint_notifications_config"})
"""Options that need protocol 3. Without them protocol 2 is asked for, by which a server sends nothing unasked."""

_LEFT_TO_REDIS_PY = (
    *("credential_provider", "decode_responses", "health_check_interval"),
    *("retry", "retry_on_error", "retry_on_timeout"),
)
"""Options with which redis-py does more between two commands, tries otherwise, or makes something else of a reply."""


def make_quick(client: Sdk, options: Mapping[str, object]) -> Sdk:
    """Return the class of a client as one that takes fewer steps, unless the options of its connections ask for more."""
    kind = cast("Sdk", type(client))
    is_plain = str(options.get("protocol")) == "2" and options.get("encoding", "utf-8") == "utf-8"
    if not is_plain or any(map(options.get, _LEFT_TO_REDIS_PY)):
        return kind
    if not inspect.iscoroutinefunction(kind.execute_command):
        return _join(_QuickClient, kind) if hasattr(select, "poll") else kind
    if options.get("socket_timeout") is not None:  # otherwise its caller alone limits a task's time
        return kind
    name = inspect.signature(client.connection_pool.get_connection).parameters.get("command_name")
    takes_name = name is not None and name.default is name.empty  # the oldest redis-py wants to know what for
    return kind if takes_name else _join(_QuickAsyncClient, kind)


@cache
def _join(added: type, kind: type) -> type:
    return type(kind.__name__, (added, kind), {})


class _QuickClient:
    """What `make_quick` adds to ``redis.Redis``."""

    connection_pool: Sdk
    parse_response: Callable[..., Sdk]

    def _execute_command(self, *words: Sdk, **options: Sdk) -> Sdk:
        is_usual = words[0] in _QUICK and options.keys() <= _UNUSED
        replies = self._try_asking([words]) if is_usual else None
        if replies is None:
            return super()._execute_command(*words, **options)  # type: ignore[misc] # pyright: ignore - redis-py's own
        return _raise_first(replies)[0]

    def ask_all(self, commands: Sequence[Words]) -> list[Sdk]:
        """As the function."""
        replies = self._try_asking(commands)
        return _pipe(self, commands) if replies is None else _raise_first(replies)

    def _try_asking(self, commands: Sequence[Words]) -> list[Sdk] | None:
        """Send commands and read their replies, among which are errors; None where redis-py has to."""
        pool = self.connection_pool
        if pool.pid != os.getpid():  # a forked child has no right to the connections of its parent
            return None
        connection = pool.pool.get()
        try:
            wire = connection and connection._sock  # noqa: SLF001 - redis-py's own way to it takes all the time
            # If something has come, it's the end of the connection, or what must not be taken for an answer.
            return self._ask(connection, wire, commands) if wire and wire.is_silent() else None
        finally:
            pool.pool.put_nowait(connection)

    def _ask(self, connection: Sdk, wire: Sdk, commands: Sequence[Words]) -> list[Sdk]:
        """Ask. If the connection is lost, redis-py opens it again and asks once more."""
        try:
            wire.sendall(b"".join(map(encode_command, commands)))
            replies = read_replies(wire.recv, len(commands))
        except BaseException as error:
            connection.disconnect()  # so that nobody takes for an answer what comes later
            if isinstance(error, TimeoutError):
                raise importlib.import_module("redis").TimeoutError("Timeout reading from socket") from None
            if not isinstance(error, OSError | ValueError):
                raise
            return self._ask_again(connection, commands)
        return _name_errors(connection, replies)

    def _ask_again(self, connection: Sdk, commands: Sequence[Words]) -> list[Sdk]:
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [self._read(connection, words) for words in commands]
        except BaseException:
            connection.disconnect()  # as above: an interrupt comes between two steps of redis-py as well
            raise

    def _read(self, connection: Sdk, words: Words) -> Sdk:
        try:
            return self.parse_response(connection, words[0])
        except importlib.import_module("redis").ResponseError as error:
            return error


class _QuickAsyncClient:
    """What `make_quick` adds to ``redis.asyncio.Redis``. Its pool gives out open and silent connections only."""

    connection_pool: Sdk
    parse_response: Callable[..., Sdk]

    async def execute_command(self, *words: Sdk, **options: Sdk) -> Sdk:
        """As redis-py's."""
        if words[0] not in _QUICK or not options.keys() <= _UNUSED:
            return await super().execute_command(*words, **options)  # type: ignore[misc] # pyright: ignore - redis-py's own
        return (await self.ask_all([words]))[0]

    async def ask_all(self, commands: Sequence[Words]) -> list[Sdk]:
        """As the function."""
        pool = self.connection_pool
        connection = await pool.get_connection()
        try:
            return _raise_first(await self._ask(connection, commands))
        finally:
            await pool.release(connection)

    async def _ask(self, connection: Sdk, commands: Sequence[Words]) -> list[Sdk]:
        """Ask. If the connection is lost, redis-py opens it again and asks once more."""
        try:
            connection._writer.write(b"".join(map(encode_command, commands)))  # noqa: SLF001 - as above
            await connection._writer.drain()  # noqa: SLF001
            replies = await read_replies_async(connection._reader.read, len(commands))  # noqa: SLF001
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if not isinstance(error, OSError | ValueError):
                raise
            return await self._ask_again(connection, commands)
        return _name_errors(connection, replies)

    async def _ask_again(self, connection: Sdk, commands: Sequence[Words]) -> list[Sdk]:
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await self._read(connection, words) for words in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def _read(self, connection: Sdk, words: Words) -> Sdk:
        try:
            return await self.parse_response(connection, words[0])
        except importlib.import_module("redis").ResponseError as error:
            return error


_QUICK = frozenset({"GET", "SET", "MGET", "HMGET", "EVAL", "EVALSHA"})
"""The commands for which callers wait. redis-py makes nothing else of their replies that anybody looks at."""

_UNUSED = frozenset({"keys"})
"""An option that is for redis-py's own cache."""


def ask_all(client: Sdk, commands: Sequence[Words]) -> Sdk:
    """Send several commands in one go; return their replies, or an awaitable of them. Raises the first error among them."""
    quick: Callable[[Sequence[Words]], Sdk] | None = getattr(client, "ask_all", None)
    return _pipe(client, commands) if quick is None else quick(commands)


def _pipe(client: Sdk, commands: Sequence[Words]) -> Sdk:
    pipe = client.pipeline(transaction=False)
    for words in commands:
        pipe.execute_command(*words)
    return pipe.execute()


def _name_errors(connection: Sdk, replies: list[Reply]) -> list[Sdk]:
    make_error = connection._parser.parse_error  # noqa: SLF001 - redis-py's table of its exceptions isn't public
    return [make_error(str(reply)) if type(reply) is ServerError else reply for reply in replies]


def _raise_first(replies: list[Sdk]) -> list[Sdk]:
    """Raise the first error among replies; return them if there is none."""
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            raise replies.pop(at)
    return replies

"""A ``redis.Redis`` that sends a command and reads its reply in a third of the time.

Over loopback redis-py takes three times as long for a GET as the sockets and the server. Here stands the usual case alone:
an open connection from which nothing has come unasked, and a reply of protocol 2. All else is left to redis-py, on the same
pool and the same connections: it opens them, asks again after one was lost, and knows what each error means.
"""

from __future__ import annotations

import importlib
import os
import select
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from instructor.cache.resp import ServerError, encode_command, read_replies

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


def make_quick(kind: type, options: Mapping[str, object]) -> Sdk:
    """Return a class of clients as one that takes fewer steps, unless the options of its connections ask for more."""
    is_plain = (
        str(options.get("protocol")) == "2" and options.get("encoding", "utf-8") == "utf-8" and hasattr(select, "poll")
    )
    return _make_quick(kind) if is_plain and not any(map(options.get, _LEFT_TO_REDIS_PY)) else kind


@cache
def _make_quick(kind: type) -> type:
    return type(kind.__name__, (_QuickClient, kind), {})


class _QuickClient:
    """What `make_quick` adds to ``redis.Redis``."""

    connection_pool: Sdk
    parse_response: Callable[..., Sdk]

    def _execute_command(self, *words: Sdk, **options: Sdk) -> Sdk:
        is_usual = words[0] in _QUICK and options.keys() <= _UNUSED
        replies = self.try_asking([words]) if is_usual else None
        if replies is None:
            return super()._execute_command(*words, **options)  # type: ignore[misc] # pyright: ignore - redis-py's own
        if isinstance(replies[0], Exception):
            raise replies.pop()
        return replies[0]

    def try_asking(self, commands: Sequence[Words]) -> list[Sdk] | None:
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
            connection.send_packed_command(connection.pack_commands(commands))
            return [self._read(connection, words) for words in commands]
        make_error = connection._parser.parse_error  # noqa: SLF001 - redis-py's table of its exceptions isn't public
        return [make_error(str(reply)) if type(reply) is ServerError else reply for reply in replies]

    def _read(self, connection: Sdk, words: Words) -> Sdk:
        try:
            return self.parse_response(connection, words[0])
        except importlib.import_module("redis").ResponseError as error:
            return error


_QUICK = frozenset({"GET", "SET", "MGET", "HMGET", "EVAL", "EVALSHA"})
"""The commands for which callers wait. redis-py makes nothing else of their replies that anybody looks at."""

_UNUSED = frozenset({"keys"})
"""An option that is for redis-py's own cache."""


def ask_all(client: Sdk, commands: Sequence[Words]) -> Sdk:
    """Send several commands in one go; return their replies, or an awaitable of them. Raises the first error among them."""
    try_asking: Callable[[Sequence[Words]], list[Sdk] | None] | None = getattr(client, "try_asking", None)
    replies = None if try_asking is None else try_asking(commands)
    if replies is not None:
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies
    pipe = client.pipeline(transaction=False)
    for words in commands:
        pipe.execute_command(*words)
    return pipe.execute()

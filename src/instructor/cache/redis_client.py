"""A ``redis.Redis`` that sends a command and reads its reply in a third of the time.

Over loopback redis-py takes three times as long for a GET as the sockets and the server. Here stands the usual case alone:
an open connection from which nothing has come unasked, and a reply of protocol 2. All else is left to redis-py, on the same
pool and the same connections: it opens them, asks again after one was lost, and knows what each error means.
"""

from __future__ import annotations

import importlib
import os
import select
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

from instructor.cache.resp import ServerError, encode_command, read_reply

Sdk: TypeAlias = Any
"""As in `redis_pool`."""

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
    response_callbacks: Sdk
    parse_response: Callable[..., Sdk]

    def _execute_command(self, *words: Sdk, **options: Sdk) -> Sdk:
        pool, reply = self.connection_pool, _LEFT
        # A forked child has no right to the connections of its parent; redis-py makes new ones.
        if words[0] in _QUICK and options.keys() <= _UNUSED and pool.pid == os.getpid():
            connection = pool.pool.get()
            try:
                wire = connection and connection._sock  # noqa: SLF001 - redis-py's own way to it takes all the time
                # If something has come, it's the end of the connection, or what must not be taken for an answer.
                if wire and wire.is_silent():
                    reply = self._ask(connection, wire, words)
            finally:
                pool.pool.put_nowait(connection)
        return super()._execute_command(*words, **options) if reply is _LEFT else reply  # type: ignore[misc] # pyright: ignore - redis-py's own

    def _ask(self, connection: Sdk, wire: Sdk, words: tuple[Sdk, ...]) -> Sdk:
        """Send a command and read its reply. If the connection is lost, redis-py opens it again and asks once more."""
        try:
            wire.sendall(encode_command(words))
            reply = read_reply(wire.recv)
        except BaseException as error:
            connection.disconnect()  # so that nobody takes for an answer what comes later
            if isinstance(error, TimeoutError):
                raise importlib.import_module("redis").TimeoutError("Timeout reading from socket") from None
            if not isinstance(error, OSError | ValueError):
                raise
            connection.send_command(*words)
            return self.parse_response(connection, words[0])
        if isinstance(reply, ServerError):
            raise connection._parser.parse_error(str(reply))  # noqa: SLF001 - the table of its exceptions isn't public
        convert = _table.get(self.response_callbacks, words[0])
        return reply if convert is None else convert(reply)


_QUICK = frozenset({"GET", "SET", "MGET", "HMGET", "EVAL"})
"""The commands for which callers wait."""

_UNUSED = frozenset({"keys"})
"""An option that is for redis-py's own cache."""

_table: Sdk = dict
"""Looks into redis-py's table, whose own `get` knows names in small letters too."""

_LEFT = object()
"""Stands for a reply that redis-py is to get."""

"""The leases of a `RedisCache`: a key beside that of the entry, which the server removes when its time is over.

It holds the token of the process that asks. When that has ended, it holds a mark with the token for a while, so that a
process that looks later can tell an owner that has ended from one that is gone. Each step that compares and changes is
a script, and asks for no more than the step itself would: `take` comes on top of a miss, `publish` stands for the SET.

Whoever waits hears of endings on a channel, by a connection of its own, and then looks.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from instructor.cache.lease import Ending, Taken
from instructor.cache.listing import read_tagged
from instructor.cache.redis_client import Words, ask_all
from instructor.cache.redis_pool import Sdk
from instructor.cache.redis_steps import Steps, as_text, count_written, is_refusal, name_lease

T = TypeVar("T")

_MARK = "!"

# No command but those that the store needs anyway. What isn't a text is no entry.
_STORED = """
local function is_stored(name)
  local size = redis.pcall('STRLEN', name)
  return type(size) == 'number' and size > 0
end
"""
# Where something else stands in the place of a lease, there is none to be had.
_TAKE = f"""{_STORED}
local held = redis.pcall('GET', KEYS[2])
if type(held) == 'table' then return false end
if held and string.sub(held, 1, 1) ~= '!' then return {{held, 0}} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {{ARGV[1], is_stored(KEYS[1]) and 1 or 0}}
"""
# An answer is refused where another process asks just now, or has stored one since this lease ran out.
_PUBLISH = f"""{_STORED}
local held = redis.call('GET', KEYS[2])
if held ~= ARGV[1] then
  local asking = held and string.sub(held, 1, 1) ~= '!'
  if asking or is_stored(KEYS[1]) then return 0 end
end
if ARGV[5] == '' then redis.call('SET', KEYS[1], ARGV[4]) else redis.call('SET', KEYS[1], ARGV[4], 'EX', ARGV[5]) end
redis.call('SET', KEYS[2], '!' .. ARGV[1], 'PX', ARGV[2])
redis.pcall('PUBLISH', ARGV[3], ARGV[1])
return 1
"""
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[4] == '1' then redis.call('SET', KEYS[1], '!' .. ARGV[1], 'PX', ARGV[2]) else redis.call('UNLINK', KEYS[1]) end
redis.pcall('PUBLISH', ARGV[3], ARGV[1])
return 1
"""

_LISTEN_SECONDS = 1.0
"""How long the listening thread waits for a message at a time, and after a failure."""


@dataclass
class RedisLeases:
    """The leases of one `RedisCache`.

    Attributes:
        prefix: Begins every key, and names the channel.
        seconds: How long a lease lasts unless it is renewed.
        perform: Performs steps in this thread.
        perform_async: Performs steps in this task.
        connect: Makes a client for listening; None where there is none, so that waiters look every few milliseconds.
    """

    prefix: str
    seconds: float
    perform: Callable[[Steps[object]], Sdk]
    perform_async: Callable[[Steps[object]], Awaitable[Sdk]]
    connect: Callable[[], Sdk] | None
    _is_refused: bool = False
    _is_listening: threading.Event = field(default_factory=threading.Event)

    @property
    def pauses(self) -> tuple[float, float]:
        """Short, until the server tells."""
        return 0.005, _LISTEN_SECONDS if self._is_listening.is_set() else 0.015

    def take(self, key: str, token: str) -> Taken | None:
        """Take a lease that nobody has; None if the server doesn't let this user."""
        if self._is_refused:
            return None
        try:
            return _read_taken(self.perform(self._take(key, token)))
        except Exception as error:
            if not self._is_refusal(error):
                raise
            return None

    async def take_async(self, key: str, token: str) -> Taken | None:
        """As `take`."""
        if self._is_refused:
            return None
        try:
            return _read_taken(await self.perform_async(self._take(key, token)))
        except Exception as error:
            if not self._is_refusal(error):
                raise
            return None

    def publish(self, key: str, text: str, ttl: int | None, token: str) -> bool:
        """Store a text, and end the lease."""
        return bool(self.perform(self._publish(key, text, ttl, token)))

    async def publish_async(self, key: str, text: str, ttl: int | None, token: str) -> bool:
        """As `publish`."""
        return bool(await self.perform_async(self._publish(key, text, ttl, token)))

    def renew(self, tokens: Mapping[str, str]) -> None:
        """Let leases last longer."""
        commands: list[Words] = [
            ("EVAL", _RENEW, 1, name_lease(self.prefix, key), token, self._milliseconds)
            for key, token in tokens.items()
        ]
        self.perform(_one(partial(ask_all, commands=commands)))

    def release(self, key: str, token: str, ending: Ending) -> None:
        """End a lease without an answer."""
        arguments = (name_lease(self.prefix, key), token, self._milliseconds, self._channel, int(ending.is_over))
        self.perform(_one(lambda client: client.eval(_RELEASE, 1, *arguments)))

    def look(self, waited: Sequence[tuple[str, str]]) -> list[Ending | None]:
        """How leases of others ended."""
        commands: list[Words] = [("GET", name_lease(self.prefix, key)) for key, _ in waited]
        found = self.perform(_one(partial(ask_all, commands=commands)))
        return [_judge(value, token) for value, (_, token) in zip(found, waited, strict=True)]

    def listen(self, nudge: Callable[[], None]) -> Callable[[], None] | None:
        """Have a thread listen to the channel."""
        if self.connect is None:
            return None
        stop = threading.Event()
        threading.Thread(
            target=self._hear, args=(self.connect, nudge, stop), name="instructor-push", daemon=True
        ).start()
        return stop.set

    def _hear(self, connect: Callable[[], Sdk], nudge: Callable[[], None], stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(Exception), connect() as client, client.pubsub() as channel:
                channel.subscribe(self._channel)
                while not stop.is_set():
                    # The first is that we are subscribed: then too it is time to look, because what came before is missed.
                    if channel.get_message(timeout=_LISTEN_SECONDS) is not None:
                        self._is_listening.set()
                        nudge()
            self._is_listening.clear()
            stop.wait(_LISTEN_SECONDS)

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self.seconds * 1000))

    @property
    def _channel(self) -> str:
        return f"{self.prefix}{{leases}}"

    def _take(self, key: str, token: str) -> Steps[object]:
        names = (self.prefix + key, name_lease(self.prefix, key))
        return (yield lambda client: client.eval(_TAKE, 2, *names, token, self._milliseconds))

    def _publish(self, key: str, text: str, ttl: int | None, token: str) -> Steps[object]:
        names = (self.prefix + key, name_lease(self.prefix, key))
        arguments = (token, self._milliseconds, self._channel, text, "" if ttl is None else ttl)
        is_stored = yield lambda client: client.eval(_PUBLISH, 2, *names, *arguments)
        tagged = read_tagged(text)
        if is_stored and tagged is not None:
            yield count_written(self.prefix, tagged.tags)
        return is_stored

    def _is_refusal(self, error: Exception) -> bool:
        """Whether an error says that there are no leases on this server for this user; then it isn't asked again."""
        if not is_refusal(error):
            return False
        self._is_refused = True
        logging.getLogger("instructor.cache").warning(
            "The Redis server refuses the scripts by which processes share the answer to a call under way: %s. Each of "
            "them asks for itself. Allow EVAL to this user, or pass lease=None.",
            error,
        )
        return True


def _one(operate: Callable[[Sdk], Sdk]) -> Steps[object]:
    return (yield operate)


def _read_taken(reply: Sdk) -> Taken | None:
    """What `_TAKE` returns; None for anything else, by a server that doesn't run scripts."""
    match reply:
        case [str() | bytes() as holder, int() as found]:
            return Taken(as_text(holder), found=bool(found))
        case _:
            return None


def _judge(value: str | bytes | None, token: str) -> Ending | None:
    """What the value of a lease's key says to who waits for a token."""
    holder = "" if value is None else as_text(value)
    if holder == token:
        return None
    # Nothing: it ran out or was handed over. Another token: so it was, and somebody has taken it since.
    return Ending.ENDED if holder.startswith(_MARK) else Ending.FREE

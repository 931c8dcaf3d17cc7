"""What `RedisCache` does in several commands: it lists, removes, and numbers the invalidations of tags.

Each of these is a generator that yields commands and is sent their replies, so that it stands here once: one driver
calls a synchronous client, one awaits an asynchronous one, and a cluster's clients have the same methods.

The numbers are two hashes beside the entries. ``{tags}`` in their names keeps them on one node of a cluster. If the
server loses them, or empties itself, the next reader draws a new first number, and every tagged answer is stale.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from instructor.cache.entry import Generations
from instructor.cache.listing import FIRST_BYTES, MOST_NUMBERED, Listed, draw_generation, hash_tag, list_text
from instructor.cache.redis_client import Words, ask_all
from instructor.cache.redis_pool import Sdk
from instructor.cache.store import Text

T = TypeVar("T")

Operate = Callable[[Sdk], Sdk]
"""Calls a client; the result is the reply, or an awaitable of it."""

Steps = Generator[Operate, Sdk, T]
"""Commands, one after the other."""

Cursor = int | Mapping[str, int]
"""Where a scan goes on: on the one server, or on each node of a cluster that has more."""


def perform(steps: Steps[T], call: Callable[[Operate], Sdk]) -> T:
    """Perform steps in this thread. `call` calls a client; what it raises is raised where the steps wait for the reply."""
    try:
        operate = next(steps)
        while True:
            try:
                reply = call(operate)
            except Exception as error:  # noqa: BLE001 - raised again, unless the steps know what to do
                operate = steps.throw(error)
            else:
                operate = steps.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def perform_async(steps: Steps[T], call: Callable[[Operate], Awaitable[Sdk]]) -> T:
    """As `perform`, in this task."""
    try:
        operate = next(steps)
        while True:
            try:
                reply = await call(operate)
            except Exception as error:  # noqa: BLE001 - as above
                operate = steps.throw(error)
            else:
                operate = steps.send(reply)
    except StopIteration as stop:
        result: T = stop.value
        return result


BATCH = 1000
"""How many keys are asked for at a time."""

_FIRST, _COUNT = "first", "count"

_NUMBER = """
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then redis.call('UNLINK', KEYS[1]) end
local number = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], ARGV[1], number)
local written = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return written or 0
"""
"""A script, because two invalidations of a tag at once must not leave the smaller number."""


def name_numbers(prefix: str) -> str:
    """The key of the hash of numbers: of each tag, and how many invalidations there were."""
    return f"{prefix}{{tags}}"


def name_written(prefix: str) -> str:
    """The key of the hash that counts the answers stored with each tag."""
    return f"{prefix}{{tags}}:written"


def name_ledger(prefix: str) -> str:
    """The key of the hash of the ledger, whose fields are the number of a sum and the name of its line."""
    return f"{prefix}{{ledger}}"


def name_posted(prefix: str) -> str:
    """The key of the tokens of what was entered into the ledger, on the same node of a cluster."""
    return f"{name_ledger(prefix)}:posted"


def name_lease(prefix: str, key: str) -> str:
    """The key of the lease of an entry, on the same node of a cluster."""
    return f"{prefix}{{{prefix}{key}}}"


def name_limits(prefix: str, name: str) -> str:
    """The key of what processes with the same credential may still send."""
    return f"{prefix}{{limits:{name}}}"


def _is_entry(prefix: str, name: str) -> bool:
    """Whether a name is that of an entry, among those that begin with the prefix."""
    is_lease = name.startswith(f"{prefix}{{{prefix}") and name.endswith("}")
    is_limit = name.startswith(name_limits(prefix, "")[:-1])
    others = (name_numbers(prefix), name_written(prefix), name_ledger(prefix), name_posted(prefix))
    return not is_lease and not is_limit and name not in others


def scan(prefix: str, cursor: Cursor | None) -> Steps[tuple[list[Sdk], Cursor | None]]:
    """Find the names of some entries of a prefix; return them, and where to go on, or None."""
    pattern = "".join(f"\\{letter}" if letter in "*?[]^\\" else letter for letter in prefix) + "*"
    if isinstance(cursor, Mapping):
        node, at = next(iter(cursor.items()))
        moved, names = yield lambda client: client.scan(
            at, match=pattern, count=BATCH, target_nodes=client.get_node(node_name=node)
        )
        after: Cursor = {**cursor, **moved}
    else:
        after, names = yield lambda client: client.scan(cursor or 0, match=pattern, count=BATCH)
    if isinstance(after, Mapping):
        after = {name: at for name, at in after.items() if at}
    return [name for name in names if _is_entry(prefix, as_text(name))], after or None


def clear(prefix: str) -> Steps[int]:
    """Remove all entries of a prefix, and the numbers, so that what is tagged and still being asked for is stale."""
    count, cursor, is_over = 0, None, False
    while not is_over:
        names, cursor = yield from scan(prefix, cursor)
        is_over = cursor is None
        if names:
            count += yield from unlink(names)
    yield from unlink([name_numbers(prefix), name_written(prefix)])
    return count


def unlink(names: Sequence[Sdk]) -> Steps[int]:
    """Remove keys; return how many there were."""
    return int((yield lambda client: client.unlink(*names)))


def list_some(prefix: str, cursor: Cursor | None) -> Steps[tuple[list[Listed], Cursor | None]]:
    """Describe some entries of a prefix; return them, and where to go on, or None."""
    names, after = yield from scan(prefix, cursor)
    listed: list[Listed] = []
    short = yield from _read_starts(names, FIRST_BYTES)
    for name, (start, size) in zip(names, short, strict=True):
        key = as_text(name).removeprefix(prefix)
        found = list_text(key, start, size) if isinstance(start, bytes) else None
        if isinstance(start, bytes) and found is None:  # its first line is long
            ((whole, _),) = yield from _read_starts([name], size)
            found = list_text(key, whole, len(whole)) if isinstance(whole, bytes) else None
        if found is not None and size:
            listed.append(found)
    return listed, after


def _read_starts(names: Sequence[Sdk], size: int) -> Steps[list[tuple[Sdk, Sdk]]]:
    """Read how some texts begin, and their lengths. An error stands in the place of what is no text."""
    if not names:
        return []

    def read(client: Sdk) -> Sdk:
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.execute_command("GETRANGE", name, 0, size - 1, NEVER_DECODE=True)
            pipe.strlen(name)
        return pipe.execute(raise_on_error=False)

    replies: list[Sdk] = yield read
    return list(zip(replies[::2], replies[1::2], strict=True))


def read_many(names: Sequence[str]) -> Steps[list[Text | None]]:
    """Read many texts."""
    found: list[Text | None] = []
    for start in range(0, len(names), BATCH):
        # As bytes, which redis-py packs twice as fast.
        batch = [name.encode() for name in names[start : start + BATCH]]
        found += yield partial(_read_batch, names=batch)
    return found


def _read_batch(client: Sdk, names: Sequence[bytes]) -> Sdk:
    read_of_cluster = getattr(client, "mget_nonatomic", None)
    return client.mget(names) if read_of_cluster is None else read_of_cluster(names)


def read_numbers(prefix: str, tags: Sequence[str]) -> Steps[Generations]:
    """Read the number of the latest invalidation of all, and of each tag."""
    name, fields = name_numbers(prefix), [_FIRST, _COUNT, *map(hash_tag, tags)]
    first, count, *of_tags = yield lambda client: client.hmget(name, fields)
    if first is None:
        drawn = draw_generation()
        yield lambda client: client.hsetnx(name, _FIRST, drawn)
        first, count, *of_tags = yield lambda client: client.hmget(name, fields)
    start = int(first or 0)
    return Generations(start, start + int(count or 0), [start + int(number) if number else 0 for number in of_tags])


def number_tag(prefix: str, tag: str) -> Steps[int]:
    """Give a tag the next number; return how many answers were stored with it since its last one."""
    names = (name_numbers(prefix), name_written(prefix))
    written = yield lambda client: client.eval(_NUMBER, 2, *names, hash_tag(tag), MOST_NUMBERED)
    return int(written)


def write_tagged(prefix: str, tags: Sequence[str], name: str, text: str | bytes, seconds: int | None) -> Operate:
    """Store a text, and count it for its tags, in one go."""
    expiry = () if seconds is None else ("EX", seconds)
    return partial(ask_all, commands=[("SET", name, text, *expiry), *_count_written(prefix, tags)])


def count_written(prefix: str, tags: Sequence[str]) -> Operate:
    """Count a text for its tags."""
    return partial(ask_all, commands=_count_written(prefix, tags))


def _count_written(prefix: str, tags: Sequence[str]) -> list[Words]:
    return [("HINCRBY", name_written(prefix), hash_tag(tag), 1) for tag in tags]


_REFUSALS = ("permission", "can't run this command", "unknown command", "crossslot")


def is_refusal(error: Exception) -> bool:
    """Whether an error is that of a server that doesn't run scripts for this user. Its reading and writing may well work."""
    return any(word in str(error).lower() for word in _REFUSALS)


def as_text(name: str | bytes) -> str:
    """The name of a key, whether or not the client decodes it."""
    return name if isinstance(name, str) else name.decode(errors="surrogateescape")


def run_script(prefix: str, script: str, name: str, argument: str) -> Steps[Sdk]:
    """Run a script with one key. A server that knows the script is sent its hash alone."""
    key = name_limits(prefix, name)
    return (yield lambda client: client.register_script(script)(keys=[key], args=[argument]))

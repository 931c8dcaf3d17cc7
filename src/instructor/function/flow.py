"""The order of events in a call of a cached function.

Read it from `answer` downward. Each function is a generator of effects, as in ``engine/flow.py``; here what is asked
is the function itself.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instructor.cache.entry import Entry, decode_entry, encode_entry
from instructor.cache.flight import Landed
from instructor.engine.effects import Claim, Flow, Lease, Read, Reply, Send, Write
from instructor.exceptions import CacheEntryError, CacheError
from instructor.function.codec import MISSING

if TYPE_CHECKING:
    from instructor.cache.handle import StoreHandle
    from instructor.function.codec import FunctionCodec
    from instructor.messages import Request


@dataclass(frozen=True, slots=True)
class Function:
    """One decorated function. To the drivers it is whom to ask.

    Attributes:
        codec: How its calls are keyed, and its results written and read.
        handle: The store.
        ttl: Seconds for which a result may be served; None for ever, 0 to store nothing.
    """

    codec: FunctionCodec
    handle: StoreHandle
    ttl: float | None

    def send(self, operation: str, request: Request) -> Any:  # noqa: ARG002 - a function has one operation: to be called
        """Call the function with a request's ``args`` and ``kwargs``; an awaitable if it is ``async``."""
        return self.codec.function(*request["args"], **request["kwargs"])


def answer(function: Function, key: str, request: Request) -> Flow[Any]:
    """Answer one call: from the store, from an identical call under way, or by running the function."""
    handle = function.handle
    landed_before = handle.flights.landed
    found = yield from look(function, key)
    if found is not None:
        return found.value
    claimed = yield from Claim(handle, key)
    if isinstance(claimed, Landed):
        shared = share(function, claimed)
        if shared is not MISSING:
            return shared
    elif handle.flights.landed != landed_before:
        # Another flight landed between our look and our claim, so its result may be in the store by now.
        again = yield from look(function, key)
        if again is not None:
            if isinstance(claimed, Lease):
                claimed.reply = again
            return again.value
    handle.count(misses=1)
    started = time.perf_counter()
    result = yield from Send("call", request)
    if isinstance(claimed, Lease):
        expires = None if function.ttl is None else time.time() + function.ttl
        entry = function.codec.write(key, result, expires, time.perf_counter() - started)
        claimed.reply = Reply(result, entry)
        yield from keep(function, entry)
    return result


def look(function: Function, key: str) -> Flow[Reply | None]:
    """Look into the store. An entry that cannot be used is a miss."""
    handle = function.handle
    entry = handle.local.find(key) if handle.local is not None else (yield from fetch(handle, key))
    if entry is None or (entry.expires is not None and entry.expires <= time.time()):
        return None
    value = function.codec.read(entry)
    if value is MISSING:
        handle.count(errors=1)
        return None
    if handle.local is None:
        handle.count(hits=1)
    return Reply(value, entry)


def fetch(handle: StoreHandle, key: str) -> Flow[Entry | None]:
    """Read an entry from a store that is no memory of ours. A store's failure is a miss."""
    if handle.paused():
        return None
    try:
        text = yield from Read(handle, key)
        return decode_entry(text, key) if text is not None else None
    except CacheEntryError:
        handle.count(errors=1)
    except CacheError:
        if handle.store.on_error == "raise":
            raise
    return None


def share(function: Function, landed: Landed) -> Any:
    """Make an own copy of the result that another call brought; `MISSING` if this call must run the function itself.

    Raises:
        Exception: What the other call raised. All that makes a function answer differently is in its key, so its
            error holds for every caller, unlike a client's, whose credentials are in no key.
    """
    if landed.error is not None:
        raise landed.error
    reply: Reply = landed.value
    if reply.entry is not None:
        return function.codec.read(reply.entry)
    try:
        return copy.deepcopy(reply.value)
    except Exception:  # noqa: BLE001 - what cannot be copied cannot be shared; the waiter makes its own
        return MISSING


def keep(function: Function, entry: Entry | None) -> Flow[None]:
    """Store a result. A store's failure loses nothing: the result is returned all the same."""
    handle = function.handle
    if entry is None or function.ttl == 0:
        return
    if handle.local is not None:
        handle.local.keep(entry)
    else:
        try:
            if not (yield from Write(handle, entry.key, encode_entry(entry), function.ttl)):
                return
        except CacheError:
            return
    handle.count(writes=1)

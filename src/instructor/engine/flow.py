"""The one file that knows the order of events in a call.

Read it from `run` downward. Each function is a generator of effects (see `effects`); the synchronous and the
asynchronous client run the very same ones.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from instructor.cache.entry import Entry, decode_entry, encode_entry
from instructor.cache.flight import Landed
from instructor.engine.attempts import Attempts
from instructor.engine.effects import Call, Claim, Emit, Flow, Lease, Read, Reply, Send, Sleep, Write
from instructor.engine.retry import is_invalid_answer
from instructor.exceptions import (
    CacheEntryError,
    CacheError,
    ConfigurationError,
    IncompleteOutputException,
    InstructorError,
    RefusalError,
)
from instructor.hooks import CacheEvent, HookName
from instructor.messages import Part, Request, copy_values
from instructor.usage import Usage

if TYPE_CHECKING:
    from instructor.cache.handle import StoreHandle


def run(call: Call) -> Flow[Reply]:
    """Answer a call: from the store, from an identical call under way, or from the provider."""
    if call.handle is None or call.key is None:
        yield from bypass(call)
        return (yield from ask(call))
    landed_before = call.handle.flights.landed
    found = yield from look(call, call.handle, call.key)
    if isinstance(found, Reply):
        return found
    claimed = yield from Claim(call.handle, call.key, source_of(call))
    if isinstance(claimed, Landed):
        shared = yield from share(call, claimed)
        if shared is not None:
            return shared
    elif call.handle.flights.landed != landed_before:
        # Another flight landed between our look and our claim, so its answer may be in the store by now.
        again = yield from look(call, call.handle, call.key)
        if isinstance(again, Reply):
            if isinstance(claimed, Lease):
                claimed.reply = again
            return again
    yield from miss(call, found)
    reply = yield from ask(call)
    if isinstance(claimed, Lease):
        claimed.reply = reply
    yield from keep(call, call.handle, reply)
    return reply


def look(call: Call, handle: StoreHandle, key: str) -> Flow[Reply | str]:
    """Look into the store. Returns the reply, or why there is none."""
    entry = handle.local.find(key) if handle.local is not None else (yield from fetch(call, handle, key))
    if isinstance(entry, str):
        return entry
    if entry is None:
        return "absent"
    if entry.expires is not None and entry.expires <= call.clock():
        return "expired"
    try:
        value = value_of(call, entry)
    except Exception as error:  # noqa: BLE001 - see below
        # Whatever today's validators raise, the live path raises again if it still holds of a new answer.
        handle.count(errors=1)
        return f"refused: {type(error).__name__}"
    call.stats.hit(entry)
    if handle.local is None:
        handle.count(hits=1)
    if call.hooks.has_handlers(HookName.CACHE_HIT):
        yield from tell_cache(call, HookName.CACHE_HIT, entry)
    return Reply(value, entry)


def fetch(call: Call, handle: StoreHandle, key: str) -> Flow[Entry | str | None]:
    """Read an entry from a store that is no memory of ours. A store's failure is a miss, told and counted."""
    if handle.paused():
        return "store paused"
    try:
        text = yield from Read(handle, key)
        entry = decode_entry(text, key) if text is not None else None
    except CacheEntryError as error:
        handle.count(errors=1)
        yield from tell_failure(call, error)
        return f"damaged: {error}"
    except CacheError as error:
        yield from tell_failure(call, error)
        if handle.store.on_error == "raise":
            raise
        return "store failed"
    return entry


def share(call: Call, landed: Landed) -> Flow[Reply | None]:
    """Take a copy of the answer that another call brought; None if this call's validators refuse it.

    Raises:
        Exception: What the other call raised.
    """
    if landed.error is not None:
        raise own_copy(landed.error)
    reply: Reply = landed.value
    entry = reply.entry
    if entry is None:
        return None
    try:
        value = value_of(call, entry) if entry.completion or call.plan.type else reply.completion
    except Exception:  # noqa: BLE001 - as for a stored answer: it is asked for again
        return None
    call.stats.coalesce(entry)
    if call.hooks.has_handlers(HookName.CACHE_COALESCED):
        yield from tell_cache(call, HookName.CACHE_COALESCED, entry)
    return Reply(value, entry, None if entry.completion else reply.completion)


def ask(call: Call) -> Flow[Reply]:
    """Ask the provider until an answer is valid or the retry policy ends it. Never reads the store.

    Raises:
        InstructorRetryException: There is no valid answer.
        IncompleteOutputException: The answer was cut off.
        ConfigurationError: The request cannot be made.
    """
    wire, mode = call.plan.wire, call.plan.mode
    binding = call.plan.binding(call.strict)
    request = wire.write(call.messages, binding, call.model, call.arguments)
    attempts = Attempts(call.adapter.provider, call.model)
    started = time.perf_counter()
    while True:
        attempts.begin()
        completion: Any = None
        try:
            completion = yield from send(call, request, attempts)
            text = wire.read(completion, mode, call.plan.type.specs[0].name) if call.plan.type else ""
            value = call.plan.type.parse((Part("", text),), call.strict, call.context) if call.plan.type else completion
        except Exception as error:  # noqa: BLE001 - `fail` raises what is not retried
            rest = yield from fail(call, attempts, request, error, completion)
            if rest > 0:
                yield from Sleep(rest)
            if attempts.answered and is_invalid_answer(error):
                request = wire.reask(request, completion, error, mode)
            continue
        seconds = time.perf_counter() - started
        entry = make_entry(call, text, completion, attempts, seconds) if call.key is not None else None
        return Reply(value, entry, completion, flaw_of(call, completion))


def send(call: Call, request: Request, attempts: Attempts) -> Flow[Any]:
    """Send one request and count what it cost.

    Raises:
        ConfigurationError: The SDK did not accept the request.
        Exception: The SDK's error.
    """
    hooks = call.hooks
    if hooks.has_handlers(HookName.COMPLETION_KWARGS):
        # A copy: a handler that edits it must not change the request after its key was made.
        yield from Emit(hooks, HookName.COMPLETION_KWARGS, (), copy_values(request))
    try:
        completion = yield from Send(call.plan.wire.operation, request)
    except Exception as error:
        # The SDKs check their arguments with Python's and with pydantic's own errors; no retry can mend those.
        if not isinstance(error, TypeError) and not is_invalid_answer(error):
            raise
        raise ConfigurationError(
            f"The SDK for {call.adapter.provider} did not accept the request ({call.plan.wire.operation}): {error}. "
            "Check the arguments of the call and of the factory."
        ) from error
    attempts.answered = True
    attempts.spent += usage_of(call, completion)
    if hooks.has_handlers(HookName.COMPLETION_RESPONSE):
        yield from Emit(hooks, HookName.COMPLETION_RESPONSE, (completion,), {})
    if hooks.has_handlers(HookName.COMPLETION_USAGE):
        details = {"attempt_number": attempts.number}
        yield from Emit(hooks, HookName.COMPLETION_USAGE, (attempts.spent,), details)
    return completion


def fail(call: Call, attempts: Attempts, request: Request, error: Exception, completion: Any) -> Flow[float]:
    """Decide after an attempt that failed. Returns the seconds to rest before the next.

    Raises:
        InstructorError: There is no next attempt.
    """
    if not attempts.answered and isinstance(error, InstructorError):
        raise error
    attempts.fail(error, completion)
    final = isinstance(error, (IncompleteOutputException, RefusalError))
    rest = None if final else call.retries.wait_after(attempts.number, error)
    details = {
        "attempt_number": attempts.number,
        "max_attempts": call.retries.limit,
        "is_last_attempt": rest is None,
    }
    name = HookName.PARSE_ERROR if attempts.answered and not final else HookName.COMPLETION_ERROR
    if call.hooks.has_handlers(name):
        yield from Emit(call.hooks, name, (error,), details)
    if rest is not None:
        over = attempts.over_budget(call.token_budget, request) if call.token_budget is not None else None
        if over is None:
            return rest
        raise over from error
    if call.hooks.has_handlers(HookName.COMPLETION_LAST_ATTEMPT):
        yield from Emit(call.hooks, HookName.COMPLETION_LAST_ATTEMPT, (error,), details)
    if isinstance(error, (IncompleteOutputException, RefusalError)):
        attempts.complete(error, request)
        raise error
    raise attempts.exhausted(error, request) from error


def keep(call: Call, handle: StoreHandle, reply: Reply) -> Flow[None]:
    """Store a valid answer. A store's failure loses nothing: the answer is returned all the same."""
    entry = reply.entry
    if entry is None or call.ttl == 0:
        return
    text = text_of(entry) if handle.local is None else entry.completion
    if reply.flaw is not None or not text:
        yield from bypass(call, reply.flaw or "the completion cannot be written as text")
        return
    if handle.local is not None:
        handle.local.keep(entry)
    else:
        try:
            written = yield from Write(handle, entry.key, text, call.ttl)
        except CacheError as error:
            yield from tell_failure(call, error)
            return
        if not written:
            return
    handle.count(writes=1)
    call.stats.write()
    if call.hooks.has_handlers(HookName.CACHE_WRITE):
        yield from tell_cache(call, HookName.CACHE_WRITE, entry)


def miss(call: Call, reason: str) -> Flow[None]:
    """Count a miss and tell of it."""
    call.stats.miss()
    if call.handle is not None:
        call.handle.count(misses=1)
    if call.hooks.has_handlers(HookName.CACHE_MISS):
        yield from tell_cache(call, HookName.CACHE_MISS, None, reason)


def bypass(call: Call, reason: str | None = None) -> Flow[None]:
    """Emit why a call that has a store is not cached; nothing for a call that has none."""
    reason = reason or call.bypass
    if reason is None:
        return
    call.stats.bypass()
    if call.hooks.has_handlers(HookName.CACHE_BYPASS):
        yield from tell_cache(call, HookName.CACHE_BYPASS, None, reason)


def tell_failure(call: Call, error: CacheError) -> Flow[None]:
    """Count a store's failure and tell of it."""
    call.stats.error()
    if call.hooks.has_handlers(HookName.CACHE_ERROR):
        yield from tell_cache(call, HookName.CACHE_ERROR, None, str(error))


def tell_cache(call: Call, name: HookName, entry: Entry | None, reason: str | None = None) -> Flow[None]:
    """Emit the hooks of one event between the call and its cache."""
    yield from Emit(call.hooks, name, (cache_event(call, name, entry, reason),), {})


def cache_event(call: Call, name: HookName, entry: Entry | None, reason: str | None = None) -> CacheEvent:
    """Make the record of one event between a call and its cache."""
    served = entry is not None and name in (HookName.CACHE_HIT, HookName.CACHE_COALESCED)
    return CacheEvent(
        name=name,
        store=type(call.handle.store).__name__ if call.handle is not None else "",
        provider=call.adapter.provider,
        model=call.model,
        response_model=call.response_model,
        key=call.key,
        age=max(0.0, call.clock() - entry.created) if entry is not None and name is HookName.CACHE_HIT else None,
        seconds_saved=entry.seconds if entry is not None and served else 0.0,
        tokens_saved=entry.usage.total_tokens if entry is not None and served else 0,
        usage=entry.usage if entry is not None else None,
        reason=reason,
    )


def value_of(call: Call, entry: Entry) -> Any:
    """Make a value of a stored answer, by the same path as of a live one."""
    kind = call.plan.type
    return (
        kind.parse((Part("", entry.answer),), call.strict, call.context)
        if kind
        else call.adapter.load(entry.completion)
    )


def usage_of(call: Call, completion: Any) -> Usage:
    """What a completion cost; nothing where its counts are no numbers, because the answer in it is paid for."""
    try:
        return call.plan.wire.usage(completion)
    except (TypeError, ValueError, AttributeError):
        return Usage()


def flaw_of(call: Call, completion: Any) -> str | None:
    """Why a raw completion is not to be stored: it was cut off, refused, or is not there yet. The user gets it as it is.

    With a response model nothing of the kind comes this far.
    """
    if call.plan.type is not None:
        return None
    try:
        call.plan.wire.check(completion)
    except InstructorError as error:
        return f"the completion is not a whole answer: {error}"
    return None


def text_of(entry: Entry) -> str | None:
    """An entry as text; None if it cannot be written, such as a count beyond what JSON writers hold."""
    try:
        return encode_entry(entry) if entry.completion else None
    except (TypeError, ValueError):
        return None


def make_entry(call: Call, text: str, completion: Any, attempts: Attempts, seconds: float) -> Entry:
    """Describe a valid answer. Its completion stays empty if it cannot be written down; it is then not stored."""
    try:
        dumped = call.adapter.dump(completion)
    except Exception:  # noqa: BLE001 - whatever is wrong with a completion, the answer is paid for and returned
        dumped = ""
    now = call.clock()
    return Entry(
        key=call.key or "",
        answer=text,
        completion=dumped,
        provider=call.adapter.provider,
        model=call.model,
        created=now,
        expires=now + call.ttl if call.ttl is not None else None,
        seconds=seconds,
        usage=attempts.spent,
        attempts=attempts.number,
    )


def source_of(call: Call) -> Any:
    """Whose errors a call shares: those of calls that could not have ended better than it."""
    return call.adapter, call.plan, call.retries, call.token_budget, repr(call.arguments.get("timeout"))


def own_copy(error: Exception) -> Exception:
    """Copy an error for one more caller, because raising it adds to its traceback; itself if it cannot be copied."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - an SDK's error may need arguments that a copy does not give
        return error
    if type(own) is not type(error) or str(own) != str(error):
        return error
    own.__cause__ = error.__cause__
    return own.with_traceback(None)

"""The decorator that caches a function by its arguments, in any store."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, TypeVar, cast, overload

from instructor.cache.entry import Entry, decode_entry, encode_entry
from instructor.cache.flight import Flight, Landed
from instructor.cache.guard import Guard, guard_of
from instructor.cache.memory import AutoCache
from instructor.cache.recipe import MISSING, Recipe
from instructor.cache.store import BaseCache
from instructor.exceptions import CacheEntryError, CacheError, ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


@overload
def instructor_cache(function: F, /) -> F: ...
@overload
def instructor_cache(*, cache: Any = None, ttl: float | timedelta | None = None) -> Callable[[F], F]: ...
def instructor_cache(function: Any = None, /, *, cache: Any = None, ttl: float | timedelta | None = None) -> Any:
    """Cache what a function returns, by its arguments. For functions and methods, plain and ``async``.

    You would use it around a function that does more than one call of a client: that reads a page, asks twice and
    merges. Around a single call, pass ``cache=`` to the client instead; it knows everything that the call says.

    The key is made of the function's module and name, the JSON Schema of its return type, and its arguments with
    defaults filled in; ``f(1)`` and ``f(x=1)`` are one. Of a method's ``self`` the data enter the key if it is a
    pydantic model or a dataclass, or whatever its method ``__cache_key__()`` returns; any other instance has a key
    of its own that ends with it. A call with an argument that has no canonical form, such as an open file, is not
    cached, which a warning in the log ``instructor.cache`` says once. For a function inside a function, the variables
    of the outer one count as they are when it is decorated. What else a function depends on, its body and global
    variables, is not in the key: rename the function, or clear the store, when it changes.

    What is stored is JSON, read back through the return type, and only if that gives an equal value. Identical calls
    at the same time run the function once. A function that raises stores nothing.

    Args:
        function: The function, when used without parentheses. Its return type must be annotated, with anything that
            pydantic can validate: a model, ``list[Model]``, ``Model | None``, ``int``.
        cache: Any `BaseCache`, or a ``diskcache.Cache``, ``redis.Redis`` or ``redis.asyncio.Redis``. Default: an
            `AutoCache` of the function's own, found as its attribute ``cache``.
        ttl: Seconds, or a timedelta, after which a result is made anew. Default None: never. 0: nothing is stored.

    Returns:
        The function, cached, with the store as attribute ``cache``.

    Raises:
        ConfigurationError: The return type is missing or none of pydantic's, or an argument is wrong.

    Example:
        >>> @instructor_cache
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(2), double(x=2), double.cache.stats().hits
        (4, 4, 1)
    """
    seconds = _check_ttl(ttl)
    names = _names_of_caller()

    def decorate(target: Any) -> Any:
        if cache is None:
            return _decorate(target, AutoCache(), seconds, names, shared=False)
        store = _store_of(cache)
        if not seconds or store.honours_ttl:
            return _decorate(target, store, seconds, names, shared=True)
        if isinstance(store, AutoCache):
            store.note_ttl()
        return _decorate(target, store, None, names, shared=True)

    return decorate if function is None else decorate(function)


def _decorate(target: Any, store: BaseCache, ttl: float | None, names: Mapping[str, Any], *, shared: bool) -> Any:
    if isinstance(target, classmethod | staticmethod):
        descriptor: Any = cast("Any", target)
        return type(descriptor)(_decorate(descriptor.__func__, store, ttl, names, shared=shared))
    recipe = Recipe(target, names, shared=shared)
    guard = guard_of(store)

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        key = recipe.key_of(args, kwargs)
        if key is None:
            return target(*args, **kwargs)
        return _drive(_answer(recipe, guard, key, ttl), guard, lambda: target(*args, **kwargs))

    @functools.wraps(target)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        key = recipe.key_of(args, kwargs)
        if key is None:
            return await target(*args, **kwargs)
        return await _drive_async(_answer(recipe, guard, key, ttl), guard, lambda: target(*args, **kwargs))

    wrapper: Any = call_async if inspect.iscoroutinefunction(target) else call
    wrapper.cache = store
    return wrapper


@dataclass(frozen=True, slots=True)
class _Read:
    """Read the store."""

    key: str


@dataclass(frozen=True, slots=True)
class _Write:
    """Write to the store."""

    entry: Entry
    ttl: float | None


@dataclass(frozen=True, slots=True)
class _Wait:
    """Wait for another call's flight."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class _Run:
    """Run the function."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the leader of a flight brings to the others.

    Attributes:
        result: What the function returned.
        entry: The same in writing; None if it cannot be read back.
    """

    result: Any
    entry: Entry | None


_Step = _Read | _Write | _Wait | _Run
_Flow = Generator[_Step, Any, Any]


def _answer(recipe: Recipe, guard: Guard, key: str, ttl: float | None) -> _Flow:
    """Answer one call: from the store, from an identical call under way, or by running the function."""
    flights = guard.flights
    while True:
        landed_before = flights.landed
        found = yield from _look(recipe, guard, key)
        if found is not MISSING:
            return found
        flight, leads = flights.claim(key)
        if leads:
            return (yield from _lead(recipe, guard, key, ttl, flight, looks_again=flights.landed != landed_before))
        if not flight.can_wait(recipe.asynchronous):
            return (yield _Run())
        landed: Landed = yield _Wait(flight)
        if landed.error is not None:
            raise landed.error
        if landed.value is not None:
            shared = _share(recipe, landed.value)
            return (yield _Run()) if shared is MISSING else shared


def _lead(recipe: Recipe, guard: Guard, key: str, ttl: float | None, flight: Flight, *, looks_again: bool) -> _Flow:
    """Run the function for all that wait. Cancelled, the flight is handed over to one of them."""
    outcome: _Outcome | None = None
    failure: Exception | None = None
    try:
        if looks_again:
            # Another flight landed between our look and our claim, so its result may be in the store by now.
            found = yield from _look(recipe, guard, key)
            if found is not MISSING:
                return found
        started = time.perf_counter()
        result = yield _Run()
        expires = None if ttl is None else time.time() + ttl
        entry = recipe.write(key, result, expires, time.perf_counter() - started)
        outcome = _Outcome(result, entry)
        if entry is not None and ttl != 0:
            yield from _keep(guard, entry, ttl)
    except Exception as error:
        failure = error
        raise
    else:
        return result
    finally:
        flight.land(outcome, failure)


def _look(recipe: Recipe, guard: Guard, key: str) -> _Flow:
    """Look into the store; a failing store and an entry that cannot be used are a miss."""
    if guard.near is not None:
        entry = guard.near.find(key)
    elif guard.paused():
        return MISSING
    else:
        try:
            text = yield _Read(key)
            entry = decode_entry(text, key) if text is not None else None
        except CacheEntryError:
            guard.count(errors=1, misses=1)
            return MISSING
        except CacheError:
            if guard.store.on_error == "raise":
                raise
            return MISSING
    usable = entry is not None and (entry.expires is None or entry.expires > time.time())
    value = recipe.read(entry) if entry is not None and usable else MISSING
    if usable and value is MISSING:
        guard.count(errors=1)
    if value is MISSING:
        guard.count(misses=1)
    elif guard.near is None:
        guard.count(hits=1)
    return value


def _keep(guard: Guard, entry: Entry, ttl: float | None) -> _Flow:
    """Store a result. A store's failure loses nothing: the result is returned all the same."""
    if guard.near is not None:
        guard.near.keep(entry)
    else:
        try:
            if not (yield _Write(entry, ttl)):
                return
        except CacheError:
            return
    guard.count(writes=1)


def _share(recipe: Recipe, outcome: _Outcome) -> Any:
    """Make a waiter's own copy of the leader's result."""
    if outcome.entry is not None:
        return recipe.read(outcome.entry)
    try:
        return copy.deepcopy(outcome.result)
    except Exception:  # noqa: BLE001 - what cannot be copied cannot be shared; the waiter makes its own
        return MISSING


def _drive(flow: _Flow, guard: Guard, run: Callable[[], Any]) -> Any:
    """Perform a flow's steps in this thread."""

    def perform(step: _Step) -> Any:
        match step:
            case _Read(key):
                return guard.read(key)
            case _Write(entry, ttl):
                return guard.write(entry.key, encode_entry(entry), ttl)
            case _Wait(flight):
                return flight.wait()
            case _Run():
                return run()

    try:
        step = next(flow)
        while True:
            try:
                result = perform(step)
            except BaseException as error:  # noqa: BLE001 - the flow decides, and lands its flight
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        return end.value


async def _drive_async(flow: _Flow, guard: Guard, run: Callable[[], Any]) -> Any:
    """Perform a flow's steps in this task. As `_drive` otherwise."""

    async def perform(step: _Step) -> Any:
        match step:
            case _Read(key):
                return await guard.read_async(key)
            case _Write(entry, ttl):
                return await guard.write_async(entry.key, encode_entry(entry), ttl)
            case _Wait(flight):
                return await flight.wait_async()
            case _Run():
                return await run()

    try:
        step = next(flow)
        while True:
            try:
                result = await perform(step)
            except BaseException as error:  # noqa: BLE001 - the flow decides, and lands its flight
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        return end.value


class _DiskcacheStore(BaseCache):
    """A ``diskcache.Cache`` as a store. It bounds its own waiting."""

    bounded: ClassVar[Literal[True]] = True

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def get(self, key: str) -> Any:
        return self.cache.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.cache.set(key, value, expire=ttl)


def _wrap_redis(client: Any) -> BaseCache:
    from instructor.cache.redis import RedisCache

    return RedisCache(client=client)


def _wrap_async_redis(client: Any) -> BaseCache:
    from instructor.cache.redis import RedisCache

    return RedisCache(async_client=client)


_FOREIGN: dict[str, Callable[[Any], BaseCache]] = {
    "diskcache.core.Cache": _DiskcacheStore,
    "diskcache.fanout.FanoutCache": _DiskcacheStore,
    "redis.client.Redis": _wrap_redis,
    "redis.cluster.RedisCluster": _wrap_redis,
    "redis.asyncio.client.Redis": _wrap_async_redis,
    "redis.asyncio.cluster.RedisCluster": _wrap_async_redis,
}
"""Other libraries' caches, known by name, so that none of them need be installed."""


def _store_of(cache: Any) -> BaseCache:
    if isinstance(cache, BaseCache):
        return cache
    for kind in type(cache).__mro__:
        wrap = _FOREIGN.get(f"{kind.__module__}.{kind.__qualname__}")
        if wrap is not None:
            return wrap(cache)
    raise ConfigurationError(
        "instructor_cache(cache=) takes a BaseCache, such as DiskCache(), a diskcache.Cache or a redis.Redis; "
        f"got a {type(cache).__module__}.{type(cache).__qualname__}."
    )


def _names_of_caller() -> dict[str, Any]:
    """The local names at the place where the decorator stands."""
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    return dict(caller.f_locals) if caller is not None else {}


def _check_ttl(ttl: Any) -> float | None:
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ConfigurationError(f"instructor_cache(ttl=) takes seconds or a timedelta, not below 0; got {ttl!r}.")
    return seconds

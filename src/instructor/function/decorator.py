"""The decorator that caches a function by its arguments, in any store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, overload

from instructor.cache.listing import check_tag_source
from instructor.cache.memory import AutoCache
from instructor.cache.store import Ability, BaseCache
from instructor.cache.tiered import TieredCache
from instructor.cache_modes import READ_ONLY, USE, mode_of_block
from instructor.checks import check_ttl
from instructor.describing import refuse
from instructor.engine.call import Policy, Same
from instructor.engine.drive import drive, drive_async
from instructor.engine.effects import Flow
from instructor.engine.lookup import value_through_cache
from instructor.engine.path import make_path
from instructor.function.codec import FunctionCodec
from instructor.function.question import Function, FunctionQuestion
from instructor.options import Ttl

F = TypeVar("F", bound=Callable[..., Any])


@overload
def instructor_cache(function: F, /) -> F: ...
@overload
def instructor_cache(
    *,
    cache: object = None,
    ttl: Ttl = None,
    tags: Iterable[str] | Callable[[Any], Iterable[str]] | None = None,
) -> Callable[[F], F]: ...
def instructor_cache(
    function: object = None,
    /,
    *,
    cache: object = None,
    ttl: Ttl = None,
    tags: Iterable[str] | Callable[[Any], Iterable[str]] | None = None,
) -> object:
    """Cache what a function returns, by its arguments. For functions and methods, plain and ``async``.

    Use it around a function that does more than one call of a client: that reads a page, asks twice and merges. Around
    a single call, pass ``cache=`` to the client instead, which knows everything that can affect the answer.

    **The key** is made of the function's name and code, the JSON Schema of its return type, and its arguments with
    defaults filled in: ``f(1)`` and ``f(x=1)`` are one call, ``f(1)`` and ``f(1.0)`` are two. An argument, a method's
    ``self`` included, may be plain data, a dataclass, a pydantic model, a class, a function, a client, or an object
    whose method ``__cache_key__()`` returns plain data. The order of a dict's keys doesn't count.

    - Editing the function makes new keys; comments and layout don't matter. What else it depends on isn't in the key,
      such as global variables and the functions it calls: clear the store, or rename the function, when they change.
    - A function in a script is known by the script's path, so two scripts never share a result. Put the function in a
      module to find its results from anywhere.
    - For a function inside a function, the variables of the outer one count as they are at the first call. Its code is
      known by bytecode, so another minor version of Python runs it anew.
    - The same holds above another decorator, whose variables count too. So put ``@instructor_cache`` below others.

    **A call is not cached**, which a warning in the log ``instructor.cache`` says once, with what to do, if something in
    it has no canonical form, such as an open file, an instance of a plain class, or one of a local class whose methods
    close over such things. A result is not kept if what is
    read back would not be the same: it is written as JSON, read through the return type, and compared with the
    original, types and private data included. What a comparison by value can't see may differ: the order of a dict's
    keys, whether one list stands in two places, and what a ``cached_property`` has kept, which is computed anew. Nor is it kept or shared if an argument was changed while the function
    ran, by the function itself or by others.

    Identical calls at the same time run the function once. A function that raises stores nothing.

    Args:
        function: The function, when used without parentheses. Its return type must be annotated, with anything that
            pydantic can validate: a model, ``list[Model]``, ``Model | None``, ``int``.
        cache: Any `BaseCache`, or a ``diskcache.Cache``, ``redis.Redis`` or ``redis.asyncio.Redis``; or a list of them,
            the fastest first. Default: an `AutoCache` of the function's own, found as its attribute ``cache``.
        ttl: Seconds, or a timedelta, after which the function is run again, or a function of the result that returns
            one. Default None: never. 0 stores nothing.
        tags: By what results can be invalidated, such as ``["prices"]``, or a function that makes that of a result.

    Returns:
        The function, cached, with the store as attribute ``cache``.

    Raises:
        ConfigurationError: The return type is missing, or not one that pydantic validates; or an argument is wrong. If
            the return type is in quotes and not defined yet, the first call raises it.

    Example:
        >>> @instructor_cache
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(2), double(x=2), double.cache.stats().hits
        (4, 4, 1)
    """
    seconds = check_ttl(ttl, "instructor_cache(ttl=)")

    source = check_tag_source(tags, "instructor_cache(tags=)")

    def decorate(target: object) -> object:
        store = AutoCache() if cache is None else _store_of(cache)
        return _decorate(target, store, Policy(ttl=seconds, tags=source), shared=cache is not None)

    return decorate if function is None else decorate(function)


def _decorate(target: object, store: BaseCache, policy: Policy, *, shared: bool) -> object:
    if isinstance(target, classmethod | staticmethod):
        descriptor = cast("Any", target)
        return type(descriptor)(_decorate(descriptor.__func__, store, policy, shared=shared))
    codec = FunctionCodec(target, shared=shared)
    path = make_path(store)
    function = Function(codec, path)
    # What a function closes over may hold more than its key shows, so an error holds for callers of this one alone.
    ttl = path.lifetime(policy.ttl) if shared and not callable(policy.ttl) else policy.ttl
    policy = policy._replace(ttl=ttl, source=Same(codec))

    def ask(args: tuple[object, ...], kwargs: dict[str, object]) -> Flow[object] | None:
        mode = mode_of_block() or USE
        if not mode.is_cached:
            return None
        if policy.tags is not None and not path.can_tag:
            codec.warn_of_tags(function.path.name)
            return None
        owners: list[object] = []
        key = codec.key_of(args, kwargs, owners.append)
        if key is None:
            return None
        # It isn't a request: what it asks is replayed, and it may run.
        used = policy if mode is USE else policy._replace(mode=mode if mode.sends else READ_ONLY)
        question = FunctionQuestion(function, key, {"args": args, "kwargs": kwargs})
        return value_through_cache(function.path, key, question, used.owned_by(owners))

    @functools.wraps(codec.function)
    def call(*args: object, **kwargs: object) -> object:
        flow = ask(args, kwargs)
        return codec.function(*args, **kwargs) if flow is None else drive(flow, function)

    @functools.wraps(codec.function)
    async def call_async(*args: object, **kwargs: object) -> object:
        flow = ask(args, kwargs)
        return await (codec.function(*args, **kwargs) if flow is None else drive_async(flow, function))

    wrapper = call_async if codec.asynchronous else call
    wrapper.__dict__["cache"] = store
    return wrapper


class _DiskcacheStore(BaseCache):
    """A ``diskcache.Cache`` as a store. It bounds its own waiting."""

    abilities: frozenset[Ability] = frozenset({"bounded"})

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def get(self, key: str) -> Any:
        return self.cache.get(key)

    def set(self, key: str, value: object, ttl: int | None = None) -> None:
        self.cache.set(key, value, expire=ttl)


def _wrap_redis(**client: Any) -> BaseCache:
    from instructor.cache.redis import RedisCache

    return RedisCache(**client)


_FOREIGN: dict[str, Callable[[object], BaseCache]] = {
    "diskcache.core.Cache": _DiskcacheStore,
    "diskcache.fanout.FanoutCache": _DiskcacheStore,
    "redis.client.Redis": lambda client: _wrap_redis(client=client),
    "redis.cluster.RedisCluster": lambda client: _wrap_redis(client=client),
    "redis.asyncio.client.Redis": lambda client: _wrap_redis(async_client=client),
    "redis.asyncio.cluster.RedisCluster": lambda client: _wrap_redis(async_client=client),
}
"""Other libraries' caches, recognised by name because the libraries may not be installed."""


def _store_of(cache: object) -> BaseCache:
    if isinstance(cache, BaseCache):
        return cache
    if isinstance(cache, list | tuple):
        return TieredCache(*map(_store_of, cast("list[object]", cache)))
    for kind in type(cache).__mro__:
        wrap = _FOREIGN.get(f"{kind.__module__}.{kind.__qualname__}")
        if wrap is not None:
            return wrap(cache)
    advice = "a BaseCache, such as DiskCache(), a diskcache.Cache or a redis.Redis"
    raise refuse("instructor_cache(cache=)", cache, advice)

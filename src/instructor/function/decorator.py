"""The decorator that caches a function by its arguments, in any store."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, cast, overload

from instructor.cache.memory import AutoCache
from instructor.cache.store import Ability, BaseCache
from instructor.engine.call import Policy
from instructor.engine.drive import drive, drive_async
from instructor.engine.effects import Flow
from instructor.engine.lookup import through_cache
from instructor.engine.path import make_path
from instructor.exceptions import ConfigurationError
from instructor.function.codec import FunctionCodec
from instructor.function.question import Function, FunctionQuestion

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
    codec = FunctionCodec(target, names, shared=shared)
    function = Function(codec, make_path(store))
    # All that makes a function answer differently is in its key, so an error holds for every caller.
    policy = Policy(ttl=ttl)

    def ask(key: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow[Any]:
        question = FunctionQuestion(function, key, {"args": args, "kwargs": kwargs})
        return through_cache(function.path, key, question, policy)

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        key = codec.key_of(args, kwargs)
        if key is None:
            return target(*args, **kwargs)
        return drive(ask(key, args, kwargs), function)

    @functools.wraps(target)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        key = codec.key_of(args, kwargs)
        if key is None:
            return await target(*args, **kwargs)
        return await drive_async(ask(key, args, kwargs), function)

    wrapper: Any = call_async if codec.asynchronous else call
    wrapper.cache = store
    return wrapper


class _DiskcacheStore(BaseCache):
    """A ``diskcache.Cache`` as a store. It bounds its own waiting."""

    abilities: frozenset[Ability] = frozenset({"bounded"})

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

"""How a call uses its cache: made of its keywords, of what its client was made with, and of the blocks around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from instructor import checks as check
from instructor.cache_modes import CacheMode, active, mode_of_block, mode_of_environment, read_mode
from instructor.engine.call import Policy
from instructor.engine.path import CachePath
from instructor.options import NO_OPTIONS, Options


class CacheUse(NamedTuple):
    """What a client, or a call, wants of its cache, checked. The members are what the keywords of these names mean."""

    mode: CacheMode
    ttl: float | None
    namespace: str | None
    salt: str | None
    samples: int

    @property
    def looks_first(self) -> bool:
        """Whether what is stored may be served before anything else about a call is known."""
        return self.mode.looks and self.samples == 1


def use_of_client(settings: Options, cache_ttl: object, cache_namespace: object) -> CacheUse:
    """What calls want that say nothing themselves."""
    return CacheUse(
        mode_of_environment() if settings.cache_mode is None else read_mode(settings.cache_mode),
        check.check_seconds(cache_ttl),
        check.check_namespace(cache_namespace),
        check.check_salt(settings.cache_salt),
        check.check_samples(settings.samples),
    )


def use_of_call(options: Options, client: CacheUse) -> CacheUse:
    """What a call wants: its own keywords first, then the block around it, then its client's."""
    if options is NO_OPTIONS and not active:
        return client
    own = options.cache_mode
    return CacheUse(
        read_mode(own) if own is not None else mode_of_block() or client.mode,
        client.ttl if options.cache_ttl is None else check.check_seconds(options.cache_ttl),
        client.namespace if options.cache_namespace is None else check.check_namespace(options.cache_namespace),
        client.salt if options.cache_salt is None else check.check_salt(options.cache_salt),
        client.samples if options.samples is None else check.check_samples(options.samples),
    )


def make_policy(
    use: CacheUse, path: CachePath | None, limits: tuple[Any, ...], owner: tuple[object, ...], secrets: tuple[Any, ...]
) -> Policy:
    """Make the policy of a call.

    `limits` are its retries, token budget and seconds; `owner` are its client's adapter and its plan; `secrets` are its
    timeout and what may hold credentials. These aren't in the key, but decide about errors.
    """
    if path is None:
        return Policy(mode=use.mode)
    timeout, seconds = secrets[0], limits[-1]
    private = hash(tuple(map(repr, secrets)))  # as a hash, so that none is kept here
    patience = _shorter(None if timeout is None else _seconds_of(timeout), seconds)
    return Policy(path.lifetime(use.ttl), patience, (*owner, *limits, private), mode=use.mode)


def secrets_of(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Any, ...]:
    """What `make_policy` calls secrets."""
    timeout = arguments.get("timeout", defaults.get("timeout"))
    return (timeout, arguments.get("api_key"), arguments.get("extra_headers")) if arguments else (timeout,)


def _seconds_of(timeout: Any) -> float | None:
    """How long a call may wait for another: its own timeout, as a number or an object of an HTTP library."""
    seconds = timeout if isinstance(timeout, (int, float)) else getattr(timeout, "read", None)
    return float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else None


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two times, where None is for ever."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)

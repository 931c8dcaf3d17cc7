"""How a call uses its cache: made of its keywords, of what its client was made with, and of the blocks around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from instructor import checks as check
from instructor.cache.listing import TagSource, check_tag_source
from instructor.cache_modes import CacheMode, active, mode_of_call, mode_of_environment, read_mode
from instructor.engine.call import Policy
from instructor.engine.freshness import PLAIN, Freshness
from instructor.engine.path import CachePath
from instructor.options import NO_OPTIONS, Options

if TYPE_CHECKING:
    from instructor.engine.client_stats import ClientStats
    from instructor.engine.plan import Plans
    from instructor.engine.prompt_plan import PromptPlan

Limits = tuple[object, int | None, float | None]
"""A call's retries, token budget and seconds."""


class CacheUse(NamedTuple):
    """What a client, or a call, wants of its cache, checked. The members are what the keywords of these names mean."""

    mode: CacheMode
    ttl: float | Callable[[object], float | None] | None
    namespace: str | None
    salt: str | None
    samples: int
    freshness: Freshness
    tags: TagSource | None
    compatible: bool
    explains: bool

    @property
    def looks_first(self) -> bool:
        """Whether what is stored may be served before anything else about a call is known."""
        return self.mode.looks and self.samples == 1


def use_of_client(settings: Options, cache_ttl: object, cache_namespace: object) -> CacheUse:
    """What calls want that say nothing themselves."""
    return CacheUse(
        mode_of_environment() if settings.cache_mode is None else read_mode(settings.cache_mode),
        check.check_ttl(cache_ttl),
        check.check_namespace(cache_namespace),
        check.check_salt(settings.cache_salt),
        check.check_samples(settings.samples),
        check.check_freshness(settings, PLAIN),
        check_tag_source(settings.cache_tags),
        check.check_schema_match(settings.schema_match),
        check.check_flag("explain_misses", settings.explain_misses),
    )


def use_of_call(options: Options, client: CacheUse, response_model: object, by_model: object) -> CacheUse:
    """What a call wants: its own keywords first, then the block around it, then `by_model`, then its client's.

    `by_model` is the ``__cache_ttl__`` of the response model.
    """
    own = options.cache_mode
    if options is NO_OPTIONS and by_model is None and not active:
        return client
    ttl = client.ttl if by_model is None else check.check_ttl(by_model, f"{response_model!r}.__cache_ttl__")
    return CacheUse(
        mode_of_call(own) or client.mode,
        ttl if options.cache_ttl is None else check.check_ttl(options.cache_ttl),
        client.namespace if options.cache_namespace is None else check.check_namespace(options.cache_namespace),
        client.salt if options.cache_salt is None else check.check_salt(options.cache_salt),
        client.samples if options.samples is None else check.check_samples(options.samples),
        check.check_freshness(options, client.freshness),
        client.tags if options.cache_tags is None else check_tag_source(options.cache_tags),
        client.compatible if options.schema_match is None else check.check_schema_match(options.schema_match),
        client.explains
        if options.explain_misses is None
        else check.check_flag("explain_misses", options.explain_misses),
    )


def make_policy(
    use: CacheUse, path: CachePath | None, limits: Limits, owner: tuple[object, ...], secrets: tuple[object, ...]
) -> Policy:
    """Make the policy of a call.

    `owner` are its client's adapter and its plan; `secrets` are its
    timeout and what may hold credentials. These aren't in the key, but decide about errors.
    """
    if path is None:
        return Policy(mode=use.mode)
    timeout, seconds = secrets[0], limits[-1]
    private = 0 if secrets == (None,) else hash(tuple(map(repr, secrets)))  # as a hash, so that none is kept here
    patience = _shorter(None if timeout is None else _seconds_of(timeout), seconds)
    ttl = use.ttl
    if not callable(ttl):
        ttl = path.lifetime(ttl)
    source = (*owner, *limits, private)
    return Policy(
        ttl,
        patience,
        source,
        namespace=use.namespace,
        tags=use.tags,
        mode=use.mode,
        freshness=use.freshness,
        compatible=use.compatible and use.samples == 1,
        explains=use.explains,
    )


def plan_prompts(options: Options, settings: Options, stats: ClientStats, plans: Plans) -> PromptPlan | None:
    """How a call's requests use the provider's prompt cache; None, as for most, where they are left as they are."""
    wanted = settings.prompt_cache if options.prompt_cache is None else options.prompt_cache
    if wanted is None:
        return None
    from instructor.engine.prompt_plan import make_prompt_plan

    return make_prompt_plan(wanted, stats, plans)


def secrets_of(arguments: Mapping[str, object], defaults: Mapping[str, object]) -> tuple[object, ...]:
    """What `make_policy` calls secrets."""
    timeout = arguments.get("timeout", defaults.get("timeout"))
    return (timeout, arguments.get("api_key"), arguments.get("extra_headers")) if arguments else (timeout,)


def _seconds_of(timeout: object) -> float | None:
    """How long a call may wait for another: its own timeout, as a number or an object of an HTTP library."""
    seconds = timeout if isinstance(timeout, (int, float)) else getattr(timeout, "read", None)
    return float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else None


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two times, where None is for ever."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)

"""Checks of what users pass: each returns the value in the form used inside, or says what to pass instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from instructor.cache.listing import check_tag_source
from instructor.cache.store import BaseCache
from instructor.cache.tiered import require_store
from instructor.describing import describe_value, refuse, refuse_choice, refuse_word, warn_caller
from instructor.engine.freshness import LONGEST_TTL, PLAIN, Freshness
from instructor.engine.retry import make_retry_policy
from instructor.exceptions import ArgumentError, ConfigurationError
from instructor.hooks import Hooks
from instructor.media.policy import DEFAULT_POLICY, FetchPolicy
from instructor.messages import Messages, Request, copy_values
from instructor.options import Options, find_misspelt, suggest_keyword

if TYPE_CHECKING:
    from instructor.budget import Budget
    from instructor.engine.showing import OnInvalid, Pace

_CALL_KEYWORDS = ("messages", "response_model", "cache", "stream", "autodetect_images")
"""Keywords that belong to one call and can't be defaults."""
_CLIENT_KEYWORDS = ("mode", "async_client")
"""Keywords that belong to a client and can't differ from call to call."""


def check_cache(cache: object) -> BaseCache | None:
    """Return the store, or None for none. A list of stores is one store."""
    return None if cache is None else require_store("cache", cache)


def check_cache_settings(
    cache: BaseCache | None, cache_ttl: object, cache_namespace: object, cache_tags: object = None
) -> None:
    """Warn at the caller's line if there are settings for a cache, but no cache."""
    settings = {"cache_ttl": cache_ttl, "cache_namespace": cache_namespace, "cache_tags": cache_tags}
    names = [f"{name}=" for name, value in settings.items() if value]
    if cache is None and names:
        verb = "has" if len(names) == 1 else "have"
        warn_caller(f"{' and '.join(names)} {verb} no effect without a cache. Pass one, such as cache=AutoCache().")


def check_seconds(ttl: object, name: str = "cache_ttl") -> float | None:
    """Return a time to live in seconds; None for ever."""
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise refuse(name, ttl, "seconds as a number, or a timedelta")
    if not 0 <= seconds <= LONGEST_TTL:
        raise refuse(name, seconds, "0 or more seconds: 0 stores nothing, None keeps the answer for ever")
    return float(seconds)


def check_ttl(ttl: object, name: str = "cache_ttl") -> float | Callable[[object], float | None] | None:
    """Return a time to live in seconds; None for ever. That of a function is a function whose result is checked."""
    if not callable(ttl) or isinstance(ttl, type):
        return check_seconds(ttl, name)
    find = cast("Callable[[object], object]", ttl)
    return lambda value: check_seconds(find(value), f"what {name} returned")


def check_freshness(options: Options, client: Freshness) -> Freshness:
    """Return how old an answer may be: what a call says, else what its client says."""
    names = [name for name in Freshness._fields if getattr(options, name) is not None]
    if not names:
        return client
    checked = {name: _FRESHNESS[name](getattr(options, name), name) for name in names}
    made = client._replace(**checked)
    return PLAIN if made == PLAIN else made


def check_span(span: object, name: str) -> float:
    """Return a span in seconds."""
    seconds = check_seconds(span, name)
    assert seconds is not None, "the caller leaves None out"
    return seconds


def check_eagerness(eagerness: object, name: str) -> float:
    """Return how eagerly answers are refreshed; 0 for not at all."""
    if isinstance(eagerness, (bool, int, float)) and 0 <= eagerness < math.inf:
        return float(eagerness)
    raise refuse(name, eagerness, "True, False, or a number of 0 or more")


_FRESHNESS: dict[str, Callable[[object, str], float]] = {
    "max_age": check_span,
    "stale_while_revalidate": check_span,
    "stale_if_error": check_span,
    "refresh_early": check_eagerness,
}


def check_namespace(cache_namespace: object) -> str | None:
    """Return a namespace, or None for the one without a name."""
    if cache_namespace is None or (isinstance(cache_namespace, str) and cache_namespace):
        return cache_namespace
    raise refuse("cache_namespace", cache_namespace, "a text that is not empty, or leave it out")


def check_salt(cache_salt: object) -> str | None:
    """Return a salt; None for none."""
    if cache_salt is None or (isinstance(cache_salt, str) and cache_salt):
        return cache_salt
    raise refuse("cache_salt", cache_salt, "a text that is not empty, or leave it out")


def check_samples(samples: object) -> int:
    """Return how many answers to a call are kept."""
    if samples is None:
        return 1
    if isinstance(samples, int) and not isinstance(samples, bool) and samples > 0:
        return samples
    raise refuse("samples", samples, "a whole number above 0, or leave it out")


def check_hooks(hooks: object) -> Hooks:
    """Return a set of hooks."""
    if isinstance(hooks, Hooks):
        return hooks
    raise refuse("hooks", hooks, "an instructor.hooks.Hooks")


def check_context(context: object) -> Mapping[str, object] | None:
    """Return a context; None for an empty one."""
    if context is None or isinstance(context, Mapping):
        return cast("Mapping[str, object] | None", context or None)
    raise refuse("context", context, "a dict of names and values")


def check_strict(strict: object) -> bool:
    """Return whether validation is strict, which is the default."""
    if strict is None or isinstance(strict, bool):
        return strict is not False
    raise refuse("strict", strict, "True or False")


def check_budget(token_budget: object) -> int | None:
    """Return after how many tokens no further attempt is made; None for no limit."""
    if token_budget is None:
        return None
    if isinstance(token_budget, int) and not isinstance(token_budget, bool) and token_budget > 0:
        return token_budget
    raise refuse("token_budget", token_budget, "a positive number of tokens, or leave it out")


def check_budgets(*budgets: object) -> tuple[Budget, ...]:
    """Return the budgets among these that aren't None."""
    named = [budget for budget in budgets if budget is not None]
    if not named:
        return ()
    from instructor.budget import Budget

    for budget in named:
        if not isinstance(budget, Budget):
            raise refuse("budget", budget, 'a Budget, such as Budget(usd=5, per="day")')
    return tuple(cast("list[Budget]", named))


def check_max_seconds(max_seconds: object) -> float | None:
    """Return how long a call may take in all; None for no limit."""
    if max_seconds is None:
        return None
    if isinstance(max_seconds, (int, float)) and not isinstance(max_seconds, bool) and max_seconds > 0:
        return float(max_seconds)
    raise refuse("max_seconds", max_seconds, "seconds as a number above 0, such as 30")


def check_schema_match(match: object) -> bool:
    """Return whether answers for another schema are served; None is the same as ``"exact"``."""
    if match not in (None, "exact", "compatible"):
        raise refuse_choice("schema_match", match, ("exact", "compatible"))
    return match == "compatible"


def check_flag(name: str, flag: object) -> bool:
    """Return what a keyword switches, which is off by default."""
    if isinstance(flag, bool) or flag is None:
        return bool(flag)
    raise refuse(name, flag, "True or False")


def check_media_policy(media_policy: object) -> FetchPolicy:
    """Return what may be fetched."""
    if media_policy is None or isinstance(media_policy, FetchPolicy):
        return media_policy or DEFAULT_POLICY
    raise refuse("media_policy", media_policy, "an instructor.media.FetchPolicy")


def find_model(arguments: dict[str, Any], defaults: Mapping[str, Any], own: str | None, provider: str) -> str:
    """Return the model that a call names, which is taken out of its arguments, or else its client."""
    model = arguments.pop("model", None) if arguments else None
    return check_model(defaults.get("model") if model is None else model, own, provider)


def check_model(model: object, default: str | None, provider: str) -> str:
    """Return a model's name: the call's, or the client's where the call names none."""
    name = default if model is None else model
    if isinstance(name, str) and name:
        return name
    raise ArgumentError(
        f"model is {describe_value(name)}, so {provider} cannot be asked. Pass model= to this call or to the factory."
    )


def check_defaults(defaults: Mapping[str, object]) -> Request:
    """Return a copy of the keywords for every call, which later changes of the caller's own objects don't reach."""
    check_names(defaults)
    for name in _CALL_KEYWORDS:
        if defaults.get(name):
            raise ConfigurationError(f"{name}= belongs to a call of create(), not to the factory. Pass it there.")
    check_context(defaults.get("context"))
    check_tag_source(defaults.get("cache_tags"))
    check_strict(defaults.get("strict"))
    check_budget(defaults.get("token_budget"))
    check_budgets(defaults.get("budget"))
    check_media_policy(defaults.get("media_policy"))
    check_salt(defaults.get("cache_salt"))
    check_samples(defaults.get("samples"))
    if defaults.get("max_retries") is not None:
        make_retry_policy(defaults["max_retries"])
    check_max_seconds(defaults.get("max_seconds"))
    check_timeout(defaults.get("timeout"))
    check_on_invalid(defaults.get("on_invalid"))
    check_pace(defaults.get("cache_pace"))
    if defaults.get("limits") is not None:
        from instructor.limits.settings import check_limits

        check_limits(defaults["limits"])
    check_flag("validate_partial", defaults.get("validate_partial"))
    if defaults.get("prompt_cache") is not None:
        from instructor.prompt_caching.setting import check_prompt_cache

        check_prompt_cache(defaults["prompt_cache"])
    return copy_values(defaults)


def check_names(names: Iterable[str]) -> None:
    """Refuse a keyword of ours that is misspelt: it would be sent to the provider, and its value would be lost."""
    for name in names:
        meant = find_misspelt(name)
        if meant is not None:
            raise ArgumentError(f"There is no keyword {name}=. Did you mean {meant}=?")


def check_timeout(timeout: object) -> None:
    """Refuse a timeout that no SDK can use: a text, a truth value, a number that isn't above 0."""
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if isinstance(timeout, (str, bytes, bool)) or (is_number and not cast("float", timeout) > 0):
        raise refuse("timeout", timeout, "seconds as a number above 0, such as 30")


def check_pace(pace: object) -> Pace | None:
    """Return what notes the pace of a stream; None for a stream at once."""
    if pace is None:
        return None
    if pace != "recorded":
        raise refuse_word("cache_pace", pace, '"recorded", or leave it out')
    from instructor.engine.showing import Pace  # only streams need it

    return Pace()


def check_effects(options: Options, *, has_cache: bool, has_items: bool) -> None:
    """Warn at the caller's line of keywords that have no effect in this call."""
    if not has_cache:
        check_cache_settings(None, options.cache_ttl, options.cache_namespace, options.cache_tags)
    if check_on_invalid(options.on_invalid) != "raise" and not has_items:
        warn_caller("on_invalid= has no effect in a call that hands out no items. Use create_iterable().")


def check_on_invalid(on_invalid: object) -> OnInvalid:
    """Return what becomes of a stream's invalid items."""
    if on_invalid not in (None, "raise", "skip", "collect"):
        raise refuse_choice("on_invalid", on_invalid, ("raise", "skip", "collect"))
    return on_invalid or "raise"


def check_arguments(arguments: Request) -> Request:
    """Return the arguments for the provider."""
    check_names(arguments)
    for name in _CLIENT_KEYWORDS:
        if name in arguments:
            raise ArgumentError(
                f"{name}= belongs to the client, not to a call of create(). "
                f'Pass it when you make the client: from_provider("vendor/model", {name}=...).'
            )
    if arguments.get("stream"):
        raise ConfigurationError(
            "create_with_completion() and create_with_reply() wait for the whole answer and take no stream=True. Use create_partial() or "
            "create_iterable(): once their stream is at its end, its attribute `completion` has the completion."
        )
    arguments.pop("stream", None)
    return arguments


def check_messages(messages: object, arguments: Request) -> Messages:
    """Return a conversation, also one under the provider's own name: OpenAI's ``input``, Google's ``contents``."""
    if messages is None and arguments.get("contents") is not None:
        return []
    if messages is None and "input" in arguments:
        messages = arguments.pop("input")
    if messages is None:
        raise _missing_messages(arguments)
    if isinstance(messages, str) and messages.strip():
        return [{"role": "user", "content": messages}]
    is_list = type(messages) is list  # as most are: abstract classes take long to say so
    if not is_list and (isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence)):
        raise refuse("messages", cast("object", messages), 'a list such as [{"role": "user", "content": "..."}]')
    if not messages:
        raise ArgumentError("messages is empty, so there is nothing to ask. Pass at least one message.")
    items = list(cast("Sequence[object]", messages))
    for message in items:
        if type(message) is not dict or "role" not in message:
            return [_read_message(message, index) for index, message in enumerate(items)]
    return cast("Messages", items)  # dicts with a role, as most are


def _missing_messages(arguments: Request) -> ArgumentError:
    """The error for a call without a conversation, which may stand under another name."""
    other = next((name for name in arguments if suggest_keyword(name) == "messages"), None)
    found = f"There is no keyword {other}=, and messages" if other else "messages"
    return ArgumentError(f'{found} is missing. Pass messages=[{{"role": "user", "content": "..."}}].')


def _read_message(message: object, index: int) -> Any:
    """Return a message as a dict. An SDK's own object becomes one, except Google's, which its wire sends as it is."""
    if isinstance(message, Mapping):
        members = cast("Mapping[str, object]", message)
        if "role" in message or "type" in message or "parts" in message:
            return members
        raise ArgumentError(f"messages[{index}] has no role, such as 'user'. Give it one. It has: {list(members)}.")
    from pydantic import BaseModel

    if not isinstance(message, BaseModel):
        raise refuse(f"messages[{index}]", message, 'a dict such as {"role": "user", "content": "..."}')
    if "parts" in type(message).model_fields:
        return message
    members = message.model_dump(exclude_none=True, by_alias=True)
    if "role" in members or "type" in members:
        return members
    raise refuse(f"messages[{index}]", message, 'a dict with a role, such as {"role": "user", "content": [...]}')

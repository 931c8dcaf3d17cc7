"""Checks of what users pass: each returns the value in the form used inside, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from instructor.cache.store import BaseCache
from instructor.engine.retry import make_retry_policy
from instructor.exceptions import ConfigurationError
from instructor.hooks import Hooks
from instructor.messages import Messages, copy_values

_LONGEST_TTL = 1e11
"""Seconds, three thousand years; beyond lie numbers that no store can add to a date."""
_NO_DEFAULTS = ("messages", "response_model", "cache", "stream")
"""Keywords that belong to one call."""


def check_cache(cache: Any) -> BaseCache | None:
    """A store, or None for none."""
    if cache is None or isinstance(cache, BaseCache):
        return cache
    raise ConfigurationError(
        f"cache is {_described(cache)}, which is no store. Pass AutoCache(), DiskCache() or RedisCache(), an instance "
        "of your own subclass of instructor.cache.BaseCache, or None."
    )


def check_seconds(cache_ttl: Any) -> float | None:
    """A time to live in seconds; None for ever."""
    if cache_ttl is None:
        return None
    if isinstance(cache_ttl, timedelta):
        cache_ttl = cache_ttl.total_seconds()
    if isinstance(cache_ttl, bool) or not isinstance(cache_ttl, (int, float)):
        raise ConfigurationError(f"cache_ttl is {_described(cache_ttl)}; give seconds as a number, or a timedelta.")
    if not 0 <= cache_ttl <= _LONGEST_TTL:
        raise ConfigurationError(
            f"cache_ttl is {cache_ttl!r:.40}; give 0 or more seconds: 0 stores nothing, None keeps the answer for ever."
        )
    return float(cache_ttl)


def check_namespace(cache_namespace: Any) -> str | None:
    """A namespace, or None for the one without a name."""
    if cache_namespace is None or (isinstance(cache_namespace, str) and cache_namespace):
        return cache_namespace
    raise ConfigurationError(f"cache_namespace is {cache_namespace!r}; give a text that is not empty, or leave it out.")


def check_hooks(hooks: Any) -> Hooks:
    """A set of hooks."""
    if isinstance(hooks, Hooks):
        return hooks
    raise ConfigurationError(f"hooks is {_described(hooks)}; pass an instructor.hooks.Hooks.")


def check_context(context: Any) -> Mapping[str, Any] | None:
    """A context; an empty one is none."""
    if context is None or isinstance(context, Mapping):
        return cast("Mapping[str, Any] | None", context or None)
    raise ConfigurationError(f"context is {_described(context)}; pass a dict of names and values.")


def check_strict(strict: Any) -> bool:
    """Whether validation is strict, as it is by default."""
    if strict is None or isinstance(strict, bool):
        return strict is not False
    raise ConfigurationError(f"strict is {_described(strict)}; pass True or False.")


def check_budget(token_budget: Any) -> int | None:
    """The most tokens that may be spent before another attempt."""
    if token_budget is None:
        return None
    if isinstance(token_budget, int) and not isinstance(token_budget, bool) and token_budget > 0:
        return token_budget
    raise ConfigurationError(f"token_budget is {token_budget!r}; give a positive number of tokens, or leave it out.")


def check_model(said: Any, known: str | None, provider: str) -> str:
    """A model's name: the call's, or the client's where the call names none."""
    model = known if said is None else said
    if isinstance(model, str) and model:
        return model
    raise ConfigurationError(
        f"model is {model!r}, so {provider} cannot be asked. Pass model= to this call or to the factory."
    )


def check_defaults(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords for every call, copied: what the user does to the originals afterwards is not said in any call."""
    for name in _NO_DEFAULTS:
        if defaults.get(name):
            raise ConfigurationError(f"{name}= belongs to a call of create(), not to the factory. Pass it there.")
    check_context(defaults.get("context"))
    check_strict(defaults.get("strict"))
    check_budget(defaults.get("token_budget"))
    if defaults.get("max_retries") is not None:
        make_retry_policy(defaults["max_retries"])
    return copy_values(defaults)


def check_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments for the provider."""
    if arguments.get("stream"):
        raise ConfigurationError("create() returns whole answers and takes no stream=True; leave stream out.")
    arguments.pop("stream", None)
    return arguments


def check_messages(messages: Any, arguments: dict[str, Any]) -> Messages:
    """A conversation. It may be given under the provider's own name: OpenAI's ``input``, Google's ``contents``."""
    if messages is None and arguments.get("contents") is not None:
        return []
    if messages is None and "input" in arguments:
        messages = arguments.pop("input")
        messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise ConfigurationError(
            f'messages is {_described(messages)}; pass a list such as [{{"role": "user", "content": "..."}}].'
        )
    if not messages:
        raise ConfigurationError("messages is empty; there is nothing to ask. Pass at least one message.")
    items = list(cast("Sequence[Any]", messages))
    return [_checked_message(message, index) for index, message in enumerate(items)]


def _checked_message(message: Any, index: int) -> Any:
    """A message as a dict. An SDK's own object becomes one, except Google's, which its wire sends as it is."""
    if isinstance(message, Mapping):
        members = cast("Mapping[str, Any]", message)
        if "role" in message or "type" in message or "parts" in message:
            return members
        raise ConfigurationError(
            f"messages[{index}] has no role; give it one, such as 'user'. It has: {list(members)}."
        )
    from pydantic import BaseModel

    if not isinstance(message, BaseModel):
        raise ConfigurationError(
            f'messages[{index}] is {_described(message)}; pass a dict such as {{"role": "user", "content": "..."}}.'
        )
    return message if "parts" in type(message).model_fields else message.model_dump(exclude_none=True, by_alias=True)


def _described(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"

"""What a caller may say about how a call is made, beside what the provider's SDK takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from instructor.records import record

if TYPE_CHECKING:
    from tenacity import BaseRetrying

    from instructor.budget import Budget
    from instructor.cache.store import BaseCache
    from instructor.cache_modes import ModeName
    from instructor.hooks import Hooks
    from instructor.limits.settings import Limits
    from instructor.media.policy import FetchPolicy
    from instructor.prompt_caching.setting import Lifetime, PromptCache
    from instructor.retries import Retries


class NotGiven:
    """Stands for a keyword that was left out, where None has a meaning of its own."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven()


Ttl = float | timedelta | Callable[..., float | timedelta | None] | None
"""How long an answer is served: seconds, or a span, or a function of the value that returns one; None for ever, 0 for
not at all."""


@record
class Options:
    """The keywords of one call that are ours; every other keyword is the SDK's. `call_keywords` documents them."""

    max_retries: int | Retries | BaseRetrying | None = None
    context: Mapping[str, Any] | None = None
    strict: bool | None = None
    hooks: Hooks | None = None
    cache: BaseCache | Sequence[BaseCache] | NotGiven | None = NOT_GIVEN
    cache_ttl: Ttl = None
    cache_namespace: str | None = None
    cache_tags: Iterable[str] | Callable[[Any], Iterable[str]] | None = None
    token_budget: int | None = None
    budget: Budget | None = None
    max_seconds: float | None = None
    on_invalid: Literal["raise", "skip", "collect"] | None = None
    autodetect_images: bool = False
    media_policy: FetchPolicy | None = None
    cache_pace: Literal["recorded"] | None = None
    cache_mode: ModeName | None = None
    cache_salt: str | None = None
    samples: int | None = None
    explain_misses: bool | None = None
    schema_match: Literal["exact", "compatible"] | None = None
    max_age: float | timedelta | None = None
    stale_while_revalidate: float | timedelta | None = None
    stale_if_error: float | timedelta | None = None
    refresh_early: float | bool | None = None
    validate_partial: bool | None = None
    limits: Limits | Literal["auto"] | None = None
    prompt_cache: Lifetime | PromptCache | None = None


OPTION_NAMES = frozenset(field.name for field in fields(Options))
NO_OPTIONS = Options()


def split_options(keywords: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Take our own keywords out of a call's. Returns them, and the arguments for the SDK in a dict of their own."""
    if keywords.keys().isdisjoint(OPTION_NAMES):
        return NO_OPTIONS, dict(keywords)
    own = {name: value for name, value in keywords.items() if name in OPTION_NAMES}
    return Options(**own), {name: value for name, value in keywords.items() if name not in OPTION_NAMES}


_KEYWORDS = OPTION_NAMES | {
    *("api_key", "async_client", "base_url", "max_tokens", "messages", "mode", "model", "response_model"),
    *("stream", "temperature", "timeout", "tool_choice", "tools", "top_p"),
}
"""The keywords that users most often mean: ours, and the commonest of the providers'."""
_OURS = OPTION_NAMES | {"messages", "response_model", "stream"}
_ALIKE = 0.88
"""How alike a name is that can only be a misspelling: Google's ``content`` is 0.86 like ``context``."""
_OTHER_NAMES = {
    "max_retry": "max_retries",
    "max_time": "max_seconds",
    "total_timeout": "max_seconds",
    "namespace": "cache_namespace",
    "prompt": "messages",
    "tags": "cache_tags",
    "retries": "max_retries",
    "ttl": "cache_ttl",
    "validation_context": "context",
}
"""Names from other libraries and older versions that don't resemble ours."""


def suggest_keyword(name: str) -> str | None:
    """Return the keyword that a misspelt one is likely meant to be; None where it is one, or resembles none.

    Example:
        >>> suggest_keyword("ttl"), suggest_keyword("respone_model"), suggest_keyword("temperature")
        ('cache_ttl', 'response_model', None)
    """
    if name in _KEYWORDS:
        return None
    return _OTHER_NAMES.get(name) or _find_close(name, _KEYWORDS, 0.8)


def advise_on_refusal(error: Exception) -> str:
    """Say what to write in place of an argument that the SDK didn't take."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    meant = suggest_keyword(found[1]) if found else None
    if "not JSON serializable" in str(error):
        return "Pass bytes and files as media, such as Image.from_bytes(data), and anything else as plain data."
    return f"Did you mean {meant}=?" if meant else "Check the arguments of the call and of the factory."


@lru_cache(maxsize=1024)
def find_misspelt(name: str) -> str | None:
    """Return the keyword of ours that a name can only be a misspelling of; None for any other name.

    Unlike `suggest_keyword` it's asked before the provider is, so a name that some SDK takes must not resemble ours.

    Example:
        >>> find_misspelt("cache_tll"), find_misspelt("content"), find_misspelt("cache_ttl")
        ('cache_ttl', None, None)
    """
    return None if name in _KEYWORDS else _find_close(name, _OURS, _ALIKE)


def _find_close(name: str, known: Collection[str], cutoff: float) -> str | None:
    import difflib  # which a call with known keywords doesn't need

    return next(iter(difflib.get_close_matches(name, known, 1, cutoff=cutoff)), None)

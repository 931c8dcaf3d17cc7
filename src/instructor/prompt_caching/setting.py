"""What a caller wants of the provider's own prompt cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from instructor.describing import refuse, refuse_word

Lifetime = Literal["auto", "5m", "1h", "off"]
"""``"auto"`` marks what has proved to come again, ``"5m"`` and ``"1h"`` what is likely to, for that long."""

_LIFETIMES = get_args(Lifetime)


@dataclass(frozen=True, slots=True)
class PromptCache:
    """How requests use the provider's own prompt cache, for ``prompt_cache=``.

    Args:
        lifetime: ``"auto"`` marks a prefix once it has proved to come again. ``"5m"`` and ``"1h"`` say that it will, so
            that it's marked at first sight; a provider with other lifetimes uses its own next longer one. ``"off"``
            leaves requests as they are.
        response_models: All response models that will be asked of the same document. They then share one prefix: every
            request offers the tools of all in this order, and the document stands before what differs. That changes the
            request, so a document that you don't trust deserves a thought: on Anthropic and Bedrock it is moved into the
            system prompt.
        foreseen: Whether another call with the same beginning will follow soon, as in a job of many rows.

    Raises:
        ArgumentError: A value that isn't one of these.

    Example:
        >>> from pydantic import BaseModel
        >>> class Parties(BaseModel):
        ...     names: list[str]
        >>> class Dates(BaseModel):
        ...     signed: str
        >>> sharing = PromptCache(response_models=[Parties, Dates])
        >>> sharing.is_foreseen
        True
    """

    lifetime: Lifetime = "auto"
    response_models: Sequence[Any] = ()
    foreseen: bool = False

    def __post_init__(self) -> None:
        if self.lifetime not in _LIFETIMES:
            raise refuse_word("prompt_cache", self.lifetime, _ADVICE)
        if isinstance(self.response_models, str) or not isinstance(cast("object", self.response_models), Sequence):
            raise refuse("response_models", self.response_models, "a list of response models")
        object.__setattr__(self, "response_models", tuple(self.response_models))

    @property
    def is_foreseen(self) -> bool:
        """Whether a second use is known of, so that the first is worth writing."""
        return self.foreseen or self.lifetime in ("5m", "1h") or len(self.response_models) > 1


_ADVICE = '"auto", "5m", "1h" or "off", or a PromptCache'


def check_prompt_cache(value: object) -> PromptCache | None:
    """Return a caller's wish; None where requests are left as they are."""
    if value is None or value == "off":
        return None
    if isinstance(value, str):
        return PromptCache(cast("Lifetime", value))
    if isinstance(value, PromptCache):
        return None if value.lifetime == "off" else value
    raise refuse_word("prompt_cache", value, _ADVICE)

"""`Limits`: what a caller says about the limits of a provider, where it doesn't leave them to be learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from instructor.describing import refuse, refuse_word

_DIMENSIONS = {
    "requests_per_minute": "requests",
    "tokens_per_minute": "tokens",
    "input_tokens_per_minute": "input",
    "output_tokens_per_minute": "output",
}


class Scripting(Protocol):
    """A store that runs scripts, as `RedisCache` does."""

    def evaluate(self, script: str, name: str, argument: str) -> str | bytes:
        """Run a script with one key and one argument."""
        ...

    async def evaluate_async(self, script: str, name: str, argument: str) -> str | bytes:
        """As `evaluate`, without blocking the event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked of a provider: pass it as ``limits=``, where ``"auto"`` isn't enough.

    A client with limits waits before a request rather than have it refused. It learns what is allowed from the headers
    of each answer, from refusals, and from how long answers take. What is passed here is a ceiling beside what is
    learned. It holds for each model, as the providers' own limits do, and for all clients of this process that use the
    same key.

    Args:
        requests_per_minute: The most requests in a minute.
        tokens_per_minute: The most tokens in a minute, read and written together.
        input_tokens_per_minute: The most tokens read.
        output_tokens_per_minute: The most tokens written.
        concurrency: The most requests under way at once.
        shared: A `RedisCache` through whose server processes and machines with the same key share the limit. Default:
            the client's cache, if that is one. False keeps the limit to this process.

    Raises:
        ConfigurationError: A number isn't above 0, or `shared` can't run scripts.

    Example:
        >>> limits = instructor.Limits(requests_per_minute=500, tokens_per_minute=200_000)
        >>> client = instructor.from_provider("openai/gpt-6-luna", limits=limits)
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    concurrency: int | None = None
    shared: Scripting | Literal[False] | None = None

    def __post_init__(self) -> None:
        for name in (*_DIMENSIONS, "concurrency"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 1):
                raise refuse(name, value, "a number of 1 or more")
        if self.shared is not None and self.shared is not False and not hasattr(self.shared, "evaluate"):
            raise refuse("shared", self.shared, "a RedisCache, or False")

    def ceilings(self) -> dict[str, float]:
        """The limits of each dimension that has one."""
        values = {dimension: getattr(self, name) for name, dimension in _DIMENSIONS.items()}
        return {dimension: float(value) for dimension, value in values.items() if value is not None}


LEARNED = Limits()
"""What ``"auto"`` stands for: all is learned."""


def check_limits(limits: object) -> Limits | None:
    """Return what to keep to; None for no limits."""
    if limits is None or isinstance(limits, Limits):
        return limits
    if limits == "auto":
        return LEARNED
    raise refuse_word("limits", limits, '"auto", Limits(requests_per_minute=...), or None for no limits')

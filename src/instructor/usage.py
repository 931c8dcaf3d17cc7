"""What an answer cost in tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from instructor.tables import as_table


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one answer cost, or the sum over several attempts.

    Attributes:
        input_tokens: Tokens read by the model, those from the provider's own prompt cache included.
        output_tokens: Tokens written by the model, reasoning included.
        cached_tokens: The part of ``input_tokens`` that the provider served from its own prompt cache.
        reasoning_tokens: The part of ``output_tokens`` spent on hidden reasoning, where the provider says so.
        cache_write_tokens: The part of ``input_tokens`` that the provider wrote to its own prompt cache, and may charge
            more for.
        cache_write_1h_tokens: The part of ``cache_write_tokens`` that it keeps for an hour, which costs more still. A
            stored answer doesn't say it.

    Example:
        >>> (Usage(10, 2) + Usage(5, 1)).total_tokens
        18
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def prompt_tokens(self) -> int:
        """`input_tokens` under OpenAI's name."""
        return self.input_tokens

    @property
    def completion_tokens(self) -> int:
        """`output_tokens` under OpenAI's name."""
        return self.output_tokens

    def __rich_repr__(self) -> Iterator[tuple[str, int]]:
        for name in (*self.__dataclass_fields__, "total_tokens"):
            yield name, getattr(self, name)

    def _repr_html_(self) -> str:
        return as_table(self.__rich_repr__())

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens - other.input_tokens,
            self.output_tokens - other.output_tokens,
            self.cached_tokens - other.cached_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
            self.cache_write_tokens - other.cache_write_tokens,
        )


make_usage = lru_cache(4096)(Usage)
"""Make a `Usage`, or return the one that was made before: it can't be changed, and to make one takes longer."""

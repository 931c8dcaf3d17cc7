"""One row of a job or a batch, answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from instructor.prices import batch_factor, find_rates, tier_of
from instructor.usage import Usage

T = TypeVar("T")

NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """One row of a job, answered: what `Instructor.map` and the results of `Instructor.batch` hand out.

    Attributes:
        index: Its place in the input, from 0.
        input: The row as it was read.
        value: The answer; None where there is an error. Its type says so for rows that may have one: those of a batch, and
            of a job with ``on_error="collect"``.
        error: Why there is no answer; None where there is one.
        cached: Whether no request was made for it: it came from a store, or from an equal row.
        shared: Whether it came from an equal row that was under way.
        batched: Whether it was asked for in a batch, at its price.
        usage: The tokens of the requests that the answer took, or that have failed. A cached row has saved them.
        provider: The vendor that was asked.
        model: The model that was asked.
        key: The call's key in the cache; None for a call that isn't cached.
        attempts: How many requests these were.
        seconds: How long they took; 0.0 for a row without an answer, or from a batch.
        live: The tokens among `usage` of a batched row that were asked live, at the full price, because the answer in the
            batch was invalid.

    Example:
        >>> client = instructor.from_provider("offline/demo")
        >>> [(row.index, row.value.name) for row in client.map(["Anna is 25.", "Ben is 31."], User)]
        [(0, 'Anna'), (1, 'Ben')]
    """

    index: int
    input: Any
    value: T
    error: Exception | None = None
    cached: bool = False
    shared: bool = False
    batched: bool = False
    usage: Usage = NO_USAGE
    provider: str = ""
    model: str = ""
    key: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    live: Usage = NO_USAGE

    @property
    def cost(self) -> float | None:
        """The US dollars that this row cost: 0.0 for a cached one; None where the price, or what was used, isn't known.

        A row without an answer has cost what its requests took.
        """
        if self.cached:
            return 0.0
        is_unknown = self.error is not None and not self.usage.total_tokens
        rates = None if is_unknown else find_rates(self.provider, self.model, tier_of(self.usage))
        if rates is None:
            return None
        factor = batch_factor(self.provider) if self.batched else 1.0
        return rates.price(self.usage) * factor + rates.price(self.live) * (1 - factor)

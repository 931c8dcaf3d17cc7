"""One row of a job, answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from instructor.usage import Usage

T = TypeVar("T")

NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Row(Generic[T]):
    """One row of a job, answered: what `Instructor.map` hands out.

    Attributes:
        index: Its place in the input, from 0.
        input: The row as it was read.
        value: The answer; None where there is an error.
        error: Why there is no answer; None where there is one.
        cached: Whether no request was made for it: it came from a store, or from an equal row.
        shared: Whether it came from an equal row that was under way.
        batched: Whether it was asked for in a batch, at its price.
        usage: The tokens of the requests that the answer took. A cached row has saved them.
        cost: The US dollars that this row cost: 0.0 for a cached one; None where the price isn't known.
        key: The call's key in the cache; None for a call that isn't cached.

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
    cost: float | None = 0.0
    key: str | None = None

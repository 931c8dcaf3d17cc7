"""The counters of a store or a client, as one reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from instructor.tables import as_table


@dataclass(frozen=True, slots=True, repr=False)
class CacheStats:
    """Counters of one store (``cache.stats()``) or of one client (``client.cache_stats()``) since it was made.

    Attributes:
        hits: Answers served from the store.
        misses: Look-ups that found nothing usable.
        writes: Answers stored.
        errors: Operations of the store that failed or took too long, and entries that could not be used.
        bypasses: Calls that could not be cached. Only a client counts these, and all that follow but the next two.
        coalesced: Calls that shared another call's request.
        entries: Entries held now; None if the store can't say. Only a store counts these.
        bytes: Their size in bytes; None if the store can't say. Only a store counts these.
        tokens_saved: Tokens that hits did not have to pay again.
        seconds_saved: Seconds that the live calls behind the hits took.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> answers = [client.create(User, messages) for _ in range(4)]
        >>> client.cache_stats().hits, client.cache_stats().hit_rate
        (3, 0.75)
    """

    hits: int = 0
    misses: int = 0
    writes: int = 0
    errors: int = 0
    bypasses: int = 0
    coalesced: int = 0
    entries: int | None = None
    bytes: int | None = None
    tokens_saved: int = 0
    seconds_saved: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Hits as a share of all look-ups, 0.0 to 1.0; 0.0 before the first."""
        looked = self.hits + self.misses
        return self.hits / looked if looked else 0.0

    def __repr__(self) -> str:
        return f"CacheStats({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, float]]:
        """What `repr`, the library ``rich`` and notebooks show."""
        members = ((field.name, getattr(self, field.name)) for field in fields(self))
        yield from ((name, value) for name, value in members if value is not None)
        yield "hit_rate", round(self.hit_rate, 3)

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        return as_table(self.__rich_repr__())

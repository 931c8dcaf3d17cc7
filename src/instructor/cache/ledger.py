"""What was spent and what was saved, in dollars, tokens and seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal, get_args

from instructor.cache.books import FOR_AN_HOUR, Amounts, Kind, Line
from instructor.describing import refuse_choice
from instructor.prices import FREE, Rates, batch_factor, find_rates, show_money
from instructor.tables import as_table
from instructor.usage import Usage

Heading = Literal["day", "model", "answered_by", "response_model", "namespace", "tag"]
"""By what a ledger can be taken apart."""

_HEADINGS: dict[str, Callable[[Line], Iterable[str]]] = {
    "day": lambda line: (line.day,),
    "model": lambda line: (f"{line.origin.provider}/{line.origin.model}",),
    "answered_by": lambda line: (line.origin.answered_by,),
    "response_model": lambda line: (line.origin.response_model,),
    "namespace": lambda line: (line.origin.namespace,),
    "tag": lambda line: line.tags,
}

_SPENT: frozenset[Kind] = frozenset({"kept", "batched", "lost", "lost in batch", "failed"})
_SAVED: frozenset[Kind] = frozenset({"hit", "shared"})
_LOST: frozenset[Kind] = frozenset({"lost", "lost in batch", "failed"})
_IN_BATCHES: frozenset[Kind] = frozenset({"batched", "lost in batch"})


@dataclass(frozen=True, slots=True)
class Total:
    """A sum in dollars, tokens and seconds.

    Attributes:
        count: Requests, or answers that took none; 0 for what is a part of requests only.
        usd: US dollars for all whose price is known; None if something was counted and the price of all of it is unknown.
        unpriced: How many of `count` have no known price. They aren't in `usd`.
        tokens: Tokens, read and written.
        seconds: Seconds that the requests took.
    """

    count: int = 0
    usd: float | None = 0.0
    unpriced: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        money = "price unknown" if self.usd is None else show_money(self.usd)
        parts = [money] + ([f"{self.count:,}x"] if self.count else [])
        parts += [f"{self.unpriced:,} without a known price"] if self.unpriced and self.usd is not None else []
        return ", ".join([*parts, f"{self.tokens:,} tokens", f"{self.seconds:,.1f} s"])


@dataclass(frozen=True, repr=False)
class Ledger:
    """What was spent and what was saved. Returned by ``client.ledger()`` and ``cache.ledger()``.

    Dollars are worked out from the counts when they are read, by the prices of each line's day in the installed
    ``genai-prices``.

    Attributes:
        lines: The counts that everything is made of.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> answers = [client.create(User, messages) for _ in range(4)]
        >>> ledger = client.ledger()
        >>> ledger.spent.count, ledger.saved.count, ledger.spent.usd
        (1, 3, 0.0)
        >>> list(ledger.by("response_model"))
        ['User']
    """

    lines: Mapping[Line, Amounts] = field(default_factory=dict[Line, Amounts])

    @cached_property
    def spent(self) -> Total:
        """All requests, those that were lost included."""
        return self._total(_SPENT)

    @cached_property
    def lost(self) -> Total:
        """The part of `spent` that bought nothing: requests that failed, and those whose answer was thrown away."""
        return self._total(_LOST)

    @cached_property
    def saved(self) -> Total:
        """What hits would have cost, and calls that shared the request of an identical one, which save no time."""
        return self._total(_SAVED)

    @cached_property
    def prompt_cache_saved(self) -> Total:
        """What the provider's own prompt cache saved: the tokens read from it cost less than others."""
        return self._part("cached_tokens", lambda rates: rates.input - rates.cached)

    @cached_property
    def prompt_cache_paid(self) -> Total:
        """What writing to the provider's own prompt cache cost beyond the plain price of the tokens."""
        return self._part("cache_write_tokens", lambda rates: rates.written - rates.input)

    def by(self, heading: Heading) -> dict[str, Ledger]:
        """Take the ledger apart, in the order of the names.

        Args:
            heading: ``"day"`` (UTC), ``"model"`` (as ``vendor/name``), ``"answered_by"`` (the model in the provider's own
                words), ``"response_model"``, ``"namespace"``, or ``"tag"``: what has several tags counts for each.

        Raises:
            ArgumentError: There is no such heading.
        """
        if heading not in _HEADINGS:
            raise refuse_choice("heading", heading, get_args(Heading))
        parts: dict[str, dict[Line, Amounts]] = {}
        for line, amounts in self.lines.items():
            for name in _HEADINGS[heading](line):
                parts.setdefault(name, {})[line] = amounts
        return {name: Ledger(parts[name]) for name in sorted(parts)}

    def __repr__(self) -> str:
        return "\n".join(f"{name.replace('_', ' ') + ':':20}{total}" for name, total in self.__rich_repr__())

    def __rich_repr__(self) -> Iterator[tuple[str, Total]]:
        """What `repr`, the library ``rich`` and notebooks show."""
        for name in ("spent", "lost", "saved", "prompt_cache_saved", "prompt_cache_paid"):
            yield name, getattr(self, name)

    def _repr_html_(self) -> str:
        """Tables, for notebooks: the totals, and what was spent and saved with each model."""
        totals = as_table(((name.replace("_", " "), total) for name, total in self.__rich_repr__()), "Ledger")
        models = ((name, f"spent {part.spent}; saved {part.saved}") for name, part in self.by("model").items())
        return totals + as_table(models, "by model")

    def _total(self, kinds: frozenset[Kind]) -> Total:
        lines = [(line, amounts) for line, amounts in self.lines.items() if line.kind in kinds]
        prices = [_price(line, amounts) for line, amounts in lines]
        return Total(
            sum(amounts.number for _, amounts in lines),
            _add_known(prices),
            sum(amounts.number for price, (_, amounts) in zip(prices, lines, strict=True) if price is None),
            sum(amounts.input_tokens + amounts.output_tokens for _, amounts in lines),
            sum(amounts.microseconds for _, amounts in lines) / 1e6,
        )

    def _part(self, name: str, extra: Callable[[Rates], float]) -> Total:
        prices: list[float | None] = []
        tokens = 0
        for line, amounts in self.lines.items():
            count: int = getattr(amounts, name)
            if line.kind in _SPENT and count:
                rates = _rates(line)
                prices.append(None if rates is None else _factor(line) * count * extra(rates))
                tokens += count
        return Total(0, _add_known(prices), 0, tokens)


def _rates(line: Line) -> Rates | None:
    """The prices of a line's model as it was asked, or else as the provider names it."""
    origin = line.origin
    is_for_hour = line.tier >= FOR_AN_HOUR
    find = partial(find_rates, tier=line.tier - FOR_AN_HOUR if is_for_hour else line.tier, day=line.day)
    rates = find(origin.provider, origin.model) or (
        find(origin.provider, origin.answered_by) if origin.answered_by else None
    )
    return rates._replace(written=rates.written_1h) if rates is not None and is_for_hour else rates


def _factor(line: Line) -> float:
    return batch_factor(line.origin.provider) if line.kind in _IN_BATCHES else 1.0


def _price(line: Line, amounts: Amounts) -> float | None:
    """Price a line. A request that brought no answer costs nothing; an answer without a count of tokens has no price."""
    if line.kind == "failed":
        return 0.0
    if not amounts.input_tokens + amounts.output_tokens and line.origin.provider not in FREE:
        return None
    rates = _rates(line)
    _, read, written, cached, cache_written, _ = amounts
    return None if rates is None else _factor(line) * rates.price(Usage(read, written, cached, 0, cache_written))


def _add_known(prices: list[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return None if prices and not known else sum(known, 0.0)

"""The prices that a run shows."""

from __future__ import annotations

from dataclasses import dataclass

from instructor.exceptions import ConfigurationError
from instructor.prices import batch_factor, find_rates, tier_of
from instructor.usage import Usage


@dataclass(frozen=True, slots=True)
class Prices:
    """The price of one model, ``vendor/name``. A `label` says that it isn't the model asked: "as gpt-6-luna"."""

    model: str
    label: str = ""

    def price(self, usage: Usage) -> float | None:
        """Price the tokens of a request in US dollars; None where the list lacks the model."""
        vendor, _, name = self.model.partition("/")
        rates = find_rates(vendor, name, tier_of(usage))  # remembered: the list itself takes 70 us for a price
        return None if rates is None else rates.price(usage)

    @property
    def batch_factor(self) -> float:
        """What a row of a batch costs, as a part of that."""
        return batch_factor(self.model.partition("/")[0])


def find_prices(model: str, price_as: str | None) -> Prices:
    """Choose the model whose prices are shown: `price_as`, or else the model asked."""
    if price_as is None:
        return Prices(model.strip())
    prices = Prices(price_as.strip(), f"as {price_as.strip().partition('/')[2]}")
    if "/" not in price_as or prices.price(Usage(1, 1)) is None:
        raise ConfigurationError(
            f'The price list knows no model {price_as!r}. Write --price-as "vendor/model", such as "openai/gpt-6-luna".'
        )
    return prices

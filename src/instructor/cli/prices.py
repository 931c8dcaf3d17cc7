"""What tokens cost, by the price list in the installed ``genai-prices`` package. Nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from instructor.exceptions import ConfigurationError
from instructor.usage import Usage

LISTED_AS = {
    "azure_openai": "azure",
    "fireworks_ai": "fireworks",
    "genai": "google",
    "gemini": "google",
    "github": "github-copilot",
    "together_ai": "together",
    "vertexai": "google",
    "xai": "x-ai",
}
"""Our vendors that have another name in the price list."""
_FREE = frozenset({"offline"})


@dataclass(frozen=True, slots=True)
class Prices:
    """The price of one model, ``vendor/name``. A `label` says that it isn't the model asked: "as gpt-6-luna"."""

    model: str
    label: str = ""

    def price(self, usage: Usage) -> Decimal | None:
        """Price some tokens in US dollars; None where the list lacks the model."""
        vendor, _, name = self.model.partition("/")
        if vendor in _FREE:
            return Decimal(0)
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price

        priced = PricedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
        )
        try:
            return calc_price(priced, name, provider_id=LISTED_AS.get(vendor, vendor)).total_price
        except (LookupError, ValueError):  # a model that the list lacks, or a usage that it can't price
            return None


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


def show_money(amount: Decimal) -> str:
    """Write dollars with as many digits as a small sum needs: ``$12.34``, ``$0.0561``."""
    if not amount:
        return "$0"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"

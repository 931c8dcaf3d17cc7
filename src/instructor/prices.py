"""What tokens cost, by the price list in the installed ``genai-prices`` package. Nothing is downloaded."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from instructor.usage import Usage

LISTED_AS = {
    "anthropic_bedrock": "aws",
    "azure_ai": "azure",
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

FREE = frozenset({"offline", "function"})
"""What costs no money: the offline provider, and functions of the user's."""

TIERS = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
"""Input tokens above which some models of the list cost more (genai-prices 0.2.3). Within a tier a price is proportional."""


BATCH_FACTORS = {"anthropic": 0.5, "google": 0.5, "openai": 0.5}
"""What a row of a vendor's batch costs, as a part of the price of a live request (their pages on batches, 2026-11)."""


def batch_factor(vendor: str) -> float:
    """What a row of a batch costs, as a part of the price of a live request."""
    return BATCH_FACTORS.get(vendor, 1.0)


def tier_of(usage: Usage) -> int:
    """How many of `TIERS` a request has exceeded; -1 where no tokens were reported."""
    return bisect_left(TIERS, usage.input_tokens) if usage.total_tokens else -1


def price_of(vendor: str, name: str, usage: Usage, day: str | None = None) -> Decimal | None:
    """Price some tokens in US dollars, by the prices of a day in UTC or of now; None where the list lacks the model."""
    if vendor in FREE:
        return Decimal(0)
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    # Its earlier versions don't know of writes for an hour.
    hours = {_HOURS: usage.cache_write_1h_tokens} if hasattr(PricedUsage(), _HOURS) else {}
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        **hours,
    )
    when = None if day is None else datetime.fromisoformat(day).replace(tzinfo=UTC)
    try:
        listed = LISTED_AS.get(vendor, vendor)
        return calc_price(priced, name, provider_id=listed, genai_request_timestamp=when).total_price
    except (LookupError, ValueError):  # a model that the list lacks, or a usage that it can't price
        return None


_HOURS = "cache_write_1h_tokens"
_SMALL = 0.0001


class Rates(NamedTuple):
    """What a token costs in US dollars.

    Attributes:
        cached: One that was read from the provider's own prompt cache.
        written: One that was written to it.
        written_1h: One that was written to it for an hour.
    """

    input: float
    output: float
    cached: float
    written: float
    written_1h: float

    def price(self, usage: Usage) -> float:
        """Price the tokens of a request, or of many of one tier."""
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        return (
            plain * self.input
            + usage.output_tokens * self.output
            + usage.cached_tokens * self.cached
            + (usage.cache_write_tokens - usage.cache_write_1h_tokens) * self.written
            + usage.cache_write_1h_tokens * self.written_1h
        )


@lru_cache(maxsize=4096)
def find_rates(vendor: str, name: str, tier: int = 0, day: str | None = None) -> Rates | None:
    """The prices of a model for requests of a tier (see `TIERS`); None where the list lacks the model."""
    least = TIERS[tier - 1] + 1 if tier else 0
    most = TIERS[tier] if tier < len(TIERS) else 2 * TIERS[-1]
    read = max((least + most) // 2, 1)
    kinds = (Usage(read), Usage(read, read), Usage(read, 0, read))
    usages = (*kinds, Usage(read, 0, 0, 0, read), Usage(read, 0, 0, 0, read, read))
    prices = [price_of(vendor, name, usage, day) for usage in usages]
    known = [float(price / read) for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    plain, both, *others = known
    return Rates(plain, both - plain, *others)


def show_money(amount: Decimal | float) -> str:
    """Write dollars with as many digits as a small sum needs: ``$12.34``, ``$0.0561``, ``$0.000012``."""
    if not amount:
        return "$0"
    size = abs(float(amount))
    if size >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if size >= _SMALL else f"${amount:.6f}"

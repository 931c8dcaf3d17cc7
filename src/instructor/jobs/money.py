"""What the answer of a row costs."""

from __future__ import annotations

from instructor.usage import Usage

_FREE = frozenset({"offline", "function"})


def price_of(vendor: str, model: str, usage: Usage) -> float | None:
    """Price the tokens of a row in US dollars; None where the installed ``genai-prices`` lacks the model."""
    if vendor in _FREE:
        return 0.0
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    tokens = PricedUsage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cached_tokens
    )
    try:
        return float(calc_price(tokens, model, provider_id=vendor).total_price)
    except (LookupError, ValueError):
        return None

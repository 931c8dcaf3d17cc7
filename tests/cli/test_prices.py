"""Money is told by the installed price list, and never guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from instructor.cli.prices import Prices, find_prices
from instructor.exceptions import ConfigurationError
from instructor.prices import show_money
from instructor.usage import Usage

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


@pytest.mark.parametrize(
    ("model", "other"),
    [
        ("azure_openai/gpt-4o", "azure/gpt-4o"),
        ("xai/grok-3", "x-ai/grok-3"),
        ("genai/gemini-2.5-flash", "google/gemini-2.5-flash"),
    ],
)
def test_our_vendors_are_found_under_the_names_of_the_list(model: str, other: str):
    assert Prices(model).price(MILLION) == Prices(other).price(MILLION) > 0


def test_tokens_from_the_providers_own_cache_are_cheaper():
    prices = Prices("openai/gpt-4.1-mini")
    cached = Usage(input_tokens=1000, output_tokens=10, cached_tokens=900)
    assert 0 < prices.price(cached) < prices.price(Usage(1000, 10))


@pytest.mark.parametrize("model", ["openai/no-such-model", "ollama/llama3", "nobody/gpt-4.1-mini"])
def test_a_model_that_the_list_does_not_know_has_no_price(model: str):
    assert Prices(model).price(MILLION) is None


def test_offline_answers_are_free_unless_priced_as_another_model():
    assert find_prices("offline/demo", None).price(MILLION) == 0
    borrowed = find_prices("offline/demo", "openai/gpt-4.1-mini")
    assert borrowed.price(MILLION) == Prices("openai/gpt-4.1-mini").price(MILLION)
    assert borrowed.label == "as gpt-4.1-mini"


@pytest.mark.parametrize("name", ["gpt-4.1-mini", "openai/no-such-model", ""])
def test_prices_cannot_be_borrowed_from_an_unknown_model(name: str):
    with pytest.raises(ConfigurationError, match="knows no model"):
        find_prices("offline/demo", name)


@pytest.mark.parametrize(("amount", "text"), [("0", "$0"), ("0.00314", "$0.0031"), ("1234.5", "$1,234.50")])
def test_small_sums_keep_their_digits(amount: str, text: str):
    assert show_money(Decimal(amount)) == text

"""What vendors' headers say of limits, and what is nonsense in them."""

from __future__ import annotations

import pytest

from instructor.limits.account import Limit
from instructor.limits.headers import RULES, read_limits, read_pause, read_seconds, rules_of

DATE = {"date": "Sat, 21 Nov 2026 12:00:00 GMT"}

ANSWERS = {
    "openai": (
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-remaining-tokens": "120000",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-reset-tokens": "15s",
        },
        [Limit("requests", 5000, 60, 4999, 1), Limit("tokens", 160_000, 60, 120_000, 2)],
    ),
    "azure_openai": (
        {"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "900"},
        [Limit("tokens", 1000, 60, 900, 2)],
    ),
    "anthropic": (
        {
            **DATE,
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:01Z",
            "anthropic-ratelimit-input-tokens-limit": "30000",
            "anthropic-ratelimit-input-tokens-remaining": "15000",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-21T12:00:30Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-11-21T12:00:00Z",
            "anthropic-ratelimit-tokens-limit": "38000",
            "anthropic-ratelimit-tokens-remaining": "23000",
        },
        [
            Limit("requests", 50, 60, 49, 1),
            Limit("input", 30_000, 60, 15_000, 3),
            Limit("output", 8000, 60, 8000, 4),
        ],
    ),
    "groq": (
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-limit-tokens": "18000",
            "x-ratelimit-remaining-tokens": "17997",
            "x-ratelimit-reset-tokens": "7.66ms",
        },
        [Limit("requests", 14_400, 86_400, 14_370, 1), Limit("tokens", 18_000, 60, 17_997, 2)],
    ),
    "cerebras": (
        {"x-ratelimit-limit-tokens-minute": "60000", "x-ratelimit-remaining-tokens-minute": "59000"},
        [Limit("tokens", 60_000, 60, 59_000, 2)],
    ),
    "fireworks": (
        {"x-ratelimit-limit-tokens-prompt": "900000", "x-ratelimit-limit-tokens-generated": "36000"},
        [Limit("input", 900_000, 60, None, 3), Limit("output", 36_000, 60, None, 4)],
    ),
    "mistral": (
        {
            "x-ratelimit-limit-req-minute": "720",
            "x-ratelimit-remaining-req-minute": "717",
            "x-ratelimit-limit-tokens-minute": "5000000",
            "x-ratelimit-remaining-tokens-minute": "4999911",
            "x-ratelimit-tokens-query-cost": "52",
        },
        [Limit("requests", 720, 60, 717, 1), Limit("tokens", 5_000_000, 60, 4_999_911, 2)],
    ),
    "google": ({"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "4"}, []),
}


@pytest.mark.parametrize("provider", ANSWERS)
def test_each_vendors_headers_are_read(provider: str) -> None:
    headers, limits = ANSWERS[provider]
    departed = {"requests": 1.0, "tokens": 2.0, "input": 3.0, "output": 4.0}
    assert list(read_limits(rules_of(provider), headers, departed)) == limits


def test_every_vendor_of_the_table_exists_and_others_are_read_as_openai() -> None:
    from instructor.providers.table import VENDORS

    assert {name for name in RULES if name not in {vendor.name for vendor in VENDORS}} <= {"bedrock"}
    assert rules_of("together") is RULES["openai"]


def test_a_limit_of_a_day_is_seen_by_how_slowly_it_comes_back() -> None:
    headers = {
        "x-ratelimit-limit-requests": "200",
        "x-ratelimit-remaining-requests": "199",
        "x-ratelimit-reset-requests": "7m12s",
    }
    (limit,) = read_limits(rules_of("openai"), headers, {})
    assert limit.period == 86_400


def test_a_window_is_seen_by_a_reset_that_fits_no_steady_refill() -> None:
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "7s",
    }
    (limit,) = read_limits(rules_of("openai"), headers, {})
    assert (limit.period, limit.reset) == (60, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": "nan"},
        {"limit": "inf"},
        {"limit": "-5"},
        {"limit": "0", "remaining": "0"},
        {"limit": "many"},
        {"limit": ""},
        {"limit": "1" * 5000},
        {"remaining": "-1"},
        {"remaining": "101"},
    ],
    ids=str,
)
def test_nonsense_is_not_a_limit(changes: dict[str, str]) -> None:
    said = {"limit": "100", "remaining": "99", "reset": "1s"} | changes
    headers = {f"x-ratelimit-{name}-requests": value for name, value in said.items()}
    assert list(read_limits(rules_of("openai"), headers, {})) == []


@pytest.mark.parametrize(
    "reset", ["soon", "-3s", "1e400", "nan", "9" * 400, "1h1h1.1.1s", "2026-13-45", "\x00"], ids=repr
)
def test_a_reset_that_is_nonsense_takes_nothing_from_the_rest(reset: str) -> None:
    headers = {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "40",
        "x-ratelimit-reset-requests": reset,
    }
    assert list(read_limits(rules_of("openai"), headers, {})) == [Limit("requests", 100, 60, 40)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("1h2m3s", 3723),
        ("17.5", 17.5),
        ("850ms", 0.85),
        ("2d", 172_800),
        ("2026-11-21T12:01:00Z", 60),
        ("2026-11-21T14:01:00+02:00", 60),
        ("2026-11-21T11:00:00Z", 0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("1795262430", 30),
        ("", None),
    ],
)
def test_spans_and_moments_are_read_by_the_servers_clock(text: str, seconds: float | None) -> None:
    assert read_seconds(text, DATE) == (None if seconds is None else pytest.approx(seconds, rel=1e-6))


def test_a_moment_says_nothing_without_the_date_of_its_response() -> None:
    assert read_seconds("2026-11-21T12:01:00Z", {}) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 12:00:09 GMT", **DATE}, 9),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "whenever"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_how_long_a_refusal_asks_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert read_pause(headers) == seconds

"""What the vendors' response headers say of limits: a table of their names, and how to read them.

Nothing that a header says is believed before it makes sense: a limit is a number of 1 or more, and no more is left
than the limit. Dates are compared with the `Date` of the same response, so no clock of ours matters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from instructor.limits.account import LONGEST_PAUSE, Limit

Headers = Mapping[str, str]
"""The headers of a response, their names in lower case."""

_MINUTE, _DAY = 60.0, 86_400.0
_PERIODS = (1.0, _MINUTE, 3600.0, _DAY)
_ALIKE = 1.25
"""By which factor a period that follows from a reset may differ from one that is meant: both numbers are rounded."""


class Names(NamedTuple):
    """The headers of one limit.

    Attributes:
        dimension: What is limited.
        limit: The header that says how much is allowed.
        remaining: The one that says how much is left.
        reset: The one that says when all is allowed again; empty if there is none.
        period: The seconds that the limit is for, where it doesn't follow from the reset.
    """

    dimension: str
    limit: str
    remaining: str
    reset: str = ""
    period: float = _MINUTE


class Rules(NamedTuple):
    """What one vendor limits.

    Attributes:
        names: Its headers.
        counts_cached: Whether tokens from its own prompt cache count.
    """

    names: tuple[Names, ...] = ()
    counts_cached: bool = True


def _ratelimit(dimension: str, unit: str, period: float = _MINUTE) -> Names:
    limit, remaining, reset = (f"x-ratelimit-{part}-{unit}" for part in _PARTS)
    return Names(dimension, limit, remaining, reset, period)


def _anthropic(dimension: str, unit: str) -> Names:
    limit, remaining, reset = (f"anthropic-ratelimit-{unit}-{part}" for part in _PARTS)
    return Names(dimension, limit, remaining, reset)


_PARTS = ("limit", "remaining", "reset")
_OPENAI = Rules((_ratelimit("requests", "requests"), _ratelimit("tokens", "tokens")))

RULES: Final[Mapping[str, Rules]] = {
    # https://developers.openai.com/api/docs/guides/rate-limits (2026-06): resets are durations such as "6m0s".
    "openai": _OPENAI,
    # https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota (2026): the same names, often without a reset.
    "azure_openai": _OPENAI,
    # https://docs.anthropic.com/en/api/rate-limits (2026): resets in RFC 3339; what is read from the cache isn't counted.
    "anthropic": Rules(
        (
            _anthropic("requests", "requests"),
            _anthropic("input", "input-tokens"),
            _anthropic("output", "output-tokens"),
        ),
        counts_cached=False,
    ),
    # https://console.groq.com/docs/rate-limits (2026): requests are those of a day; cached tokens aren't counted.
    "groq": Rules((_ratelimit("requests", "requests", _DAY), _ratelimit("tokens", "tokens")), counts_cached=False),
    # https://inference-docs.cerebras.ai/support/rate-limits (2026): requests of a day, tokens of a minute; resets in seconds.
    "cerebras": Rules((_ratelimit("requests", "requests-day", _DAY), _ratelimit("tokens", "tokens-minute"))),
    # https://docs.fireworks.ai/serverless/rate-limits (2026): what is read and what is written, for a minute each.
    "fireworks": Rules((_ratelimit("input", "tokens-prompt"), _ratelimit("output", "tokens-generated"))),
    # https://github.com/mistralai/client-ts/issues/169 (2026-09): requests and tokens of a minute, without a reset.
    "mistral": Rules((_ratelimit("requests", "req-minute"), _ratelimit("tokens", "tokens-minute"))),
    # https://ai.google.dev/gemini-api/docs/rate-limits (2026): no headers, as of AWS.
    "google": Rules(),
    "vertexai": Rules(),
    "bedrock": Rules(),
}
"""A row for each vendor whose headers are known, with its source. Others are read as OpenAI's, whose API they copy."""


def rules_of(provider: str) -> Rules:
    """The row of a vendor."""
    return RULES.get(provider, _OPENAI)


def read_limits(rules: Rules, headers: Headers, departed: Mapping[str, float]) -> Iterator[Limit]:
    """Read what a response's headers say of each limit, as far as it makes sense.

    `departed` is what had departed in each dimension when its request left.
    """
    for names in rules.names:
        limit, remaining = _read_number(headers.get(names.limit)), _read_number(headers.get(names.remaining))
        if limit is None or limit < 1 or (remaining is not None and not 0 <= remaining <= limit):
            continue
        reset = read_seconds(headers.get(names.reset), headers)
        period, is_steady = _find_period(names.period, limit, remaining, reset)
        yield Limit(
            names.dimension, limit, period, remaining, departed.get(names.dimension), None if is_steady else reset
        )


def read_pause(headers: Headers) -> float | None:
    """Read how many seconds the provider wants no request; None if it doesn't say."""
    milliseconds = _read_number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds >= 0:
        return milliseconds / 1000
    text = headers.get("retry-after")
    return None if text is None else read_seconds(text, headers)


def read_seconds(text: str | None, headers: Headers) -> float | None:
    """Read a span: seconds, a duration such as ``6m0s`` or ``12ms``, or a date in RFC 3339 or as in HTTP.

    Example:
        >>> read_seconds("1h6m0.5s", {}), read_seconds("12ms", {}), read_seconds("soon", {})
        (3960.5, 0.012, None)
    """
    if not text:
        return None
    number = _read_number(text)
    if number is not None and number < _EPOCHS:
        return number if number >= 0 else None
    parts: list[str] = re.findall(r"[\d.]+(?:ms|us|[dhms])", text) if len(text) < _LONGEST_TEXT else []
    if parts and "".join(parts) == text:
        values = [(_read_number(part.rstrip("dhmsu")), part.lstrip("0123456789.")) for part in parts]
        return None if any(value is None for value, _ in values) else sum((v or 0.0) * _UNITS[u] for v, u in values)
    then, now = number or _read_moment(text), _read_moment(headers.get("date", ""))
    return None if then is None or now is None or then > now + _EPOCHS else max(0.0, then - now)


_EPOCHS = 1e9
"""A number of seconds from here on counts from 1970: it's a moment."""
_UNITS = {"d": _DAY, "h": 3600.0, "m": _MINUTE, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_LONGEST_TEXT = 64


def _find_period(period: float, limit: float, remaining: float | None, reset: float | None) -> tuple[float, bool]:
    """Find the seconds that a limit is for, and whether it refills steadily.

    Where it does, as at OpenAI, Anthropic and Groq, the reset says how long it takes until it is full, and so how fast
    it refills. A reset that fits no period is the end of a window.
    """
    if remaining is None or reset is None or (reset > LONGEST_PAUSE * 2 and period <= _MINUTE and remaining == limit):
        return period, True
    used = limit - remaining
    if used < 1 or reset <= 0:
        return period, True
    seconds = reset * limit / used
    for known in (period, *_PERIODS):
        if max(seconds, known) / min(seconds, known) <= _ALIKE:
            return known, True
    # Rounded resets, such as a whole second, say little while little is used.
    is_window = used / limit > _TELLS and reset <= period
    return period, not is_window


_TELLS = 0.5
"""How much of a limit is used before a reset that doesn't fit tells that there are windows."""


def _read_number(text: str | None) -> float | None:
    if text is None:  # most vendors send none of these headers
        return None
    try:
        number = float(text)
    except (ValueError, TypeError):  # an SDK may hand out something else than texts
        return None
    return number if math.isfinite(number) else None


def _read_moment(text: str) -> float | None:
    """Read a date, as seconds since 1970."""
    from email.utils import parsedate_to_datetime

    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError, OverflowError):
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None

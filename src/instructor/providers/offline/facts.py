"""Facts that patterns can find in a text: amounts, numbers, dates, addresses, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from instructor.providers.offline.names import find_names
from instructor.providers.offline.text import list_words


@dataclass(frozen=True, slots=True)
class Fact:
    """Something found in a text.

    Attributes:
        kind: What it is, such as ``"money"``; see `FINDERS`.
        value: What it means: a `Decimal`, a `date`, a string; None where only its words are known ("yesterday").
        text: How it stands in the text.
        start: Where it begins, in characters.
    """

    kind: str
    value: Any
    text: str
    start: int


_MONTHS = list_words("january february march april may june july august september october november december")
_MONTH = "(?P<month>" + "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + r"|sept)\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?:,?\s+(?P<year>\d{4})\b)?"
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_SPAN = r"(?:second|minute|hour|day|week|month|year)"
_SMALL: dict[str, int] = dict(
    zip(list_words("two three four five six seven eight nine ten eleven twelve"), range(2, 13), strict=True)
)
_NUMBER = (
    r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d{2}|\d+(?:\.\d+)?)(?:\s?(?:k|thousand|million|billion)\b)?"
)
_CURRENCY_WORD = (
    r"(?:dollars?|pounds?|euros?|cents?|pence|quid|bucks|yen|rupees|francs|USD|GBP|EUR|JPY|CHF|AUD|CAD|INR)\b"
)
_CURRENCY_CODE = r"\b(?:USD|GBP|EUR|JPY|CHF|AUD|CAD|INR)\s?"
_SIGN = "[$\u00a3\u20ac\u00a5\u20b9]"
_SCALES = {"k": 10**3, "thousand": 10**3, "million": 10**6, "billion": 10**9}

CURRENCIES = {
    "$": "USD", "dollar": "USD", "buck": "USD", "\u00a3": "GBP", "pound": "GBP", "quid": "GBP", "pence": "GBP",
    "\u20ac": "EUR", "euro": "EUR", "\u00a5": "JPY", "yen": "JPY", "\u20b9": "INR", "rupee": "INR",
}  # fmt: skip
"""Signs and words that tell a currency, and its ISO 4217 code."""


def _read_number(found: re.Match[str]) -> Decimal | None:
    match = re.search(_NUMBER, found[0], re.IGNORECASE)
    if match is None:
        return Decimal(_SMALL[found[0].lower()])
    digits = match[0].lower()
    scale = next((factor for word, factor in _SCALES.items() if digits.endswith(word)), 1)
    digits = re.sub(r"[^\d.,]", "", digits)
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{2}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    value = Decimal(digits.replace(",", "")) * scale
    return -value if found[0].startswith(("-", "\u2212")) else value


def _read_date(found: re.Match[str]) -> date | None:
    """A full date; None where the year is missing, because no clock is asked."""
    parts = found.groupdict()
    if not parts.get("year"):
        return None
    year, day = int(parts["year"]), int(parts["day"])
    month = int(parts["month"]) if parts["month"].isdigit() else _read_month(parts["month"])
    if month > len(_MONTHS) and day <= len(_MONTHS):
        month, day = day, month
    try:
        return date(year + 2000 if len(parts["year"]) == len("24") else year, month, day)
    except ValueError:
        return None


def _read_month(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _read_time(found: re.Match[str]) -> str | None:
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    half = (found["half"] or "").lower()
    hour = hour % 12 + (12 if half.startswith("p") else 0) if half else hour
    return f"{hour:02d}:{minute:02d}:00" if hour < 24 and minute < 60 else None  # noqa: PLR2004 - a clock


def _read_duration(found: re.Match[str]) -> str:
    """An ISO 8601 duration."""
    amount = _SMALL.get(found["amount"].lower()) or int(found["amount"])
    unit = found["unit"].lower()
    return f"P{'T' if unit in ('second', 'minute', 'hour') else ''}{amount}{unit[0].upper()}"


def _read_text(found: re.Match[str]) -> str:
    return found[0].strip().rstrip(".,;:!?")


def _find(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_SMALL_WORDS = "|".join(_SMALL)

FINDERS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], Any]], ...] = (
    ("url", _find(r"\bhttps?://[^\s<>\"')\]]+|\bwww\.[\w-]+\.[^\s<>\"')\]]+"), _read_text),
    ("email", _find(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b"), _read_text),
    ("uuid", _find(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), _read_text),
    ("ipv4", _find(r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"), _read_text),
    ("date", _find(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)"), _read_date),
    ("date", _find(r"\b(?P<day>\d{1,2})[/.-](?P<month>\d{1,2})[/.-](?P<year>\d{4}|\d{2})\b"), _read_date),
    ("date", _find(rf"\b{_DAY}(?:\s+of)?\s+{_MONTH}{_YEAR}"), _read_date),
    ("date", _find(rf"\b{_MONTH}\s+{_DAY}\b{_YEAR}"), _read_date),
    ("date", _find(rf"\b(?:yesterday|today|tomorrow|tonight|(?:last|next|this)\s+(?:night|{_SPAN}|{_WEEKDAY})"
                   rf"|(?:\d+|an?|few|{_SMALL_WORDS})\s+{_SPAN}s?\s+ago|{_WEEKDAY})\b"), lambda _: None),
    ("time", _find(r"\b(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))(?::\d{2})?\s?(?P<half>[ap]\.?m\b)?"), _read_time),
    ("time", _find(r"\b(?P<hour>\d{1,2})(?P<minute>)\s?(?P<half>[ap]\.?m)\b"), _read_time),
    ("phone", _find(r"(?<![\w.])\+?\(?\d{2,4}\)?(?:[\s-]\(?\d{2,5}\)?){2,4}(?!\w)|(?<![\w.])\+\d{8,14}\b"), _read_text),
    ("percent", _find(rf"(?<![\w.])[-\u2212]?{_NUMBER}\s?(?:%|per\s?cent\b)"), _read_number),
    ("money", _find(rf"[-\u2212]?{_SIGN}\s?{_NUMBER}|{_CURRENCY_CODE}{_NUMBER}"
                    rf"|(?<![\w.])(?:{_NUMBER}\s?(?:{_SIGN}|{_CURRENCY_WORD}))"), _read_number),
    ("identifier", re.compile(r"#\s?\w[\w-]*|\b(?=[A-Z-]*\d)[A-Z]{1,6}-?\d[\w-]*\b|\b\d{7,}\b"), _read_text),
    ("number", _find(rf"(?<![\w.,])[-\u2212]?{_NUMBER}(?![\w])|\b(?:{_SMALL_WORDS})\b"), _read_number),
)  # fmt: skip
"""What is looked for, in this order; what one finder has taken, a later one does not see."""

_DURATION = _find(rf"\b(?P<amount>\d{{1,6}}|{_SMALL_WORDS})[\s-](?P<unit>{_SPAN})s?\b")


@lru_cache(maxsize=512)
def find_facts(text: str) -> tuple[Fact, ...]:
    """All facts in a text, each kind in order."""
    hidden = text
    facts: list[Fact] = []
    for kind, pattern, read in FINDERS:
        for found in list(pattern.finditer(hidden)):
            value = read(found)
            if value is None and kind == "time":
                continue
            facts.append(Fact(kind, value, _read_text(found), found.start()))
            hidden = hidden[: found.start()] + "\x00" * len(found[0]) + hidden[found.end() :]
    # Those below share their digits and words with others: the 25 of "25 years" is an age as well.
    facts.extend(Fact("duration", _read_duration(found), found[0], found.start()) for found in _DURATION.finditer(text))
    facts.extend(_find_names(text))
    return tuple(sorted(facts, key=lambda fact: fact.start))


def _find_names(text: str) -> Iterator[Fact]:
    for kind, name, start in find_names(text):
        yield Fact(kind, name, name, start)

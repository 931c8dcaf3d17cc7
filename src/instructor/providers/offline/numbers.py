"""Numbers for a schema: found in the text where one fits, else the plainest that the limits allow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from instructor.providers.offline.field import FOUND, LIKELY, Field, Source

_KINDS = {
    "money": ("money", "number"),
    "percent": ("percent", "number", "money"),
    "identifier": ("number", "identifier"),
    "date": ("date", "number"),
}
_ANY_KIND = ("number", "money", "percent")


def fill_number(schema: Mapping[str, Any], wanted: Field, source: Source) -> tuple[int | float, float]:
    """Choose a number.

    Returns:
        The number, and the evidence for it.
    """
    role = wanted.role
    kinds = _KINDS.get(role, _ANY_KIND)
    for fact in source.rank(kinds, wanted):
        for value in _read(fact.value, role):
            if fits_number(value, schema):
                source.take(fact)
                return plain_number(value, schema), FOUND if fact.kind in kinds[:1] or role else LIKELY
    return fallback_number(schema), 0.0


def find_numbers(schema: Mapping[str, Any], wanted: Field, text: str) -> list[int | float]:
    """All numbers of the kind that the field asks for, in the order of the text."""
    kinds = _KINDS.get(wanted.role, ("number", "money"))
    kinds = kinds[:1] if wanted.role in ("money", "percent") else kinds
    facts = sorted(Source(text).rank(kinds, wanted), key=lambda fact: fact.start)
    values = (value for fact in facts for value in _read(fact.value, wanted.role)[:1])
    return [plain_number(value, schema) for value in values if fits_number(value, schema)]


def _read(value: Any, role: str) -> list[Decimal]:
    if isinstance(value, Decimal):
        return [value, value / 100] if role == "percent" else [value]
    year = getattr(value, "year", None)
    return [] if year is None else [Decimal(year)]


def fits_number(value: Decimal | Fraction | float, schema: Mapping[str, Any]) -> bool:
    """Whether a number keeps the schema's limits."""
    exact = Fraction(value)
    if schema.get("type") == "integer" and exact.denominator != 1:
        return False
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    over, under = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf")
    return least <= exact <= most and over < exact < under and (not step or exact % Fraction(str(step)) == 0)


def plain_number(value: Decimal | Fraction | float, schema: Mapping[str, Any]) -> int | float:
    """The number as JSON has it."""
    exact = Fraction(value)
    return int(exact) if schema.get("type") == "integer" or exact.denominator == 1 else float(exact)


def fallback_number(schema: Mapping[str, Any], above: float | None = None) -> int | float:
    """The plainest number within the limits: 0 where it fits, else one at or near a limit.

    Args:
        schema: The limits.
        above: Look for another number, larger than this one.
    """
    limits: dict[str, Any] = dict(schema)
    if above is not None:
        limits["exclusiveMinimum"] = max(above, schema.get("exclusiveMinimum", -math.inf))
    for value in _candidates(limits):
        if math.isfinite(value) and fits_number(value, limits):
            return plain_number(value, schema)
    return 0


def _candidates(limits: Mapping[str, Any]) -> Iterator[float | Fraction]:
    yield 0
    low = max(limits.get("minimum", -math.inf), limits.get("exclusiveMinimum", -math.inf))
    high = min(limits.get("maximum", math.inf), limits.get("exclusiveMaximum", math.inf))
    step = Fraction(str(limits.get("multipleOf") or 1))
    if math.isfinite(low):
        first = math.ceil(Fraction(low) / step) * step
        yield from (first, first + step)
    if math.isfinite(high):
        last = math.floor(Fraction(high) / step) * step
        yield from (last, last - step)
    yield from (low, high)
    if math.isfinite(low) and math.isfinite(high):
        yield (Fraction(low) + Fraction(high)) / 2
    yield from (math.nextafter(low, math.inf), math.nextafter(high, -math.inf))

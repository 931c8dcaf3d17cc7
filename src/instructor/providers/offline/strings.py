"""Strings for a schema: found in the text where the field's name or format says what to look for."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

from instructor.providers.offline.facts import CURRENCIES, Fact
from instructor.providers.offline.field import FOUND, GENERIC, Field, Source, find_stated
from instructor.providers.offline.pattern import sample_pattern
from instructor.providers.offline.text import (
    STOP_WORDS,
    list_words,
    shorten,
    split_clauses,
    split_lines,
    split_sentences,
)

_TITLE_LENGTH = 60
_SUMMARY_LENGTH = 100
_KEYWORDS = 5
_FACT_ROLES = frozenset(
    list_words("email url phone uuid date time duration money percent organisation place identifier person")
)


def _iso_date(fact: Fact) -> str | None:
    return fact.value.isoformat() if isinstance(fact.value, date) else None


def _iso_moment(fact: Fact) -> str | None:
    day = _iso_date(fact)
    return day and f"{day}T00:00:00Z"


def _value(fact: Fact) -> str | None:
    return str(fact.value)


_FORMATS: dict[str, tuple[str, Callable[[Fact], str | None], str]] = {
    "date": ("date", _iso_date, "1970-01-01"),
    "date-time": ("date", _iso_moment, "1970-01-01T00:00:00Z"),
    "time": ("time", lambda fact: f"{fact.value}Z", "00:00:00Z"),
    "duration": ("duration", _value, "PT0S"),
    "email": ("email", _value, "nobody@example.com"),
    "idn-email": ("email", _value, "nobody@example.com"),
    "name-email": ("email", _value, "nobody@example.com"),
    "uri": ("url", lambda fact: fact.text if "://" in fact.text else f"https://{fact.text}", "https://example.com/"),
    "multi-host-uri": ("", _value, "redis://example.com:6379/0"),
    "hostname": ("", _value, "example.com"),
    "ipv4": ("ipv4", _value, "127.0.0.1"),
    "ipv6": ("", _value, "::1"),
    "ipv4network": ("", _value, "127.0.0.0/8"),
    "ipv6network": ("", _value, "::1/128"),
    "ipv4interface": ("", _value, "127.0.0.1/8"),
    "ipv6interface": ("", _value, "::1/128"),
    "ipvanyaddress": ("ipv4", _value, "127.0.0.1"),
    "ipvanynetwork": ("", _value, "127.0.0.0/8"),
    "ipvanyinterface": ("", _value, "127.0.0.1/8"),
    "json-string": ("", _value, "null"),
    "binary": ("", _value, ""),
    "base64": ("", _value, ""),
    "base64url": ("", _value, ""),
    "color": ("", _value, "black"),
    "path": ("", _value, "."),
    "file-path": ("", _value, "."),
    "directory-path": ("", _value, "."),
}
"""For each format: the kind of fact to look for, how it is written, and what to write where there is none.

The formats are those of JSON Schema 2020-12 (RFC 3339, RFC 3986, ...) and those that pydantic adds.
"""


def fill_string(schema: Mapping[str, Any], wanted: Field, source: Source) -> tuple[str, float]:
    """Choose a string.

    Returns:
        The string, and the evidence for it.
    """
    if str(schema.get("format", "")).startswith("uuid"):
        return _fill_uuid(schema, wanted, source)
    if schema.get("format") in _FORMATS:
        return _fill_format(schema, wanted, source)
    for value, evidence in _candidates(schema, wanted, source):
        fitting = fit_string(value, schema)
        if fitting is not None:
            return fitting, evidence
    return force_string(source.text, schema), 0.0


def find_strings(schema: Mapping[str, Any], wanted: Field, text: str) -> list[str]:
    """All strings of the kind that the field asks for, in the order of the text."""
    source = Source(text)
    if str(schema.get("format", "")).startswith("uuid"):
        return [fact.text for fact in source.rank(("uuid",), wanted) if _is_version(fact.text, schema)]
    if schema.get("format") in _FORMATS:
        kind, write, _ = _FORMATS[schema["format"]]
        facts = sorted(source.rank((kind,), wanted), key=lambda fact: fact.start)
        written = (write(fact) for fact in facts)
        return [value for value in written if value is not None and fit_string(value, schema) == value]
    if wanted.role in _FACT_ROLES:
        facts = sorted(source.rank((wanted.role,), wanted), key=lambda fact: fact.start)
        found = [fact.text for fact in facts]
    else:
        found = find_keywords(text) if wanted.role == "keywords" else _find_items(text)
    return [fitting for value in found if (fitting := fit_string(value, schema)) is not None]


def find_keywords(text: str) -> list[str]:
    """The words that say most: the frequent ones, then the long ones."""
    words = [word for word in re.findall(r"[^\W\d_]{4,}", text.lower()) if word not in STOP_WORDS]
    counted = Counter(words)
    chosen = sorted(counted, key=lambda word: (-counted[word], -len(word), words.index(word)))[:_KEYWORDS]
    return sorted(chosen, key=words.index)


def _find_items(text: str) -> list[str]:
    """The members of a list: lines, or what stands behind a colon, or sentences."""
    lines = split_lines(text)
    if len(lines) > 1:
        return lines
    head, colon, tail = text.partition(": ")
    return split_clauses(tail) if colon and len(head) < len(text) / 2 else split_sentences(text)


def _fill_format(schema: Mapping[str, Any], wanted: Field, source: Source) -> tuple[str, float]:
    kind, write, otherwise = _FORMATS[schema["format"]]
    for fact in source.rank((kind,), wanted) if kind else ():
        value = write(fact)
        if value is not None and fit_string(value, schema) == value:
            source.take(fact)
            return value, FOUND
    fits = fit_string(otherwise, schema) == otherwise
    return (otherwise if fits else force_string(otherwise, schema)), 0.0


def _fill_uuid(schema: Mapping[str, Any], wanted: Field, source: Source) -> tuple[str, float]:
    for fact in source.rank(("uuid",), wanted):
        if _is_version(fact.text, schema):
            return fact.text, FOUND
    version = schema["format"].removeprefix("uuid")
    digest = hashlib.sha256(f"{wanted.name}\n{source.text}".encode()).digest()[:16]
    variant = (digest[8] & 0x3F) | 0x80
    number = ((digest[6] & 0x0F) | (int(version or 4) << 4)).to_bytes()
    return str(uuid.UUID(bytes=digest[:6] + number + digest[7:8] + variant.to_bytes() + digest[9:])), 0.0


def _is_version(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether a UUID is of the version that a format such as ``uuid4`` asks for."""
    version = schema["format"].removeprefix("uuid")
    return not version or uuid.UUID(text).version == int(version)


def _candidates(schema: Mapping[str, Any], wanted: Field, source: Source) -> Iterator[tuple[str, float]]:
    role = wanted.role
    for fact in source.rank((role,), wanted) if role in _FACT_ROLES else ():
        source.take(fact)
        yield _name_part(fact.text, wanted.name) if role == "person" else fact.text, FOUND
    stated = find_stated(wanted.name, source.text)
    if stated:
        yield stated, FOUND
    if "pattern" in schema:
        found = re.search(schema["pattern"].strip("^$"), source.text) if _is_readable(schema["pattern"]) else None
        if found:
            yield found[0], FOUND
    yield from _by_role(role, schema, source.text)


def _by_role(role: str, schema: Mapping[str, Any], text: str) -> Iterator[tuple[str, float]]:
    longest = schema.get("maxLength", _SUMMARY_LENGTH)
    first = next(iter(split_sentences(text)), "")
    if role == "currency":
        codes = (code for sign, code in CURRENCIES.items() if sign in text.lower())
        yield from ((code, FOUND) for code in (*re.findall(r"\b(?:USD|GBP|EUR|JPY|CHF|AUD|CAD|INR)\b", text), *codes))
    if role == "title":
        yield shorten(first.rstrip(".!?"), min(_TITLE_LENGTH, longest)), FOUND if first else 0.0
    if role == "whole":
        yield text if len(text) <= schema.get("maxLength", len(text)) else shorten(text, longest), FOUND
    if role == "keywords":
        yield from ((word, FOUND) for word in find_keywords(text))
    if role == "summary":
        yield shorten(first, min(_SUMMARY_LENGTH, longest)), FOUND if first else 0.0
    if not role or role == "currency" or role in _FACT_ROLES:
        yield shorten(first, min(_SUMMARY_LENGTH, longest)), GENERIC if first and not role else 0.0


def _name_part(name: str, field_name: str) -> str:
    lowered = field_name.lower()
    if "first" in lowered or "given" in lowered:
        return name.partition(" ")[0]
    return name.rpartition(" ")[2] if "last" in lowered or "surname" in lowered or "family" in lowered else name


def fit_string(value: str, schema: Mapping[str, Any]) -> str | None:
    """The string, cut to the longest length; None where it is too short or does not match the pattern."""
    longest = schema.get("maxLength")
    if longest is not None and len(value) > longest:
        value = shorten(value, longest)
    if len(value) < schema.get("minLength", 0):
        return None
    pattern = schema.get("pattern")
    return value if pattern is None or _matches(pattern, value) else None


def force_string(value: str, schema: Mapping[str, Any]) -> str:
    """A string of the right length and, where that can be done, of the right pattern."""
    least = schema.get("minLength", 0)
    if "pattern" in schema:
        samples = (sample_pattern(schema["pattern"], repeats) for repeats in range(least + 3))
        return next((text for text in samples if fit_string(text, schema) == text), "")
    line = " ".join(value.split())
    padded = line + "." * (least - len(line))
    return fit_string(padded, schema) or "." * least


def _matches(pattern: str, value: str) -> bool:
    return _is_readable(pattern) and re.search(pattern, value) is not None


def _is_readable(pattern: str) -> bool:
    """Whether Python knows the expression; JSON Schema's are ECMA-262, which differs in corners."""
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True

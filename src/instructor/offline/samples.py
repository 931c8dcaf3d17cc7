"""Valid values of a schema, made without any text: the plainest one, then the next, and so on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from instructor.offline.patterns import matches, sample_pattern
from instructor.offline.schemas import Heights, Schema, list_choices, list_options, list_required, merge, type_of

_TRIES = 1_000
"""How many samples are made, beyond those needed, to find one that differs from the others."""
_FORMATS = {
    name: template
    for names, template in (
        ("date", "{year}-01-01"),
        ("date-time", "{year}-01-01T00:00:00Z"),
        ("time", "00:{high:02d}:{low:02d}Z"),
        ("duration", "PT{n}S"),
        ("email idn-email name-email", "nobody{n}@example.com"),
        ("hostname", "example{n}.com"),
        ("uri", "https://example.com/{n}"),
        ("multi-host-uri", "redis://example.com:6379/{n}"),
        ("ipv4 ipvanyaddress", "127.0.{high}.{low}"),
        ("ipv4network ipvanynetwork", "10.{high}.{low}.0/24"),
        ("ipv4interface ipvanyinterface", "10.0.{high}.{low}/8"),
        ("ipv6", "::{n:x}"),
        ("ipv6network ipv6interface", "::{n:x}/128"),
        *((f"uuid{version}", f"00000000-0000-{version or 4}000-8000-{{n:012x}}") for version in ("", *range(1, 9))),
        ("base64 base64url regex json-string", "1{n:03d}"),
    )
    for name in names.split()
}
"""How the n-th value of each format is written, of those of JSON Schema and those that pydantic adds."""


class Sampler:
    """Makes the n-th valid value of any schema below a root; another n makes another value where the schema allows it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._heights = Heights(root)

    def sample(self, schema: Any, n: int = 0) -> Any:
        """Make a value; 0 asks for the smallest, which ends every schema that contains itself."""
        plain, _ = merge(schema, self._root)
        if options := list_options(plain):
            return options[n % len(options)]
        if choices := sorted(list_choices(plain), key=self._heights.of):
            return self.sample(choices[n % len(choices)], n // len(choices))
        make = _TYPES.get(type_of(plain))
        return make(self, plain, n) if make else n

    def extend(self, values: list[Any], plain: Schema, least: int, start: int = 0) -> None:
        """Append samples to an array until there are `least` items, all different if they must be."""
        for n in range(start, start + least + _TRIES):
            if len(values) >= least:
                return
            value = self.sample(plain.get("items", {}), n)
            if not plain.get("uniqueItems") or value not in values:
                values.append(value)

    def add_members(self, members: dict[str, Any], plain: Schema) -> None:
        """Add the members that ``required`` and ``minProperties`` ask for and ``properties`` doesn't describe."""
        pattern, free = [*plain.get("patternProperties", {}).items(), ("", plain.get("additionalProperties", {}))][0]
        members |= {name: self.sample(free) for name in plain.get("required", ()) if name not in members}
        names, _ = merge(plain.get("propertyNames", {"type": "string"}), self._root)
        names |= {"pattern": pattern} if pattern else {}
        least = plain.get("minProperties", 0)
        for n in range(1, least + _TRIES):
            if len(members) >= least:
                return
            members.setdefault(str(self.sample(names, n)), self.sample(free))

    def make_object(self, plain: Schema, n: int) -> dict[str, Any]:
        """Make an object of what it needs, or of one member where `n` asks for another object than the empty one."""
        properties: dict[str, Any] = plain.get("properties", {})
        needed = frozenset[str]().union(*list_required(plain))
        if n and not needed:  # an optional member may contain this very schema: halving ends it
            needed, n = frozenset([*properties][:1]), n // 2
        members = {name: self.sample(schema, n) for name, schema in properties.items() if name in needed}
        self.add_members(members, plain)
        return members

    def make_array(self, plain: Schema, n: int) -> list[Any]:
        """Make a shortest array, with at least one item where `n` asks for another array than the empty one."""
        values = [self.sample(schema, n) for schema in plain.get("prefixItems", ())]
        least = min(max(plain.get("minItems", 0), min(n, 1)), plain.get("maxItems", math.inf))
        self.extend(values, plain, int(least), start=n // 2)  # halving: as above
        return values

    def make_string(self, plain: Schema, n: int) -> str:
        """Make a string of the format or the pattern, and of the length."""
        least = plain.get("minLength", 0)
        if plain.get("contentMediaType") == "application/json":
            texts = [json.dumps(self.sample(plain.get("contentSchema", {}), n))]
        elif "pattern" in plain:
            texts = [sample_pattern(plain["pattern"], repeats) for repeats in range(n, n + least + 3)]
        elif template := _FORMATS.get(plain.get("format", "")):
            texts = [template.format(n=n, year=1970 + n % 8000, high=n // 60 % 60, low=n % 60)]
        else:
            texts = [str(n).rjust(least, "0")] if n else []
        return next((text for text in texts if fits_string(text, plain)), "." * least)


def fits_string(text: str, plain: Schema) -> bool:
    """Whether a string has an allowed length and matches the pattern."""
    is_long_enough = plain.get("minLength", 0) <= len(text) <= plain.get("maxLength", math.inf)
    return is_long_enough and ("pattern" not in plain or matches(plain["pattern"], text))


def fits_number(value: Fraction, plain: Schema) -> bool:
    """Whether a number is of the schema's type and within its limits."""
    least, most = plain.get("minimum", -math.inf), plain.get("maximum", math.inf)
    over, under = plain.get("exclusiveMinimum", -math.inf), plain.get("exclusiveMaximum", math.inf)
    step = Fraction(str(plain.get("multipleOf", 0)))
    is_whole = plain.get("type") != "integer" or value.denominator == 1
    return is_whole and least <= value <= most and over < value < under and (not step or value % step == 0)


def write_number(value: Fraction, plain: Schema) -> int | float:
    """The number as JSON has it."""
    is_exact = abs(value) < 1 << 53  # beyond, a float loses digits
    return int(value) if plain.get("type") == "integer" or (value.denominator == 1 and is_exact) else float(value)


def make_number(_: Sampler, plain: Schema, n: int) -> int | float:
    """Make the n-th number: of the multiples of the step the one nearest to 0, then upward, then downward.

    Where the limits leave no room for a step it lies between the limits, or next to one.
    """
    low = max(plain.get("minimum", -math.inf), plain.get("exclusiveMinimum", -math.inf))
    high = min(plain.get("maximum", math.inf), plain.get("exclusiveMaximum", math.inf))
    step = Fraction(str(plain.get("multipleOf", 1)))
    lowest = math.ceil(Fraction(low) / step) if math.isfinite(low) else -math.inf
    highest = math.floor(Fraction(high) / step) if math.isfinite(high) else math.inf
    nearest = min(max(0, lowest), highest)  # one off where the limit is exclusive
    indices = (nearest + n, nearest + n + 1, nearest - n, nearest - n - 1, nearest, nearest + 1)
    numbers = [index * step for index in indices if math.isfinite(index)]
    if math.isfinite(low) and math.isfinite(high):
        numbers.append(Fraction(low) + (Fraction(high) - Fraction(low)) / 2 ** (n + 1))
    near = (math.nextafter(low, math.inf), math.nextafter(high, -math.inf))
    numbers += [Fraction(end) for end in (low, high, *near) if math.isfinite(end)]
    written = (write_number(Fraction(number), plain) for number in numbers)
    return next((number for number in written if fits_number(Fraction(number), plain)), 0)


_TYPES: dict[str, Callable[[Sampler, Schema, int], Any]] = {
    "object": Sampler.make_object,
    "array": Sampler.make_array,
    "string": Sampler.make_string,
    "integer": make_number,
    "number": make_number,
    "boolean": lambda _, _plain, n: bool(n % 2),
    "null": lambda _sampler, _plain, _n: None,
}

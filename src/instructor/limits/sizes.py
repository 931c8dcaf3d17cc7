"""How many tokens a request will cost: guessed from its text and its output limit, and learned from what others cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from instructor.limits.account import DIMENSIONS, Limit
from instructor.usage import Usage

_LETTERS_PER_TOKEN: Final = 4.0
_LETTERS_OF_MEDIUM: Final = 4000
"""What an image or another medium counts for; it is learned too, as a part of the ratio."""
_LONG: Final = 2000
_USUAL_OUTPUT: Final = 1000
"""Tokens that an answer is thought to have, before one has come and where the request doesn't limit them."""
_OUTPUT_LIMITS: Final = frozenset(
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens"}
)
_CONVERSATION: Final = frozenset({"messages", "input", "contents"})
"""Members that are new in each request."""
_MOST_KNOWN: Final = 64
_INNER: Final = ("config", "inferenceConfig")
"""Members in which some vendors take the output limit."""
_WEIGHT: Final = 0.1
"""How much the latest answer counts for what is expected of the next."""


_BETWEEN: Final = 1.0
"""Seconds between two comparisons at least."""
_LEAST_FACTOR, _MOST_FACTOR = 0.25, 20.0
_FULL: Final = 0.95


class Size(NamedTuple):
    """What is known of a request before it is sent.

    Attributes:
        letters: The length of its text.
        output_limit: How many tokens its answer may have; None if it doesn't say.
    """

    letters: int
    output_limit: int | None = None


class Ruler:
    """Measures requests, of any wire. What many have in common, such as tools, is measured once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, int]] = {}

    def measure(self, request: Mapping[str, object]) -> Size:
        """Measure a request."""
        limit, letters = _find_limit(request), 0
        for name, value in request.items():
            if type(value) is str and len(value) <= _LONG:
                letters += len(value)
            elif name in _CONVERSATION:
                letters += _count_letters(value)
            else:
                letters += self._count_common(value)
                if limit is None and name in _INNER and isinstance(value, Mapping):
                    limit = _find_limit(cast("Mapping[str, object]", value))
            letters += len(name)
        return Size(letters, limit)

    def _count_common(self, value: object) -> int:
        if isinstance(value, list):
            return sum(map(self._count_common, cast("list[object]", value)))
        return self._count_once(cast("object", value)) if isinstance(value, dict) else _count_letters(value)

    def _count_once(self, value: object) -> int:
        held, count = self._known.get(id(value), (None, 0))
        if held is not value:
            count = _count_letters(value)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[id(value)] = value, count  # held, so that no other object has its id
        return count


def _find_limit(holder: Mapping[str, object]) -> int | None:
    """The output limit among some members."""
    if _OUTPUT_LIMITS.isdisjoint(holder):
        return None
    limits = [holder[name] for name in _OUTPUT_LIMITS if name in holder]
    return next((value for value in limits if isinstance(value, int) and value > 0), None)


def _count_letters(value: object) -> int:
    kind = type(value)  # the usual kinds first: to ask whether something is a mapping takes longer
    if kind is list:
        return sum(map(_count_letters, cast("list[object]", value)))
    if kind is not dict and isinstance(value, str):
        is_data = len(value) > _LONG and " " not in value[:_LONG]
        return _LETTERS_OF_MEDIUM if is_data else len(value)
    if kind is dict or isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return sum([len(name) + _count_letters(inner) for name, inner in members.items() if isinstance(name, str)])
    if isinstance(value, (bytes, bytearray)):
        return _LETTERS_OF_MEDIUM
    return sum(map(_count_letters, cast("Sequence[object]", value))) if isinstance(value, Sequence) else 1


class Expected:
    """What the next request is expected to cost, by what others cost. One for each model."""

    def __init__(self) -> None:
        self._ratio: float | None = None
        self._output: float | None = None
        self._spread = 0.0

    def tokens(self, size: Size) -> tuple[float, float]:
        """The tokens that a request will likely read, and write: what the usual answer has, and what answers vary by."""
        read = size.letters / _LETTERS_PER_TOKEN * (1.0 if self._ratio is None else self._ratio)
        usual = size.output_limit or _USUAL_OUTPUT if self._output is None else self._output + self._spread
        return read, float(min(usual, size.output_limit or usual))

    def learn(self, size: Size, usage: Usage) -> None:
        """Compare with what a request cost."""
        if not usage.input_tokens:
            return
        ratio = usage.input_tokens / max(1.0, size.letters / _LETTERS_PER_TOKEN)
        written = float(usage.output_tokens)
        if self._ratio is None or self._output is None:
            self._ratio, self._output = ratio, written
            return
        self._spread += _WEIGHT * (abs(written - self._output) - self._spread)
        self._ratio += _WEIGHT * (ratio - self._ratio)
        self._output += _WEIGHT * (written - self._output)


class Charge:
    """How much of one limit the provider takes for what was reserved, by what it says is left from answer to answer.

    Some providers take the output limit of a request and not its answer; and what other programs with the same key
    take is missing as well. So each of several programs learns to leave the others their part.

    Attributes:
        factor: What the provider takes for each that was reserved.
    """

    def __init__(self, least: float) -> None:
        self.factor = 1.0
        self._least = least
        self._seen = 0
        self._departed = self._left = self._at = -math.inf

    def learn(self, limit: Limit, now: float) -> None:
        """Compare what the provider took since the last comparison with what was sent."""
        if limit.remaining is None or limit.departed is None:
            return
        sent, seconds = limit.departed - self._departed, now - self._at
        if seconds < _BETWEEN or sent <= 0:
            return
        returned = 0.0 if limit.reset is not None else limit.limit / limit.period * seconds
        taken = self._left - limit.remaining + returned
        is_full = limit.remaining > _FULL * limit.limit  # what came back beyond that isn't seen
        if math.isfinite(taken) and taken > 0 and not is_full:
            ratio = min(max(taken / sent, self._least), _MOST_FACTOR)
            self._seen += 1
            self.factor += max(_WEIGHT, 1 / self._seen) * (ratio - self.factor)
        self._departed, self._left, self._at = limit.departed, limit.remaining, now

    def scale(self, limit: Limit) -> Limit:
        """Write a limit in units of what is reserved."""
        remaining = None if limit.remaining is None else limit.remaining / self.factor
        return limit._replace(limit=limit.limit / self.factor, remaining=remaining)


def make_charges() -> dict[str, Charge]:
    """One for each limit. A request counts for one at least; a token may count less than was reserved for it."""
    return {name: Charge(1.0 if name == "requests" else _LEAST_FACTOR) for name in DIMENSIONS}

"""Answers that quote their source, checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationInfo, model_validator

MOST_ERRORS = 5
"""Characters by which a quote may differ from the text and still be found."""


class CitationMixin(BaseModel):
    """A response model that names the passages its answer rests on. Pass the text as ``context={"context": text}``.

    Each quote is looked up in the text. A quote that differs by a few characters is replaced by what the text says, and
    one that isn't there is left out. Without a context the quotes stay as they are.

    Attributes:
        substring_quotes: The passages.

    Example:
        >>> class Fact(CitationMixin):
        ...     statement: str
        >>> answer = {"statement": "Anna is 25.", "substring_quotes": ["Anna is twenty-five", "Bob is 3"]}
        >>> Fact.model_validate(answer, context={"context": "My friend Anna is twenty five."}).substring_quotes
        ['Anna is twenty five']
    """

    substring_quotes: list[str] = Field(
        description="Unique and specific passages of the text, word by word, on which the answer rests"
    )

    @model_validator(mode="after")
    def validate_sources(self, info: ValidationInfo) -> CitationMixin:
        """Replace each quote by the passage it means, and leave out those that the text doesn't hold."""
        context: object = info.context
        text = cast("Mapping[str, Any]", context).get("context") if isinstance(context, Mapping) else None
        if isinstance(text, str):
            self.substring_quotes = [text[start:end] for start, end in self.get_spans(text)]
        return self

    def get_spans(self, context: str) -> Iterator[tuple[int, int]]:
        """Yield where each quote stands in a text, as its start and end."""
        for quote in self.substring_quotes:
            found = find_passage(quote, context)
            if found is not None:
                yield found


def find_passage(quote: str, text: str, errors: int = MOST_ERRORS) -> tuple[int, int] | None:
    """Find where the passage starts and ends that differs least from a quote; None if there is none.

    `errors` is how many characters may be inserted, left out or changed; fewer for short quotes, of which little would be
    left.

    Example:
        >>> find_passage("Ana is", "Now Anna is here", 1)
        (4, 11)
    """
    start = text.find(quote)
    if start >= 0:
        return (start, start + len(quote)) if quote else None
    allowed = min(errors, len(quote) // 4)
    end, distance = _find_end(quote, text)
    if distance > allowed:
        return None
    # Backwards from its end, the passage is as long as it takes to reach the same distance.
    head = text[max(0, end - len(quote) - allowed) : end][::-1]
    length, _ = _find_end(quote[::-1], head, anchored=True)
    return end - length, end


def _find_end(pattern: str, text: str, *, anchored: bool = False) -> tuple[int, int]:
    """Return where the passage nearest to a pattern ends, and by how many characters it differs.

    The algorithm is that of Myers, "A fast bit-vector algorithm for approximate string matching" (1999), in the form of
    Hyyrö (2003): one integer holds a column of the table of distances. It takes a few operations for each character.
    """
    size = len(pattern)
    full, last = (1 << size) - 1, 1 << (size - 1)
    masks: dict[str, int] = {}
    for at, character in enumerate(pattern):
        masks[character] = masks.get(character, 0) | 1 << at
    plus, minus, distance = full, 0, size
    best = (0, size)
    for end, character in enumerate(text, 1):
        mask = masks.get(character, 0)
        cross = mask | minus
        diagonal = (((mask & plus) + plus) ^ plus) | mask
        up, down = minus | ~(diagonal | plus), plus & diagonal
        distance += 1 if up & last else -1 if down & last else 0
        up = (up << 1) | (1 if anchored else 0)
        plus = ((down << 1) | ~(cross | up)) & full
        minus = up & cross & full
        # Of equally near passages from one start, the longest leaves out nothing.
        if distance < best[1] or (anchored and distance == best[1]):
            best = (end, distance)
    return best

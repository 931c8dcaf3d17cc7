"""The attempt under way, for validators that judge by it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Attempt(NamedTuple):
    """One attempt to get a valid answer.

    Attributes:
        number: Counted from 1.
        is_last: Whether no answer is asked for after this one, as far as the retry policy says so.
    """

    number: int
    is_last: bool


ATTEMPT: ContextVar[Attempt | None] = ContextVar("instructor_attempt", default=None)


def current_attempt() -> Attempt | None:
    """The attempt whose answer is being validated; None for an answer from the cache, and outside of a call.

    Call it in a validator that is milder towards the end. An answer from the cache was accepted before, so a validator
    must accept there what it accepts in any attempt; otherwise such an answer would be asked for again each time.

    It is a function and not a member of ``info.context``, which stays what you passed: so it changes no cache key,
    and can't hide a name of yours.

    Example:
        >>> def check_length(text: str) -> str:
        ...     attempt = instructor.current_attempt()
        ...     if len(text) > 80 and attempt is not None and not attempt.is_last:
        ...         raise ValueError("write at most 80 characters")
        ...     return text
    """
    return ATTEMPT.get()

"""What a provider has granted, as evidence against what its headers say of limits."""

from __future__ import annotations

from typing import Final

from instructor.limits.account import Limit

_MINUTE: Final = 60.0
_FULL_BUCKET: Final = 2.0
"""How often a limit may be used up within its period: what had come back before it, and what comes back in it."""


class Granted:
    """How much was granted lately by answers that say the same of a limit.

    If that is more than the limit allows, it isn't true: a vendor's header says 1 token, and an answer has cost a thousand.
    Then it and lower ones aren't believed until the provider refuses a request. What was granted beside another header
    proves nothing: a limit may be lowered.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The provider has refused a request: there is a limit, and its headers may say which."""
        self._sums: dict[str, tuple[float, int, float]] = {}
        self._refuted: dict[str, float] = {}

    def refutes(self, limit: Limit, amount: float, sent_at: float) -> bool:
        """Whether a limit can't be true by now: an answer says it whose request used an amount."""
        name, minute = limit.dimension, int(sent_at // _MINUTE)
        known, at, so_far = self._sums.get(name, (limit.limit, minute, 0.0))
        granted = amount + (so_far if (known, at) == (limit.limit, minute) else 0.0)
        self._sums[name] = limit.limit, minute, granted
        if granted > _FULL_BUCKET * limit.limit * max(1.0, _MINUTE / limit.period):
            self._refuted[name] = max(limit.limit, self._refuted.get(name, 0.0))
        return limit.limit <= self._refuted.get(name, 0.0)

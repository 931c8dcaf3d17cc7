"""Why a call missed: the table of reasons."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

MissReason = Literal[
    "cold",
    "expired",
    "schema_changed",
    "params_changed",
    "prompt_changed",
    "namespace",
    "refused_by_validator",
    "corrupt",
    "invalidated",
    "unavailable",
    "not_looked_up",
]

MISS_REASONS: Final[dict[MissReason, str]] = {
    "cold": "nothing like it is stored, as far as this process knows",
    "expired": "the stored answer isn't fresh any more",
    "schema_changed": "the same call is stored for another schema of its response model",
    "params_changed": "the same messages are stored with another model, mode, argument or the like",
    "prompt_changed": "the same call is stored with other messages",
    "namespace": "the same call is stored in another namespace",
    "refused_by_validator": "the stored answer isn't valid for the response model of today",
    "corrupt": "the stored text is damaged, or isn't an entry of this version",
    "invalidated": "a tag of the stored answer was invalidated",
    "unavailable": "the store failed, or is left alone because it failed lately",
    "not_looked_up": "the call's cache_mode looks nothing up",
}
"""What each reason of a miss means."""


class Cause(NamedTuple):
    """Why a call missed.

    Attributes:
        reason: A row of the table.
        detail: What is known beyond it, such as the name of an error, or which member of the key differs. Without
            ``explain_misses`` it quotes nothing of what was asked.
    """

    reason: MissReason
    detail: str | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


COLD = Cause("cold")
EXPIRED = Cause("expired")
INVALIDATED = Cause("invalidated")
PAUSED = Cause("unavailable", "the store is paused")
FAILED = Cause("unavailable", "the store failed")


def refused(error: BaseException) -> Cause:
    """The cause where validators refuse a stored answer. The error's text may quote the answer, so its name must do."""
    return Cause("refused_by_validator", type(error).__name__)

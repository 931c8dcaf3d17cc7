"""Why a call missed: the table of reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from instructor.cache.differing import Difference

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
GONE = Cause("cold", "its answer was stored, and is gone: it was evicted, deleted or cleared")
NEW: Final[frozenset[MissReason]] = frozenset({"cold", "prompt_changed"})
"""The reasons of calls whose prompts weren't asked before."""
EXPIRED = Cause("expired")
INVALIDATED = Cause("invalidated")
PAUSED = Cause("unavailable", "the store is paused")
FAILED = Cause("unavailable", "the store failed")


def refused(error: BaseException) -> Cause:
    """The cause where validators refuse a stored answer. The error's text may quote the answer, so its name must do."""
    return Cause("refused_by_validator", type(error).__name__)


_REASON_OF: Final[dict[str, MissReason]] = {
    "namespace": "namespace",
    "messages": "prompt_changed",
    "schema": "schema_changed",
    "shape": "schema_changed",
    "response_model": "schema_changed",
}
"""What it is called when a member of a key differs; ``"params_changed"`` for all that aren't here."""

_FIRST: Final[tuple[MissReason, ...]] = ("namespace", "schema_changed", "params_changed", "prompt_changed")
"""Which reason counts where several members differ; the last only where the messages alone do."""


def name_cause(differing: Iterable[str]) -> Cause:
    """Name the cause by the members in which a call differs from the nearest stored one.

    A call with other messages *and* another member that differs is like nothing that is stored.

    Example:
        >>> name_cause(["schema", "shape"]).reason, name_cause(["messages"]).reason, name_cause(["model", "messages"]).reason
        ('schema_changed', 'prompt_changed', 'cold')
    """
    names = list(differing)
    reasons: set[MissReason] = {_REASON_OF.get(name.partition(".")[0], "params_changed") for name in names}
    if not reasons or (len(reasons) > 1 and "prompt_changed" in reasons):
        return COLD
    reason = min(reasons, key=_FIRST.index)
    return Cause(reason, None if reason == "namespace" else ", ".join(names))


class Diagnosis(NamedTuple):
    """Why a call missed, and by what that is known.

    Attributes:
        cause: Why.
        nearest: The key of the nearest stored call; None where none is known.
        where: Where that is, in words.
        difference: Where the two differ first, if both texts are known.
        advice: What to do, in words.
    """

    cause: Cause
    nearest: str | None = None
    where: str = ""
    difference: Difference | None = None
    advice: str = ""

    def __str__(self) -> str:
        sentences = [f"The nearest stored call is {self.where}."] if self.where else []
        if self.difference is not None:
            sentences.append(f"The first difference: {self.difference}.")
        elif self.where and self.cause.detail:
            sentences.append(f"It differs in: {self.cause.detail}.")
        return " ".join([*sentences, self.advice]).strip()

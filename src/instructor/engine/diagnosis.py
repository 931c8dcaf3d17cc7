"""Why a call missed: what is known of other calls, beside what its store holds under its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor.cache.misses import COLD, Cause, Diagnosis
from instructor.hooks import HookName

if TYPE_CHECKING:
    from instructor.engine.call import Policy
    from instructor.engine.path import CachePath
    from instructor.engine.tier_lookup import Question


def diagnose(path: CachePath, key: str, question: Question[Any], policy: Policy, cause: Cause) -> Diagnosis:
    """Say why a call missed for which the stores have shown `cause`."""
    recorder = path.recorder
    if recorder is not None:
        # It compares whole texts, which nobody waits for who doesn't want to know.
        wanted = not policy.mode.sends or question.wants(HookName.CACHE_MISS)
        known = recorder.explain(key) if wanted else None
        known = Diagnosis(cause) if known is None else known
        return known if cause is COLD else known._replace(cause=cause)
    return path.notes.diagnose(key, policy.clock(), question.sketch) if cause is COLD else Diagnosis(cause)

"""Why a call missed: what is known of other calls, beside what its store holds under its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor.cache.misses import COLD, Cause, Diagnosis
from instructor.cache.rows import (
    NEAREST,
    compare_requests,
    read_pointer,
    read_record,
    record_key,
    redact_members,
    view_key,
)
from instructor.hooks import HookName

if TYPE_CHECKING:
    from instructor.cache.call_notes import Sketch
    from instructor.engine.call import Policy
    from instructor.engine.effects import Flow
    from instructor.engine.path import CachePath, Report
    from instructor.engine.tier_lookup import Question


def diagnose(
    path: CachePath, key: str, question: Question[Any], policy: Policy, cause: Cause, report: Report
) -> Flow[Diagnosis]:
    """Say why a call missed for which the stores have shown `cause`: no more than that where nobody wants to know."""
    wanted, recorder = not policy.mode.sends or question.wants(HookName.CACHE_MISS), path.recorder
    if recorder is not None:
        known = recorder.explain(key) if wanted else None
        known = Diagnosis(cause) if known is None else known
        return known if cause is COLD else known._replace(cause=cause)
    if cause is not COLD or not (wanted or question.examines):
        return Diagnosis(cause)
    diagnosis = path.notes.diagnose(key, policy.clock(), question.sketch)
    sketch = question.sketch() if policy.explains and wanted else None
    is_settled = diagnosis.difference is not None or (diagnosis.nearest is None and diagnosis.cause is not COLD)
    if sketch is None or is_settled:
        return diagnosis
    return (yield from _compare_stored(path, sketch, diagnosis, report))


def _compare_stored(path: CachePath, sketch: Sketch, diagnosis: Diagnosis, report: Report) -> Flow[Diagnosis]:
    """Compare a call with the nearest one whose request a store has kept."""
    members, names = sketch.describe(), [] if diagnosis.nearest is None else [diagnosis.nearest]
    for view in NEAREST:
        name = view_key(view, members, "")
        for tier in path.tiers:
            names += read_pointer((yield from tier.find(name, report)))
    own = redact_members(members)
    for nearest in dict.fromkeys(names):
        for tier in path.tiers:
            stored = read_record((yield from tier.find(record_key(nearest), report)))
            if stored is not None:
                return compare_requests(stored, own, nearest)
    return diagnosis

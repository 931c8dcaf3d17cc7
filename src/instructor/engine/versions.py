"""Answers for another version of a response model: found by a second key, which leaves the model's schema out."""

from __future__ import annotations

from typing import TypeVar

from instructor.cache.entry import Entry
from instructor.cache.rows import read_pointer, view_key
from instructor.engine.call import Policy
from instructor.engine.effects import Flow
from instructor.engine.path import CachePath, Report
from instructor.engine.tier_lookup import Found, Question, Served, assess

T = TypeVar("T")


def find_version(
    path: CachePath, question: Question[T], policy: Policy, report: Report
) -> Flow[tuple[Found, Served[T]] | None]:
    """Find an answer that was stored for another schema of the response model, and is valid for this one."""
    sketch = question.sketch()
    if sketch is None or not policy.compatible:
        return None
    keys = path.notes.other_versions(sketch)
    name = view_key("version", sketch.describe(), sketch.response_model)
    for tier in path.tiers:
        keys += read_pointer((yield from tier.find(name, report)))
    for key in dict.fromkeys(keys):
        for depth, tier in enumerate(path.tiers):
            entry = yield from tier.find(key, report)
            if isinstance(entry, Entry):
                found = Found(entry, depth)
                judged = yield from assess(path, question, policy, found)
                if isinstance(judged, Served):
                    return found, judged
    return None

"""Answers for another version of a response model: found by a second key, which leaves the model's schema out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from instructor.cache.entry import Entry, pack_completion
from instructor.cache.key import match_key
from instructor.engine.call import Policy
from instructor.engine.effects import Flow
from instructor.engine.path import CachePath, Report
from instructor.engine.tier_lookup import Found, Question, Served, assess
from instructor.messages import Part
from instructor.usage import Usage

T = TypeVar("T")
_KIND = "another version is stored under"
"""Stands where an entry has the name of a tool, in a row that leads from the second key to that of an answer."""


def find_version(
    path: CachePath, question: Question[T], policy: Policy, report: Report
) -> Flow[tuple[Found, Served[T]] | None]:
    """Find an answer that was stored for another schema of the response model, and is valid for this one."""
    sketch = question.sketch()
    if sketch is None or not policy.compatible:
        return None
    keys = path.notes.other_versions(sketch)
    name = match_key(sketch.describe(), sketch.response_model)
    for tier in path.tiers:
        row = yield from tier.find(name, report)
        keys += _read(row)
    for key in dict.fromkeys(keys):
        for depth, tier in enumerate(path.tiers):
            entry = yield from tier.find(key, report)
            if isinstance(entry, Entry):
                found = Found(entry, depth)
                judged = yield from assess(path, question, policy, found)
                if isinstance(judged, Served):
                    return found, judged
    return None


def keep_version(
    path: CachePath, question: Question[Any], policy: Policy, entry: Entry, ttl: float | None, report: Report
) -> Flow[None]:
    """Let calls with another schema of the response model find an answer that was just stored."""
    sketch = question.sketch() if policy.compatible else None
    if sketch is None:
        return
    name = match_key(sketch.describe(), sketch.response_model)
    row = entry._replace(
        key=name,
        parts=(Part(_KIND, entry.key),),
        completion_data=pack_completion("{}"),
        seconds=0.0,
        usage=Usage(),
        steps="",
        tagged=None,  # it holds nothing of the answer, whose own tags are looked at
        carried=None,
    )
    for tier in path.tiers:
        yield from tier.keep_row(row, ttl, report)


def _read(row: Any) -> Iterator[str]:
    if isinstance(row, Entry):
        yield from (part.text for part in row.parts if part.tool == _KIND)

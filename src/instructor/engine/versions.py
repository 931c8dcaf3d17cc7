"""Answers for another version of a response model: found by a second key, which leaves the model's schema out."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from instructor.cache.entry import Entry
from instructor.cache.misses import Cause
from instructor.cache.rows import read_pointer, view_key
from instructor.engine.call import Policy
from instructor.engine.effects import Flow
from instructor.engine.path import CachePath, Report
from instructor.engine.tier_lookup import Found, Question, Served, assess, newer

T = TypeVar("T")

_LACKS_OWN = ("cold", "unavailable")
"""Why nothing is served under the call's own key, as far as that says nothing of an answer there."""


class Version(NamedTuple, Generic[T]):
    """What is stored for another schema of a response model.

    Attributes:
        found: What may be served, and where it stands; None for nothing.
        served: What the caller gets of it.
        fallback: What may be served if the provider fails.
    """

    found: Found | None = None
    served: Served[T] | None = None
    fallback: Found | None = None


def find_version(
    path: CachePath, question: Question[T], policy: Policy, cause: Cause, report: Report
) -> Flow[Version[T]]:
    """Find an answer that was stored for another schema of the response model, and is valid for this one.

    `cause` is why nothing is served under the call's own key. If an answer of its own is to be replaced, no other stands in.
    """
    sketch = question.sketch() if policy.compatible and cause.reason in _LACKS_OWN else None
    if sketch is None:
        return Version()
    keys = path.notes.other_versions(sketch)
    name = view_key("version", sketch.describe(), sketch.response_model)
    for tier in path.tiers:
        keys += read_pointer((yield from tier.find(name, report)))
    fallback: Found | None = None
    for key in dict.fromkeys(keys):
        for depth, tier in enumerate(path.tiers):
            entry = yield from tier.find(key, report)
            if isinstance(entry, Entry):
                found = Found(entry, depth)
                judged = yield from assess(path, question, policy, found)
                if isinstance(judged, Served):
                    return Version(found, judged)
                fallback = newer(fallback, judged.fallback)
    return Version(fallback=fallback)

"""Tags: whether a stored answer was invalidated, and what an answer that is to be stored is marked with.

The numbers of invalidations are those of a path's last tier, the one that most callers share, for entries in any tier:
a faster one may be memory of this process, which no other process reaches. So no clock is compared with another, and
an entry that was stored by way of another path is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from instructor.cache.entry import Entry, Tagged
from instructor.cache.listing import TagSource, check_tags
from instructor.cache.misses import FAILED, INVALIDATED, PAUSED, Cause
from instructor.engine.effects import Flow, ReadGenerations
from instructor.engine.path import CachePath, Report, report_failure
from instructor.exceptions import ArgumentError, CacheError
from instructor.messages import Value

NOT_NUMBERED = "the store could not be asked for the number of the latest invalidation"


def check_tagged(path: CachePath, tagged: Tagged, report: Report) -> Flow[Cause | None]:
    """Say why an answer with tags may not be served; None if it may."""
    handle = path.tiers[-1].handle
    if not handle.can_tag:
        return INVALIDATED
    if handle.paused():
        return PAUSED
    try:
        numbers = yield from ReadGenerations(handle, tagged.tags)
    except CacheError as error:
        yield from report_failure(handle, error, report)
        return FAILED
    return None if numbers.cover(tagged.generation) else INVALIDATED


def note_generation(path: CachePath, report: Report) -> Flow[int | None]:
    """Read the number of the latest invalidation, before a question is asked; None where none is to be had.

    An invalidation that comes while the question is under way gets a higher number, so its answer is stale.
    """
    handle = path.tiers[-1].handle
    if handle.paused():
        return None
    try:
        return (yield from ReadGenerations(handle, ())).latest
    except CacheError as error:
        yield from report_failure(handle, error, report)
        return None


def mark(
    entry: Entry,
    source: TagSource,
    generation: int | None,
    load: Callable[[], Value],
    warn: Callable[[str, str], None],
) -> tuple[Entry, str | None]:
    """Give an entry its tags; return it, yet to be prepared, and why it can't be stored, or None. `load` makes the answer's value."""
    try:
        tags = check_tags(source(load()) if callable(source) else source)
    except Exception as error:  # noqa: BLE001 - the function is the user's, and the answer is paid for
        # Only our own texts may be logged: another's, such as a KeyError's, may quote the answer.
        found = str(error) if isinstance(error, ArgumentError) else f"it raised {type(error).__name__}."
        warn(
            "cache_tags",
            f"Answers are not cached, because the function that makes their tags fails: {found} Correct it.",
        )
        return entry, f"cache_tags failed with {type(error).__name__}: {error}"
    if not tags:
        return entry, None
    if generation is None:
        return entry, NOT_NUMBERED
    return replace(entry, tagged=Tagged(tags, generation), carried=None), None

"""Answers of one store for another: to fill a cache with what was recorded, or to move house."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

from instructor.cache.entry import Entry, Tagged, decode_entry, encode_entry
from instructor.cache.misses import EXPIRED, INVALIDATED, Cause
from instructor.cache.store import BaseCache, Text, listing, tagging
from instructor.cache.tiered import require_store
from instructor.exceptions import CacheEntryError, ConfigurationError


def copy_entries(source: BaseCache, target: BaseCache) -> int:
    """Copy the answers of one store to another, to be served for the time that they have left.

    Answers that have expired, were invalidated by a tag or can't be read stay behind, and so do those with tags if
    `target` can't invalidate tags. A cassette's answers have the keys of the same calls elsewhere, except those of calls
    from which secrets were removed.

    Args:
        source: A store that can list its entries: `AutoCache`, `CassetteCache`, `DiskCache`, `RedisCache`.
        target: Any store with plain methods.

    Returns:
        How many answers were copied.

    Raises:
        ConfigurationError: `source` can't list its entries, or one of the stores is asynchronous only.
        CacheError: A store failed.

    Example:
        >>> from instructor.cache import AutoCache, CassetteCache
        >>> copy_entries(CassetteCache("tests/cassettes/none.jsonl"), AutoCache())
        0
    """
    answers, into = served_entries(require_store("source", source)), require_store("target", target)
    return sum(_write(into, entry) for entry in answers)


def served_entries(source: BaseCache) -> Iterator[Entry]:
    """Read the entries of a store that may still be served."""
    for batch in listing(source).list_entries():
        for listed in batch:
            entry = _read(source, listed.key)
            if entry is not None and why_not_served(source, entry) is None:
                yield entry


def why_not_served(store: BaseCache, entry: Entry) -> Cause | None:
    """Why an entry of a store isn't served any more; None if it is, as far as the store alone can say."""
    if entry.expires is not None and entry.expires <= time.time():
        return EXPIRED
    tagged = entry.tagged
    if tagged is not None and not tagging(store).generations(tagged.tags).cover(tagged.generation):
        return INVALIDATED
    return None


def _read(source: BaseCache, key: str) -> Entry | None:
    found = source.peek(key)
    if found is None:
        return None
    if not isinstance(found, Text):
        raise ConfigurationError(
            f"{type(source).__name__}.get is asynchronous. copy_entries takes stores with plain methods."
        )
    try:
        return decode_entry(found, key)
    except CacheEntryError:
        return None


def _write(target: BaseCache, entry: Entry) -> int:
    """Write an entry with the target's own number of invalidations; return how many were written."""
    ttl = None if entry.expires is None else max(1, math.ceil(entry.expires - time.time()))
    if entry.tagged is not None:
        if "tagging" not in target.abilities:
            return 0
        tags = entry.tagged.tags
        entry = replace(entry, tagged=Tagged(tags, tagging(target).generations(tags).latest))
    target.set(entry.key, encode_entry(entry), ttl)
    return 1

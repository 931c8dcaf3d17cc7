"""Answers of one store for another: to fill a cache with what was recorded, or to move house."""

from __future__ import annotations

import math
import time

from instructor.cache.entry import Entry, Tagged, decode_entry, encode_entry
from instructor.cache.store import BaseCache, Text, listing, tagging
from instructor.cache.tiered import require_store
from instructor.exceptions import CacheEntryError, ConfigurationError


def copy_entries(source: BaseCache, target: BaseCache) -> int:
    """Copy the answers of one store to another, to be served for the time that they have left.

    Answers that have expired, were invalidated by a tag or can't be read stay behind. A cassette's answers have the keys
    of the same calls elsewhere, except those of calls from which secrets were removed.

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
    lists, into = listing(require_store("source", source)), require_store("target", target)
    copied = 0
    for batch in lists.list_entries():
        for listed in batch:
            entry = read_entry(source, listed.key)
            if entry is not None:
                copied += _write(into, entry)
    return copied


def read_entry(source: BaseCache, key: str) -> Entry | None:
    """Read an entry that may still be served."""
    found = source.peek(key)
    if found is None:
        return None
    if not isinstance(found, Text):
        raise ConfigurationError(
            f"{type(source).__name__}.get is asynchronous. copy_entries takes stores with plain methods."
        )
    try:
        entry = decode_entry(found, key)
    except CacheEntryError:
        return None
    tagged = entry.tagged
    if tagged is not None and not tagging(source).generations(tagged.tags).cover(tagged.generation):
        return None
    return entry


def _write(target: BaseCache, entry: Entry) -> int:
    """Write an entry with the target's own number of invalidations; return how many were written."""
    ttl = None if entry.expires is None else math.ceil(entry.expires - time.time())
    if ttl is not None and ttl <= 0:
        return 0
    if entry.tagged is not None:
        if "tagging" not in target.abilities:
            return 0
        tags = entry.tagged.tags
        entry = entry._replace(tagged=Tagged(tags, tagging(target).generations(tags).latest))
    target.set(entry.key, encode_entry(entry), ttl)
    return 1

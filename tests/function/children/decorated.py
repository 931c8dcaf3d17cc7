"""Call a cached function once with a set, a dict and a model; tell whether it hit."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import sys

from pydantic import BaseModel

from instructor.cache import DiskCache, instructor_cache


class Place(BaseModel):
    name: str


@instructor_cache(cache=DiskCache(sys.argv[1]))
def extract(words: frozenset[str], options: dict[str, int], place: Place) -> list[Place]:
    return [place]


extract(frozenset("abcdefgh"), {"a": 1, "b": 2}, Place(name="é"))
stats = extract.cache.stats()
print(f"misses {stats.misses} hits {stats.hits}")

"""Write to a DiskCache, telling each key once it is stored: directory, beginning of the keys, how many, size limit."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import sys

from instructor.cache import DiskCache

directory, name, count, *limit = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with DiskCache(directory, int(*limit) if limit else 1 << 30, timeout=30) as cache:
    for number in range(int(count)):
        cache.set(f"{name}{number}", "x" * 2000)
        print(f"{name}{number}", flush=not limit)

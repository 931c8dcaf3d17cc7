"""Make one call from several threads: a directory or the port of a Redis server, a lease in seconds, how many threads.

The function notes in the file `asked` which process it runs in, and returns that when there is a file `answer`.
"""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from instructor.cache import DiskCache, RedisCache, instructor_cache

where, lease, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
options = {"lease": lease, "timeout": 30.0}
cache = RedisCache(port=int(where), **options) if where.isdigit() else DiskCache(where, **options)


@instructor_cache(cache=cache)
def ask(question: str) -> int:
    with Path("asked").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not Path("answer").exists():
        time.sleep(0.005)
    return os.getpid()


with ThreadPoolExecutor(threads) as pool:
    answers = set(pool.map(ask, ["question"] * threads))
print(time.time(), cache.stats().errors, *answers)

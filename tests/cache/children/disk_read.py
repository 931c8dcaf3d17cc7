"""Print what a DiskCache holds: directory, key."""

from __future__ import annotations

import sys

from instructor.cache import DiskCache

with DiskCache(sys.argv[1]) as cache:
    sys.stdout.buffer.write(cache.get(sys.argv[2]) or b"None")

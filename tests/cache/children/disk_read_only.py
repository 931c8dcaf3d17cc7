"""Read a DiskCache as a user who may write neither its directory nor its file, and try to write: directory, key."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import logging
import os
import sys
import urllib.parse  # noqa: F401 - which pathlib imports when it needs it, from a folder that this user may not read
from pathlib import Path

from instructor.cache import DiskCache
from instructor.exceptions import CacheError

logging.lastResort = None  # its warnings; the module itself cannot be found any more as this user
directory, key = Path(sys.argv[1]), sys.argv[2]
NOBODY = 65534
for path in (*directory.iterdir(), directory):
    path.chmod(0o555 if path is directory else 0o444)
    if os.geteuid() == 0:  # to whom permissions mean nothing
        os.chown(path, NOBODY, NOBODY)
if os.geteuid() == 0:
    os.setuid(NOBODY)
with DiskCache(directory) as cache:
    for _ in range(2):
        try:
            print(cache.get(key))
        except CacheError as error:
            print(error)
        try:
            cache.set("new", "text")
        except CacheError as error:
            print(error)

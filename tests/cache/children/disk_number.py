"""Store ever greater numbers in a DiskCache, and note each one in a shared file as it is begun and done: directory, file, count."""

from __future__ import annotations

import mmap
import random
import sys
import time
from pathlib import Path

from instructor.cache import DiskCache

directory, path, count = sys.argv[1:]
dice = random.Random(1)
store = DiskCache(directory, timeout=30)
with Path(path).open("r+b") as file:
    begun_and_done = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
for number in range(1, int(count) + 1):
    begun_and_done[0] = number
    store.set("key", f"{number} {'x' * dice.choice([1, 100, 70_000])}")
    begun_and_done[1] = number
    way = dice.random()
    if way < 0.05:
        store.close()
    elif way < 0.06:
        store._run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
    elif way < 0.5:
        time.sleep(dice.random() * 0.01)

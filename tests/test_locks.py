"""A forked child finds locks free and is told that it is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CHILD = """
import os
from instructor.locks import after_fork, make_lock
lock = make_lock()
after_fork(lambda: print("first", lock.locked(), flush=True))
after_fork(lambda: print("second", flush=True))
lock.acquire()
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("parent", lock.locked(), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks on Windows")
def test_a_forked_child_finds_its_locks_free_and_calls_back_in_order() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == ["first False", "second", "parent True"]

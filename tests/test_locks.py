"""A forked child finds locks free and is told that it is one."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from instructor.locks import without_collecting

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


def test_nothing_is_collected_while_the_calls_of_other_threads_are_looked_at() -> None:
    """In Python 3.11 a finalizer that lets those threads go on meanwhile crashes or stops the interpreter."""
    with without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collecting():
            """Where the program collects none, it stays so."""
        assert not gc.isenabled()
    finally:
        gc.enable()

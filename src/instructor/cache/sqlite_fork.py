"""A fork waits until no thread is within SQLite.

A thread that reads holds locks of SQLite's own for that time. A child would find them taken for ever, by a thread that it
doesn't have, as soon as it opens the same file.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from instructor.locks import LONGEST_WAIT, fork_last, without_collecting

_FILES = str(Path(__file__).with_name("sqlite"))
"""How the names of the files begin whose functions call SQLite."""

_WAITING = (__file__, str(Path(__file__).with_name("sqlite_group.py")))
"""Those in which a thread waits for the fork: here, and for the lock that the fork holds."""

_PAUSE = 0.0002


class Gate:
    """Who is about to call SQLite waits here while another thread forks.

    Attributes:
        is_closed: Whether one does. To look at it is all that a read pays.
    """

    def __init__(self) -> None:
        self.is_closed = False

    def wait(self) -> None:
        """Wait until the fork is over."""
        until = time.monotonic() + LONGEST_WAIT
        while self.is_closed and time.monotonic() < until:
            time.sleep(_PAUSE)

    def close(self) -> None:
        """Let nobody in any more, and wait until all are out."""
        self.is_closed = True
        until = time.monotonic() + LONGEST_WAIT
        while _is_used() and time.monotonic() < until:
            time.sleep(_PAUSE)

    def open(self) -> None:
        """The fork is over."""
        self.is_closed = False


def _is_used() -> bool:
    """Whether another thread is within SQLite: the function that it performs is one that calls it."""
    own = threading.get_ident()
    with without_collecting():
        calls = sys._current_frames()  # noqa: SLF001 - so that a read notes nothing
        files = [call.f_code.co_filename for thread, call in calls.items() if thread != own]
    return any(file.startswith(_FILES) and file not in _WAITING for file in files)


gate = Gate()
fork_last(gate.close, gate.open)

"""A queue for the interpreter, in which the threads of a job stand.

One thread at a time runs Python. It gives the interpreter up at each system call and each statement of SQLite, however
short, and then has to get it back: among sixteen threads that want it, that puts the thread to sleep, and its work goes on
beside another one's, with cold caches. A row of a job over a `DiskCache`, asked for beside fifteen others, was put to sleep
50 times; where the threads queue it is 10 times, and a quarter of the processor's time is saved.

The thread whose turn it is runs until it has to wait: for a provider, another server, another thread, or a pause. It leaves
the queue for that (`waiting`), and stands in line again afterwards.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import get_ident
from typing import Any

PATIENCE = 0.02
"""Seconds after which a thread loses its turn to one that waits, as where a function of the user's blocks."""

LONGEST_WAIT = 0.2
"""Seconds that a thread waits for its turn at most, however many others have theirs meanwhile."""

JUDGED = 16
"""After so many turns it is judged whether the threads were at work in them."""

AT_WORK = 0.5
"""The share of a turn for which a thread is to be at work; the rest is spent waiting, which others could do beside it."""

LONG = 0.004
"""Seconds of work in a turn that counts as spent waiting. A row's own is done in 0.002; a function of the user's that takes
longer, as to make a hash or an embedding, may well give the interpreter up for it, and others could work beside it then."""

MOST_IDLE = 3
"""How many of those turns may have been spent waiting: now and then a thread waits for the disk."""

PAUSES = (1.0, 64.0)
"""Seconds for which nobody queues after it was in vain: at first, and at most after twice as long each time."""


class _Own(threading.local):
    """What a thread knows of itself: which queue it stands in, and whether it is its turn."""

    queue: InterpreterQueue | None = None
    has_turn: bool = False
    began: float = 0.0
    began_work: float = 0.0


_own = _Own()


class InterpreterQueue:
    """The queue of some threads; a thread stands in one at most. Threads that aren't in it know nothing of it.

    Nobody loses by it for long: while its threads spend their turns waiting, for whatever a function of the user's waits
    for, or for other programs on the same processors, nobody queues.

    Example:
        >>> queue = InterpreterQueue()
        >>> queue.join()
        >>> with waiting:
        ...     "another thread of the queue goes on"
        'another thread of the queue goes on'
        >>> queue.quit()
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._holder = 0
        self._turns = self._idle = 0
        self._is_watched = False
        self._closed_until = 0.0
        self._pause = PAUSES[0]

    def join(self) -> None:
        """Have this thread queue from now on; return when it is its turn. Without an interpreter lock nobody queues."""
        if _has_interpreter_lock():
            _own.queue = self
            self.stand()

    def quit(self) -> None:
        """Have this thread queue no more."""
        self.leave()
        _own.queue = None

    def leave(self) -> None:
        """Let the next one go on."""
        if not _own.has_turn:
            return
        seconds, worked = time.perf_counter() - _own.began, time.thread_time() - _own.began_work
        self._idle += worked < seconds * AT_WORK or worked > LONG
        self._turns += 1
        if self._turns % JUDGED == 0:
            self._judge()
        _own.has_turn = False
        if self._holder == get_ident():
            self._holder = 0
            with suppress(RuntimeError):  # another thread took this turn away at this very moment, and has ended it
                self._turn.release()

    def stand(self) -> None:
        """Wait for this thread's turn; go on without one after `LONGEST_WAIT`."""
        if _own.has_turn or time.monotonic() < self._closed_until:
            return
        if not self._turn.acquire(blocking=False) and not self._wait():
            return
        self._holder, _own.has_turn = get_ident(), True
        _own.began, _own.began_work = time.perf_counter(), time.thread_time()

    def _wait(self) -> bool:
        """Wait for this thread's turn, or take it from one that blocks; False if it took too long.

        To wait again is to stand at the end of the line, so one of those who wait looks often, and the others don't.
        """
        until, turns = time.monotonic() + LONGEST_WAIT, self._turns
        watches, self._is_watched = not self._is_watched, True
        has_turn = False
        while not has_turn and time.monotonic() < until:
            has_turn = self._turn.acquire(timeout=PATIENCE if watches else LONGEST_WAIT)
            has_turn = has_turn or (watches and self._turns == turns)
            turns = self._turns
        if watches:
            self._is_watched = False
        return has_turn

    def _judge(self) -> None:
        if self._idle > MOST_IDLE:
            self._closed_until = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, PAUSES[1])
        else:
            self._pause = PAUSES[0]
        self._idle = 0


class _Waiting:
    """A block in which this thread waits for something else than the interpreter. It leaves its queue for as long."""

    def __enter__(self) -> None:
        if _own.queue is not None:
            _own.queue.leave()

    def __exit__(self, *_: object) -> None:
        if _own.queue is not None:
            _own.queue.stand()


waiting = _Waiting()

_WAITS = {
    "connection.connect_tcp",
    "connection.connect_unix_socket",
    "connection.start_tls",
    "http11.receive_response_headers",
    "http11.receive_response_body",
}
"""What httpcore may wait for (https://www.python-httpx.org/advanced/extensions/, "trace")."""


def leave_while_waiting(request: Any) -> None:
    """Have an HTTP client leave the queue while it waits for the server: a hook for its requests."""
    if _own.queue is not None:
        request.extensions.setdefault("trace", _note)


def _note(name: str, _: Mapping[str, Any]) -> None:
    queue = _own.queue
    event, state = name.rsplit(".", 1)
    if queue is None or event not in _WAITS:
        return
    if state == "started":
        queue.leave()
    else:
        queue.stand()


def _has_interpreter_lock() -> bool:
    has_it = getattr(sys, "_is_gil_enabled", None)
    return has_it is None or bool(has_it())

"""A queue for the interpreter, in which the threads of a job stand.

One thread at a time runs Python. It gives the interpreter up at each system call and each statement of SQLite, however
short, and then has to get it back: among sixteen threads that want it, that puts the thread to sleep, and its work goes on
beside another one's, with cold caches. A row of a job over a `DiskCache` was put to sleep 45 times and took 3.3 ms of
processor time so; it takes 2.4 ms where the threads queue, and is put to sleep 9 times.

The thread whose turn it is runs until it has to wait: for a provider, another server, another thread, or a pause. It leaves
the queue for that (`waiting`), and stands in line again afterwards.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from instructor.locks import make_lock, reset_after_fork

PATIENCE = 0.02
"""Seconds for which a thread waits for a turn to end, which may be one of a function of the user's that blocks."""

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
        self._lock = make_lock()
        self._line: deque[threading.Lock] = deque()  # a lock for each thread, by which it learns of its turn
        self._is_taken = False
        self._turns = self._idle = 0
        self._blocked = -1
        self._began = self._began_work = 0.0
        self._closed_until = 0.0
        self._pause = PAUSES[0]
        reset_after_fork(self)

    def reset(self) -> None:
        """Begin anew in a forked child, without the threads that stand in line."""
        self._line.clear()
        self._is_taken = _own.queue is self and _own.has_turn

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
        seconds, worked = time.perf_counter() - self._began, time.thread_time() - self._began_work
        self._idle += worked < seconds * AT_WORK or worked > LONG
        self._turns += 1
        if self._turns % JUDGED == 0:
            self._judge()
        _own.has_turn = False
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self._is_taken = False

    def stand(self) -> None:
        """Wait for this thread's turn; not for a turn that lasts longer than `PATIENCE`."""
        turns = self._turns
        if _own.has_turn or turns == self._blocked or time.monotonic() < self._closed_until:
            return
        place = self._take_place()
        if place is not None and not self._wait(place, turns):
            return
        _own.has_turn = True
        self._began, self._began_work = time.perf_counter(), time.thread_time()

    def _take_place(self) -> threading.Lock | None:
        """Stand at the end of the line; return this thread's place in it, or None if it is its turn at once.

        Without a line one that comes just then goes first, and some rows took five times as long as others.
        """
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return None
            place = threading.Lock()
            place.acquire()
            self._line.append(place)
            return place

    def _wait(self, place: threading.Lock, turns: int) -> bool:
        """Wait until it is this thread's turn; return False if it waits no longer."""
        while not place.acquire(timeout=PATIENCE):
            if self._turns == turns:
                self._blocked = turns
                return not self._give_up(place)
            turns = self._turns
        return True

    def _give_up(self, place: threading.Lock) -> bool:
        """Leave the line, unless it is this thread's turn by now."""
        with self._lock:
            is_there = place in self._line
            if is_there:
                self._line.remove(place)
            return is_there

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

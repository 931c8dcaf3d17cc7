"""Several answers to one call, served in turn: whose turn it is, and under which key each is stored."""

from __future__ import annotations

import hashlib

from instructor.locks import make_lock

_MOST_TURNS = 65_536


class SampleTurns:
    """Counts the calls of each key, over all clients of one store in this process.

    Example:
        >>> turns = SampleTurns()
        >>> [turns.take("key", 2) for _ in range(3)]
        [0, 1, 0]
        >>> turns.peek("key", 2)
        1
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self._taken: dict[str, int] = {}

    def take(self, key: str, samples: int) -> int:
        """The number of the sample, from 0, that the next call of a key is served."""
        with self._lock:
            if len(self._taken) >= _MOST_TURNS and key not in self._taken:
                self._taken.clear()
            turn = self._taken.get(key, 0)
            self._taken[key] = turn + 1
            return turn % samples

    def peek(self, key: str, samples: int) -> int:
        """The number that `take` would return, without taking it."""
        return self._taken.get(key, 0) % samples


def sample_key(key: str, number: int) -> str:
    """The key of a sample. The first has the call's own, so that a call without samples shares it."""
    return key if number == 0 else hashlib.sha256(f"{key}:sample {number}".encode()).hexdigest()

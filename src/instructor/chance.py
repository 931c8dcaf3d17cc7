"""Numbers drawn by chance.

They come from a generator of our own: who drew from the one of the program would change what a seed of the user's leads
to, and calls that were seeded alike would wait alike.
"""

from __future__ import annotations

import random

from instructor.locks import after_fork

_own = random.Random()  # noqa: S311 - nothing secret depends on it
after_fork(_own.seed)  # so that two children don't draw the same


def draw() -> float:
    """A number from 0 to 1, and never 1 itself."""
    return _own.random()

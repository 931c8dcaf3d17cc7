"""The debug log, which shows what happens in each call: ``logging.getLogger("instructor").setLevel(logging.DEBUG)``."""

from __future__ import annotations

import logging
from typing import Final

logger = logging.getLogger("instructor")

enabled: Final[set[int]] = set()
"""Holds `logging.DEBUG` while the debug log is on, and nothing while it's off.

A set, because a cache hit asks for its truth: asking the logger would take a fortieth of the whole hit.
"""


def refresh() -> None:
    """Look whether the debug log is on."""
    enabled.clear()
    if logger.isEnabledFor(logging.DEBUG):
        enabled.add(logging.DEBUG)


class _Levels(dict[int, bool]):
    """The levels that the logger knows to be on. `logging` empties this dict when any logger's level changes."""

    def clear(self) -> None:
        super().clear()
        refresh()


logger._cache = _Levels()  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore - `logging` has no public way to hear of a change
refresh()

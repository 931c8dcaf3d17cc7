"""The event loop that this thread runs, without importing asyncio."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def running_loop() -> AbstractEventLoop | None:
    """The asyncio event loop that runs in this thread; None if there is none, or if it is another library's.

    Importing asyncio takes longer than a cache hit, and where nobody has imported it no loop of it runs.
    """
    module = sys.modules.get("asyncio")
    return module._get_running_loop() if module is not None else None  # noqa: SLF001 - public, in the docs, for this very use

"""How a call uses its cache: whether it looks there, stores there, asks the provider, and waits for identical calls."""

from __future__ import annotations

import os
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, NamedTuple

from instructor.describing import refuse
from instructor.exceptions import ConfigurationError

ModeName = Literal["use", "refresh", "read_only", "write_only", "bypass", "replay"]

VARIABLE = "INSTRUCTOR_CACHE_MODE"
"""The environment variable that a client reads when it is made."""


class CacheMode(NamedTuple):
    """One mode.

    Attributes:
        looks: Whether stored answers are served.
        stores: Whether a new answer is stored.
        sends: Whether the provider may be asked.
        joins: Whether the answer of an identical call under way is shared.
    """

    name: ModeName
    looks: bool
    stores: bool
    sends: bool
    joins: bool

    @property
    def is_cached(self) -> bool:
        """Whether the cache is used at all."""
        return self.looks or self.stores


#             name          looks  stores sends  joins
USE = CacheMode("use", True, True, True, True)
READ_ONLY = CacheMode("read_only", True, False, True, True)
MODES: Final[dict[str, CacheMode]] = {
    mode.name: mode
    for mode in (
        USE,
        CacheMode("refresh", False, True, True, True),
        READ_ONLY,
        CacheMode("write_only", False, True, True, False),
        CacheMode("bypass", False, False, True, False),
        CacheMode("replay", True, False, False, False),
    )
}

LOOKING: Final = frozenset(mode.name for mode in MODES.values() if mode.looks)
"""The modes in which a hit is served as in any other."""


class _Block:
    """What the code inside of one ``with cache_mode(...)`` sees."""

    __slots__ = ("__weakref__", "mode")

    def __init__(self, mode: CacheMode) -> None:
        self.mode = mode


_block: ContextVar[_Block | None] = ContextVar("instructor_cache_mode", default=None)

active: Final[set[weakref.ref[_Block]]] = set()
"""The blocks that some code may still see; empty in most programs, and a cache hit asks for no more than that.

A task that was started in a block sees it for as long as it runs, so a block leaves with the last context that holds it.
"""


@contextmanager
def cache_mode(mode: ModeName) -> Generator[None]:
    """Let all calls in a block use their cache in one mode.

    It holds for every client and for decorated functions, in this thread, and in tasks that are started in the block.
    Blocks nest: the inner one counts. ``cache_mode=`` of a call counts before a block, and a block before what the
    client was made with. A function that `instructor_cache` decorates isn't a request: with ``"replay"`` it may run,
    and the calls in it are replayed.

    Args:
        mode: One of these.

            ==================  =====  ======  =====  =====
            mode                looks  stores  sends  joins
            ==================  =====  ======  =====  =====
            ``"use"``           yes    yes     yes    yes
            ``"refresh"``       no     yes     yes    yes
            ``"read_only"``     yes    no      yes    yes
            ``"write_only"``    no     yes     yes    no
            ``"bypass"``        no     no      yes    no
            ``"replay"``        yes    no      no     no
            ==================  =====  ======  =====  =====

            *Joins* is whether the answer of an identical call under way is shared.

    Raises:
        ArgumentError: There is no such mode.

    Example:
        >>> import instructor
        >>> with instructor.cache_mode("replay"):
        ...     client.create(response_model=User, messages=messages)
        Traceback (most recent call last):
        instructor.exceptions.CacheMiss: ...
    """
    block = _Block(read_mode(mode))
    active.add(weakref.ref(block, active.discard))
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)


def read_mode(mode: object, name: str = "cache_mode") -> CacheMode:
    """Return the mode of a name."""
    if not isinstance(mode, str) or mode not in MODES:
        raise refuse(name, mode, f"one of {', '.join(map(repr, MODES))}")
    return MODES[mode]


def mode_of_environment() -> CacheMode:
    """The mode that the environment names; ``"use"`` where it names none."""
    name = os.environ.get(VARIABLE, "").strip().lower()
    if not name:
        return USE
    if name not in MODES:
        raise ConfigurationError(
            f"The environment variable {VARIABLE} is {name!r:.40}, which isn't a mode. Set it to one of "
            f"{', '.join(MODES)}, or unset it."
        )
    return MODES[name]


def mode_of_block() -> CacheMode | None:
    """The mode of the innermost block around this code; None outside of any."""
    block = _block.get() if active else None
    return None if block is None else block.mode


def is_overruled(mode: object) -> bool:
    """Whether a block keeps a call, whose own mode this is, from being served what is stored."""
    block = mode_of_block()
    return mode is None and block is not None and not block.looks

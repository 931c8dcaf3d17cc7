"""How a call uses its cache: whether it looks there, stores there, asks the provider, and waits for identical calls."""

from __future__ import annotations

import os
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, NamedTuple

from instructor.describing import refuse, refuse_choice
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
    """What the code inside of one ``with cache_mode(...)`` or ``with use_cache(...)`` sees.

    Attributes:
        mode: How calls use their cache; None for as they say.
        cache: The store of all calls, in place of their clients' own; None for those.
        rules: Whether `mode` counts before a call's own.
    """

    __slots__ = ("__weakref__", "cache", "mode", "rules")

    def __init__(self, mode: CacheMode | None, cache: object = None, *, rules: bool = False) -> None:
        self.mode = mode
        self.cache = cache
        self.rules = rules


_block: ContextVar[_Block | None] = ContextVar("instructor_cache_mode", default=None)
_everywhere: Final[list[_Block]] = []
"""The blocks that hold for the whole process, the innermost last."""

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
    outer, own = _find_block(), read_mode(mode)
    block = _Block(own)
    if outer is not None and outer.cache is not None:
        block = _Block(outer.mode if outer.rules else own, outer.cache, rules=outer.rules)
    with _enter(block):
        yield


@contextmanager
def use_cache(cache: object, mode: ModeName | None = None, *, everywhere: bool = False) -> Generator[None]:
    """Let all calls in a block use one cache, in place of the ones that their clients were made with.

    It holds for every client, made before or in the block, as `cache_mode` does. A call with a ``cache=`` of its own
    keeps that. The caches of decorated functions stay as they are.

    Args:
        cache: The store, or a list of stores.
        mode: How the calls use it, whatever they say themselves; see `cache_mode`. Default: as they say.
        everywhere: Whether it holds for the whole process: in other threads too, and in tasks that began before. One
            block of a process may say so at a time. Default: False.

    Raises:
        ArgumentError: There is no such mode. A call raises it for what isn't a store.

    Example:
        >>> import instructor
        >>> from instructor.cache import CassetteCache
        >>> with instructor.use_cache(CassetteCache("tests/cassettes/users.jsonl"), mode="replay"):
        ...     client.create(response_model=User, messages=messages)
        Traceback (most recent call last):
        instructor.exceptions.CacheMiss: ...
    """
    if cache is None:
        raise refuse("cache", cache, "a store, such as CassetteCache('tests/cassettes/users.jsonl')")
    block = _Block(None if mode is None else read_mode(mode), cache, rules=mode is not None)
    with _enter_everywhere(block) if everywhere else _enter(block):
        yield


@contextmanager
def _enter(block: _Block) -> Generator[None]:
    active.add(weakref.ref(block, active.discard))
    token = _block.set(block)
    try:
        yield
    finally:
        _block.reset(token)


@contextmanager
def _enter_everywhere(block: _Block) -> Generator[None]:
    active.add(weakref.ref(block, active.discard))
    _everywhere.append(block)
    try:
        yield
    finally:
        _everywhere.remove(block)


def _find_block() -> _Block | None:
    """The block that counts here."""
    return _block.get() or (_everywhere[-1] if _everywhere else None)


def read_mode(mode: object, name: str = "cache_mode") -> CacheMode:
    """Return the mode of a name."""
    if not isinstance(mode, str) or mode not in MODES:
        raise refuse_choice(name, mode, MODES)
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
    block = _find_block() if active else None
    return None if block is None else block.mode


def mode_of_call(own: object) -> CacheMode | None:
    """The mode that a call and the blocks around it ask for, where `own` is what the call says; None for neither."""
    block = _find_block() if active else None
    mode = None if own is None else read_mode(own)
    return mode if block is None or (mode is not None and not block.rules) else block.mode


def cache_of_block() -> object:
    """The store that the innermost block around this code names; None for none."""
    block = _find_block() if active else None
    return None if block is None else block.cache


def is_overruled(mode: object) -> bool:
    """Whether a block keeps a call, whose own mode this is, from being served what is stored."""
    block = _find_block()
    if block is None:
        return False
    return block.cache is not None or (mode is None and block.mode is not None and not block.mode.looks)

"""Groups under way on an engine: how many there may be, which one is next, and what becomes of one that was lost."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from instructor.engines.opening import Engine, Pending
from instructor.exceptions import EngineError
from instructor.messages import Value

R = TypeVar("R")

_MOST_LOSSES = 3
"""How often a group may be lost. The rows of one whose worker died are in the cache as far as they were answered."""
_GROUPS_PER_SLOT = 2
"""So that a worker which has finished a group finds the next one at hand."""
_HELD_PER_SLOT = 6
"""Groups that may wait for an earlier one to be finished."""

_BEAT = 0.5
"""Seconds after which a wait begins anew: a signal that comes just before one begins doesn't interrupt it."""


class Group(Generic[R]):
    """A group that was handed over.

    Attributes:
        start: The index of its first row.
        arguments: What the work is done with: the rows first.
    """

    __slots__ = ("arguments", "is_done", "losses", "pending", "result", "start")

    def __init__(self, start: int, arguments: tuple[Value, ...]) -> None:
        self.start = start
        self.arguments = arguments
        self.losses = 0
        self.is_done = False
        self.result: R | None = None
        self.pending: Value = None


class Groups(Generic[R]):
    """The groups of one job. Only one thread at a time may use it.

    `work` is done with the arguments of a group, on the engine. `give_back` hears of a group that was lost, and returns
    the arguments with which it is handed over again.
    """

    def __init__(
        self,
        engine: Engine,
        work: Callable[..., R],
        *,
        ordered: bool,
        give_back: Callable[[tuple[Value, ...]], tuple[Value, ...]],
    ) -> None:
        self._engine = engine
        self._work = work
        self._ordered = ordered
        self._give_back = give_back
        self._held: deque[Group[R]] = deque()
        self._under_way = 0
        self._finished: SimpleQueue[tuple[Group[R], Pending[R]] | None] = SimpleQueue()
        self.slots = 1
        self._is_warned = False

    @property
    def wants_group(self) -> bool:
        """Whether to hand over another group."""
        return self._under_way < self.slots * _GROUPS_PER_SLOT and len(self._held) < self.slots * _HELD_PER_SLOT

    def count_slots(self) -> None:
        """Ask the engine how many groups its workers do at once: a cluster grows and shrinks."""
        slots = self._reach(self._engine.count_slots)
        self.slots = max(1, slots)
        self._is_warned = self._is_warned and not slots

    def submit(self, start: int, *arguments: Value) -> None:
        """Hand a group over."""
        group: Group[R] = Group(start, arguments)
        self._held.append(group)
        self._under_way += 1
        self._hand_over(group)

    def take(self) -> Group[R] | None:
        """Wait for the group whose turn it is; None if there is none, or `wake` was called."""
        while self._held:
            ready = self._find_done()
            if ready is not None:
                self._held.remove(ready)
                return ready
            try:
                finished = self._finished.get(timeout=_BEAT)
            except Empty:
                self._warn_without_workers()
                continue
            if finished is None:
                return None
            self._finish(*finished)
        return None

    def wake(self) -> None:
        """End the waiting of `take`, from any thread."""
        self._finished.put(None)

    def close(self, *, wait: bool = True) -> list[Group[R]]:
        """Hand nothing more over, and return the groups that weren't taken.

        What workers have begun is waited for, for as long as there are workers. Where an engine doesn't tell what that is,
        it is as many groups as there are slots, the oldest first.
        """
        groups, self._held = list(self._held), deque()
        self._await(set())  # what is done already takes no slot
        left = [group for group in groups if not group.is_done]
        begun = set(left[: self._count_now()] if wait and not self._engine.tells_begun else ())
        for group in reversed(left):
            if group not in begun and _cancel(group) is False and wait:
                begun.add(group)
        for group in self._await(begun):
            _cancel(group)
        return groups

    def _await(self, waiting: set[Group[R]]) -> set[Group[R]]:
        """Take the results of groups, and of others that are there; return those that nobody works on any more."""
        while True:
            patience = _BEAT if waiting and self._count_now() else 0.0
            try:
                finished = self._finished.get(timeout=patience)
            except Empty:
                if not patience:
                    return waiting
                continue
            if finished is not None:
                waiting.discard(finished[0])
                finished[0].is_done = True
                with suppress(Exception, CancelledError):  # nobody asks for its rows any more
                    finished[0].result = finished[1].result()

    def _count_now(self) -> int:
        """How many slots there are at this moment: 0 without workers, and where the engine is gone."""
        with suppress(Exception):
            return self._engine.count_slots()
        return 0

    def _warn_without_workers(self) -> None:
        """Say once why nothing comes. How long to wait for workers is for who runs the cluster to decide."""
        if not self._is_warned and not self._count_now():
            self._is_warned = True
            logging.getLogger("instructor").warning(
                "The engine has no workers, so %d groups of rows wait for some. Start workers, or end the job.",
                self._under_way,
            )

    def _find_done(self) -> Group[R] | None:
        candidates = list(self._held)[:1] if self._ordered else self._held
        return next((group for group in candidates if group.is_done), None)

    def _hand_over(self, group: Group[R]) -> None:
        pending = group.pending = self._reach(self._engine.submit, self._work, *group.arguments)
        pending.add_done_callback(partial(self._note, group))

    def _note(self, group: Group[R], pending: Pending[R]) -> None:
        self._finished.put((group, pending))

    def _finish(self, group: Group[R], pending: Pending[R]) -> None:
        try:
            group.result = pending.result()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return self._lose(group, error)
        group.is_done = True
        self._under_way -= 1
        return None

    def _lose(self, group: Group[R], error: BaseException) -> None:
        """Hand a group over again: its worker died, or the engine ended it."""
        group.losses += 1
        group.arguments = self._give_back(group.arguments)
        if group.losses >= _MOST_LOSSES:
            raise _make_error(f"lost the same rows {group.losses} times", error) from error
        self._hand_over(group)

    def _reach(self, function: Callable[..., Value], *arguments: Value) -> Value:
        try:
            return function(*arguments)
        except Exception as error:
            raise _make_error("can't be reached", error) from error


def _cancel(group: Group[Value]) -> object:
    """Take a group back; False if it has begun, as far as its engine says so."""
    with suppress(Exception):  # of an engine that is gone
        return group.pending.cancel()
    return None


def _make_error(what: str, error: BaseException) -> EngineError:
    return EngineError(
        f"The engine {what}: {type(error).__name__}: {error}. What was answered is in the cache. Look into the engine's "
        "log, then run the job again: it asks only about the rows that are missing."
    )

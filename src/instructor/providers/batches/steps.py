"""The conversation of a batch, written once as a generator of things to do, and its two small drivers.

A step is a function without arguments: of a synchronous client it returns a result, of an asynchronous one an awaitable.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Out(Generic[T]):
    """Something for whoever takes the values of a conversation."""

    value: T


Steps: TypeAlias = Generator["Callable[[], object] | Out[Any]", Any, T]


def run(steps: Steps[T]) -> T:
    """Do all steps, blocking, and return what the conversation returns."""
    try:
        return _proceed(steps)  # type: ignore[return-value] # one that shows nothing
    finally:
        steps.close()


async def run_async(steps: Steps[T]) -> T:
    """As `run`, awaiting."""
    try:
        return await _proceed_async(steps)  # type: ignore[return-value] # as above
    finally:
        steps.close()


def show(steps: Steps[None]) -> Iterator[Any]:
    """Do all steps, blocking, and yield what the conversation shows."""
    try:
        while (found := _proceed(steps)) is not None:
            yield found.value
    finally:
        steps.close()


async def show_async(steps: Steps[None]) -> AsyncIterator[Any]:
    """As `show`, awaiting."""
    try:
        while (found := await _proceed_async(steps)) is not None:
            yield found.value
    finally:
        steps.close()


def _proceed(steps: Steps[T]) -> Out[Any] | T:
    """Do steps until something is to be shown, or until the end."""
    step = partial(next, steps)
    while True:
        try:
            effect = step()
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        if isinstance(effect, Out):
            return cast("Out[Any]", effect)
        try:
            result = effect()
        except Exception as error:  # noqa: BLE001 - whatever it is, the conversation judges it
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, result)


async def _proceed_async(steps: Steps[T]) -> Out[Any] | T:
    step = partial(next, steps)
    while True:
        try:
            effect = step()
        except StopIteration as stop:
            ended: T = stop.value
            return ended
        if isinstance(effect, Out):
            return cast("Out[Any]", effect)
        try:
            result = effect()
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # noqa: BLE001 - as above
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, result)


def feed(source: Steps[None], take: Callable[[Any], Steps[bool]]) -> Steps[None]:
    """Hand each value that a conversation shows to `take`, until that returns True."""
    step = partial(next, source)
    try:
        while True:
            try:
                effect = step()
            except StopIteration:
                return
            if isinstance(effect, Out):
                if (yield from take(cast("Out[Any]", effect).value)):
                    return
                step = partial(next, source)
                continue
            try:
                reply = yield effect
            except Exception as error:  # noqa: BLE001 - it is the conversation's to judge
                step = partial(source.throw, error)
            else:
                step = partial(source.send, reply)
    finally:
        source.close()


def first(source: Steps[None], wanted: Callable[[Any], bool]) -> Steps[Any]:
    """The first value that a conversation shows and that is wanted; None where there is none."""
    found: list[Any] = []

    def take(value: Any) -> Steps[bool]:
        yield from ()
        if wanted(value):
            found.append(value)
        return bool(found)

    yield from feed(source, take)
    return found[0] if found else None

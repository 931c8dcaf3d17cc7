"""The two drivers: they perform a flow's effects, one by blocking, one by awaiting. Neither decides anything."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_never

from instructor.cache.flight import Flight, Lease
from instructor.engine.effects import (
    AwaitLease,
    Check,
    Claim,
    Effect,
    Emit,
    Fetch,
    Flow,
    Next,
    Open,
    Post,
    Prepare,
    Read,
    ReadGenerations,
    Reserve,
    Send,
    Show,
    Sleep,
    Spawn,
    TakeLease,
    Wait,
    Write,
)
from instructor.event_loop import running_loop
from instructor.exceptions import ConfigurationError
from instructor.interpreter_queue import waiting
from instructor.messages import Request

if TYPE_CHECKING:
    from instructor.media.frozen import FrozenMedium

T = TypeVar("T")

NO_LOOP = (
    "AsyncInstructor runs under asyncio only, and no asyncio event loop is running here. Under trio, use the "
    "synchronous client in a worker thread: trio.to_thread.run_sync(...)."
)
_WAITS = frozenset({Send, Wait, AwaitLease, Sleep, Reserve, Check, Fetch})
"""Effects for which a thread waits for something else than the interpreter. What a store waits for it knows itself."""

_STREAMS_ONLY = "performed by engine/drive_stream.py"


class Sender(Protocol):
    """Whom a flow asks: a provider's adapter, or a user's function.

    One with an attribute ``leaves_queue`` that is true leaves the queue for the interpreter by itself where it waits.
    """

    def prepare(self) -> Any:
        """Get ready for the first request; return None, or an awaitable for `drive_async`."""
        ...

    def send(self, operation: str, request: Request) -> Any:
        """Return the answer, or an awaitable of it for `drive_async`."""
        ...


def drive(flow: Flow[T], sender: Sender) -> T:
    """Run a flow in this thread."""
    leases: list[Lease[Any]] = []
    try:
        effect = next(flow)
        while True:
            try:
                result = perform(effect, sender, leases)
            except Exception as error:  # noqa: BLE001 - whatever an effect raises is the flow's to judge
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except BaseException as error:
        end(leases, error)
        raise
    finally:
        flow.close()
        end(leases)


async def drive_async(flow: Flow[T], sender: Sender) -> T:
    """Run a flow in this task."""
    if running_loop() is None:
        flow.close()
        raise ConfigurationError(NO_LOOP)
    leases: list[Lease[Any]] = []
    try:
        effect = next(flow)
        while True:
            try:
                result = await perform_async(effect, sender, leases)
            except Exception as error:  # noqa: BLE001 - whatever an effect raises is the flow's to judge
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value
    except BaseException as error:
        end(leases, None if is_cancellation(error) else error)
        raise
    finally:
        flow.close()
        end(leases)


def perform(effect: Effect, sender: Sender, leases: list[Lease[Any]]) -> Any:
    """Perform one effect in this thread, which leaves its queue for those that take long."""
    kind = type(effect)
    if kind not in _WAITS or (kind is Send and getattr(sender, "leaves_queue", False)):
        return _perform(effect, sender, leases)
    with waiting:
        return _perform(effect, sender, leases)


def _perform(effect: Effect, sender: Sender, leases: list[Lease[Any]]) -> Any:  # noqa: C901, PLR0911, PLR0912 - one for each effect
    match effect:
        case Read(handle, key):
            return handle.read(key)
        case Send():
            return send(effect, sender)
        case Write(handle, key, text, ttl, held):
            return handle.write(key, text, ttl, held)
        case ReadGenerations(handle, tags):
            return handle.generations(tags)
        case Post(handle):
            return handle.post()
        case Claim(flights, key, source, past):
            return note(flights.claim(key, source, past), leases)
        case Wait(flight, seconds):
            return flight.wait(seconds)
        case TakeLease(handle, key, flight):
            return handle.lease(key, flight)
        case AwaitLease(handle, key, holder, seconds):
            return handle.leases.wait(key, holder, seconds)
        case Emit(hooks, name, arguments, details):
            return hooks.emit(name, *arguments, **details)
        case Prepare():
            return sender.prepare()
        case Sleep(seconds):
            return time.sleep(seconds)
        case Reserve(reservation):
            return reservation.wait()
        case Check(validate):
            return run_coroutine(validate())
        case Spawn(background, flow, done):
            return background.start(flow, sender, done)
        case Open() | Next() | Show():
            raise AssertionError(_STREAMS_ONLY)
        case Fetch():
            return fetch_media(effect)
        case _:
            assert_never(effect)


async def perform_async(effect: Effect, sender: Sender, leases: list[Lease[Any]]) -> Any:  # noqa: C901, PLR0911, PLR0912 - as above
    """Perform one effect in this task."""
    match effect:
        case Read(handle, key):
            return await handle.read_async(key)
        case Send():
            return await send(effect, sender)
        case Write(handle, key, text, ttl, held):
            return await handle.write_async(key, text, ttl, held)
        case ReadGenerations(handle, tags):
            return await handle.generations_async(tags)
        case Post(handle):
            return await handle.post_async()
        case Claim(flights, key, source, past):
            return note(flights.claim(key, source, past), leases)
        case Wait(flight, seconds):
            return await flight.wait_async(seconds)
        case TakeLease(handle, key, flight):
            return await handle.lease_async(key, flight)
        case AwaitLease(handle, key, holder, seconds):
            return await handle.leases.wait_async(key, holder, seconds)
        case Emit(hooks, name, arguments, details):
            return await hooks.emit_async(name, *arguments, **details)
        case Prepare():
            return await sender.prepare()
        case Sleep(seconds):
            import asyncio

            return await asyncio.sleep(seconds)
        case Reserve(reservation):
            return await reservation.wait_async()
        case Check(validate):
            return await validate()
        case Spawn(background, flow, done):
            return background.start_async(flow, sender, done)
        case Open() | Next() | Show():
            raise AssertionError(_STREAMS_ONLY)
        case Fetch():
            return await fetch_media_async(effect)
        case _:
            assert_never(effect)


def send(effect: Send | Open, sender: Sender) -> Any:
    """Send a request, within its limit if it has one and the sender knows limits."""
    limit = effect.limit
    if type(effect) is Send and effect.for_data:
        for_data: Any = getattr(sender, "send_for_data", None)
        if for_data is not None:
            return for_data(effect.operation, effect.request, limit)
    within: Any = getattr(sender, "send_once", None) if limit is not None else None
    if limit is None or within is None:
        return sender.send(effect.operation, effect.request)
    noting: Any = getattr(sender, "send_noting", None) if limit.note is not None else None
    if noting is not None:
        return noting(effect.operation, effect.request, limit.seconds, limit.note)
    return within(effect.operation, effect.request, limit.seconds)


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in an event loop of its own; in another thread where one runs in this already."""
    import asyncio

    if running_loop() is None:
        return asyncio.run(coroutine)
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "instructor-validators") as threads:
        return threads.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()


def fetch_media(effect: Fetch) -> list[FrozenMedium]:
    """Fetch media in this thread; what that takes is imported when it is needed."""
    from instructor.media.conversation import load_media

    return load_media(effect.media, effect.policy, effect.deadline)


async def fetch_media_async(effect: Fetch) -> list[FrozenMedium]:
    """Fetch media in a thread, which is left behind if the task is cancelled."""
    import asyncio

    from instructor.daemon import start_daemon

    return await asyncio.wrap_future(start_daemon(partial(fetch_media, effect)))


def note(claimed: Lease[Any] | Flight[Any], leases: list[Lease[Any]]) -> Lease[Any] | Flight[Any]:
    """Remember a lease, so that it ends with the flow."""
    if isinstance(claimed, Lease):
        leases.append(claimed)
    return claimed


def end(leases: list[Lease[Any]], error: BaseException | None = None) -> None:
    """End the leases that a flow took: with its answer, with its error, or handed over if it was cancelled."""
    while leases:
        leases.pop().end(error)


def is_cancellation(error: BaseException) -> bool:
    """Whether somebody cancelled this task, or closed its coroutine. Then another call may well succeed in its place.

    A ``CancelledError`` that nobody asked this task for comes from inside, such as from a task that an SDK lost. It is
    a failure like any other, and may meet every caller.
    """
    if isinstance(error, GeneratorExit) or running_loop() is None:
        return True
    import asyncio

    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task is not None and task.cancelling() > 0

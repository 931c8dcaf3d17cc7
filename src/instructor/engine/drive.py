"""The two drivers: they perform a flow's effects, one by blocking, one by awaiting."""

from __future__ import annotations

import time
from typing import Any, Protocol, TypeVar, assert_never

from instructor.cache.flight import Landed
from instructor.engine.effects import Claim, Effect, Emit, Flow, Lease, Read, Send, Sleep, Write
from instructor.messages import Request

T = TypeVar("T")


class Sender(Protocol):
    """Whom a flow asks: a provider's adapter, or a user's function."""

    def send(self, operation: str, request: Request) -> Any:
        """Return the answer, or an awaitable of it for `drive_async`."""
        ...


def drive(flow: Flow[T], sender: Sender) -> T:
    """Run a flow in this thread."""
    leases: list[Lease] = []
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
        end(leases)
        value: T = stop.value
        return value
    except Exception as error:
        end(leases, error)
        raise
    finally:
        flow.close()
        end(leases)


async def drive_async(flow: Flow[T], sender: Sender) -> T:
    """Run a flow in this task."""
    leases: list[Lease] = []
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
        end(leases)
        value: T = stop.value
        return value
    except Exception as error:
        end(leases, error)
        raise
    finally:
        flow.close()
        end(leases)


def perform(effect: Effect, sender: Sender, leases: list[Lease]) -> Any:
    """Perform one effect in this thread."""
    match effect:
        case Read(handle, key):
            return handle.read(key)
        case Send(operation, request):
            return sender.send(operation, request)
        case Write(handle, key, text, ttl):
            return handle.write(key, text, ttl)
        case Claim(handle, key):
            return claim(effect, leases)
        case Emit(hooks, name, arguments, details):
            return hooks.emit(name, *arguments, **details)
        case Sleep(seconds):
            return time.sleep(seconds)
        case _:
            assert_never(effect)


async def perform_async(effect: Effect, sender: Sender, leases: list[Lease]) -> Any:
    """Perform one effect in this task."""
    match effect:
        case Read(handle, key):
            return await handle.read_async(key)
        case Send(operation, request):
            return await sender.send(operation, request)
        case Write(handle, key, text, ttl):
            return await handle.write_async(key, text, ttl)
        case Claim(handle, key):
            return await claim_async(effect, leases)
        case Emit(hooks, name, arguments, details):
            return await hooks.emit_async(name, *arguments, **details)
        case Sleep(seconds):
            import asyncio

            return await asyncio.sleep(seconds)
        case _:
            assert_never(effect)


def claim(effect: Claim, leases: list[Lease]) -> Lease | Landed | None:
    """Lead a flight, or wait until one lands with what this call shares."""
    while True:
        flight, leads = effect.handle.flights.claim(effect.key)
        if leads:
            leases.append(Lease(flight, effect.source))
            return leases[-1]
        landed = flight.wait() if flight.can_wait(asynchronous=False) else None
        if landed is None or is_shared(landed, effect):
            return landed


async def claim_async(effect: Claim, leases: list[Lease]) -> Lease | Landed | None:
    """As `claim`."""
    while True:
        flight, leads = effect.handle.flights.claim(effect.key)
        if leads:
            leases.append(Lease(flight, effect.source))
            return leases[-1]
        landed = await flight.wait_async() if flight.can_wait(asynchronous=True) else None
        if landed is None or is_shared(landed, effect):
            return landed


def is_shared(landed: Landed, effect: Claim) -> bool:
    """Whether a call takes part in how a flight ended, rather than claiming the key anew."""
    return landed.value is not None or (landed.error is not None and landed.source == effect.source)


def end(leases: list[Lease], error: Exception | None = None) -> None:
    """Land the flights that a flow led: with its answer, with its error, or handed over if it was cancelled."""
    while leases:
        lease = leases.pop()
        lease.flight.land(lease.reply, None if lease.reply is not None else error, source=lease.source)

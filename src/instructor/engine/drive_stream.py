"""The two drivers for flows that hand out values before they end, as a generator and an asynchronous one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Any

from instructor.cache.flight import Lease
from instructor.engine.drive import NO_LOOP, Sender, end, perform, perform_async, send
from instructor.engine.effects import Effect, Flow, Next, Open, Show
from instructor.engine.open_stream import OpenStream
from instructor.event_loop import running_loop
from instructor.exceptions import ConfigurationError
from instructor.messages import Value


def drive_stream(flow: Flow[None], sender: Sender) -> Generator[Value, None, None]:
    """Run a flow in whatever thread asks for its next value.

    A caller that leaves early closes the generator, and with it the flow and the connection: the answer isn't whole,
    so nothing is stored, and one of those who wait for it leads next.
    """
    leases: list[Lease[Value]] = []
    streams: list[OpenStream] = []
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Show):
                rest(leases)
                yield effect.value
                resume(leases)
                effect = flow.send(None)
                continue
            try:
                # `Next` is what comes for each chunk.
                result = effect.stream.next() if type(effect) is Next else _perform(effect, sender, leases, streams)
            except Exception as error:  # noqa: BLE001 - whatever an effect raises is the flow's to judge
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration:
        return
    except Exception as error:
        end(leases, failure_of(flow, error))
        raise
    finally:
        flow.close()
        end(leases)
        for stream in streams:
            stream.close()


async def drive_stream_async(flow: Flow[None], sender: Sender) -> AsyncGenerator[Value, None]:
    """As `drive_stream`, in whatever task asks for the next value."""
    if running_loop() is None:
        flow.close()
        raise ConfigurationError(NO_LOOP)
    leases: list[Lease[Value]] = []
    streams: list[OpenStream] = []
    try:
        effect = next(flow)
        while True:
            if isinstance(effect, Show):
                rest(leases)
                yield effect.value
                resume(leases)
                effect = flow.send(None)
                continue
            try:
                if type(effect) is Next:
                    result = await effect.stream.next_async()
                else:
                    result = await _perform_async(effect, sender, leases, streams)
            except Exception as error:  # noqa: BLE001 - whatever an effect raises is the flow's to judge
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration:
        return
    except Exception as error:
        end(leases, failure_of(flow, error))
        raise
    finally:
        flow.close()
        end(leases)
        for stream in streams:
            await stream.close_async()


def open_stream(stream: Any, sender: Sender) -> OpenStream:
    """Open what a sender returned, in the sender's own way if it has one."""
    read: Any = getattr(sender, "read_stream", None)
    return OpenStream(stream if read is None else read(stream))


def failure_of(flow: Flow[None], error: Exception) -> Exception | None:
    """The error by which a flow ended; None for one that the caller threw into the stream, and so left it."""
    return error if getgeneratorstate(flow) == GEN_CLOSED else None


def rest(leases: list[Lease[Value]]) -> None:
    """Note that the flights led here go on only when the caller asks for the next value."""
    for lease in leases:
        lease.flight.rest()


def resume(leases: list[Lease[Value]]) -> None:
    """Note that they go on."""
    for lease in leases:
        lease.flight.resume()


def _perform(effect: Effect, sender: Sender, leases: list[Lease[Value]], streams: list[OpenStream]) -> Value:
    if isinstance(effect, Open):
        while streams:  # that of an attempt that failed
            streams.pop().close()
        streams.append(open_stream(send(effect, sender), sender))
        return streams[-1]
    return perform(effect, sender, leases)


async def _perform_async(
    effect: Effect, sender: Sender, leases: list[Lease[Value]], streams: list[OpenStream]
) -> Value:
    if isinstance(effect, Open):
        while streams:
            await streams.pop().close_async()
        streams.append(open_stream(await send(effect, sender), sender))
        return streams[-1]
    return await perform_async(effect, sender, leases)

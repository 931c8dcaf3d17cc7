"""What a flow may ask of the world. The list is closed: each driver performs exactly these.

A flow is a generator that yields effects and is sent their results. Each effect is iterable and yields itself, so
that ``data = yield from Read(handle, key)`` gives ``data`` its exact type.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from instructor.cache.flight import Flight, Flights, Landed, Lease
    from instructor.cache.handle import StoreHandle
    from instructor.engine.open_stream import OpenStream
    from instructor.hooks import HookName, Hooks
    from instructor.messages import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read:
    """Read a store. The result is what it returned; `CacheError` is raised in the flow if it failed."""

    handle: StoreHandle
    key: str

    def __iter__(self) -> Generator[Effect, Any, Any]:
        result: Any = yield self
        return result


@dataclass(frozen=True, slots=True)
class Write:
    """Write to a store. The result is whether it was written; `CacheError` is raised in the flow if it failed."""

    handle: StoreHandle
    key: str
    text: str
    ttl: float | None

    def __iter__(self) -> Generator[Effect, Any, bool]:
        result: bool = yield self
        return result


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """Lead the flight of a key. The result is a `Lease` for the leader, and the flight to wait for otherwise.

    The driver ends a lease when its flow ends, however that ends.

    Attributes:
        flights: The calls under way.
        key: The key.
        source: See `Lease.source`.
        past: A flight that landed without an answer that this call can use; it isn't joined again.
    """

    flights: Flights[T]
    key: str
    source: object = None
    past: Flight[T] | None = None

    def __iter__(self) -> Generator[Effect, Any, Lease[T] | Flight[T]]:
        result: Lease[T] | Flight[T] = yield self
        return result


@dataclass(frozen=True, slots=True)
class Wait(Generic[T]):
    """Wait for another call's flight. The result is how it ended; None if this call should go on alone.

    Attributes:
        flight: The flight.
        seconds: How long to wait at most; None for as long as its leader can land.
    """

    flight: Flight[T]
    seconds: float | None = None

    def __iter__(self) -> Generator[Effect, Any, Landed[T] | None]:
        result: Landed[T] | None = yield self
        return result


@dataclass(frozen=True, slots=True)
class Prepare:
    """Let the sender do what it does once, before its first request: import an SDK, make a client."""

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


class Limit(NamedTuple):
    """That a request is sent once, without the SDK's own retries.

    Attributes:
        seconds: The longest timeout that it may have; None for what it has.
    """

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Call the provider, or the decorated function. The result is the SDK's completion, or what the function returned.

    The SDK's or the function's error is raised in the flow.
    """

    operation: str
    request: Request
    limit: Limit | None = None

    def __iter__(self) -> Generator[Effect, Any, Any]:
        result: Any = yield self
        return result


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request whose answer is streamed. The result is the stream, which the driver closes with the flow."""

    operation: str
    request: Request
    limit: Limit | None = None

    def __iter__(self) -> Generator[Effect, Any, OpenStream]:
        result: OpenStream = yield self
        return result


@dataclass(frozen=True, slots=True)
class Next:
    """Take the next chunk of a stream. The result is the SDK's object; `END` after the last."""

    stream: OpenStream

    def __iter__(self) -> Generator[Effect, Any, Any]:
        result: Any = yield self
        return result


@dataclass(frozen=True, slots=True)
class Show:
    """Hand a value out to the caller before the flow ends. Only streaming drivers perform it."""

    value: object

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


@dataclass(frozen=True, slots=True)
class Check:
    """Await what judges an answer: its asynchronous validators. What they raise is raised in the flow."""

    validate: Callable[[], Coroutine[Any, Any, None]]

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before the next attempt."""

    seconds: float

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


@dataclass(frozen=True, slots=True)
class Emit:
    """Call the handlers of an event. Nothing that a handler does reaches the flow."""

    hooks: Hooks
    name: HookName
    arguments: tuple[object, ...]
    details: Mapping[str, object]

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


Effect = Read | Write | Claim[Any] | Wait[Any] | Prepare | Send | Open | Next | Show | Check | Sleep | Emit

Flow = Generator[Effect, Any, T]
"""A conversation: it yields effects, is sent their results, and returns a `T`."""

"""What a flow may ask of the world. The list is closed: each driver performs exactly these.

A flow is a generator that yields effects and is sent their results.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from instructor.cache.entry import Generations
from instructor.cache.flight import Flight, Flights, Landed, Lease
from instructor.cache.lease import Ending, HeldLease, Leased
from instructor.records import record

if TYPE_CHECKING:
    from instructor.cache.handle import StoreHandle
    from instructor.engine.background import Background
    from instructor.engine.open_stream import OpenStream
    from instructor.hooks import HookName, Hooks
    from instructor.limits.limiter import Reservation
    from instructor.media.frozen import FrozenMedium
    from instructor.media.policy import FetchPolicy
    from instructor.messages import Request

T = TypeVar("T")
R = TypeVar("R")


class Asking(Generic[R]):
    """Has an `R` as its result. It yields itself, so ``data = yield from Read(handle, key)`` gives ``data`` its type."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect, Any, R]:
        result: R = yield self  # type: ignore[misc]  # pyright: ignore[reportReturnType] - every subclass is in `Effect`
        return result

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and _members_of(other) == _members_of(self)

    def __hash__(self) -> int:
        return hash((type(self), *_members_of(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, _members_of(self)))})"


def _members_of(effect: object) -> tuple[object, ...]:
    return tuple([getattr(effect, name) for name in type(effect).__match_args__])  # type: ignore[attr-defined]  # pyright: ignore - a dataclass has it


@record
class Read(Asking[Any]):
    """Read a store. The result is what it returned; `CacheError` is raised in the flow if it failed."""

    handle: StoreHandle
    key: str


@record
class Write(Asking[bool]):
    """Write to a store. The result is whether it was written; `CacheError` is raised in the flow if it failed.

    Attributes:
        held: The store's lease, which ends with this. If it was lost, the store refuses the write, and that is a failure.
    """

    handle: StoreHandle
    key: str
    text: str
    ttl: float | None
    held: HeldLease | None = None


@record
class ReadGenerations(Asking[Generations]):
    """Read the numbers of a store's invalidations. `CacheError` is raised in the flow if it failed."""

    handle: StoreHandle
    tags: Sequence[str]


@record
class Post(Asking[None]):
    """Enter into a store what was spent and saved. Its failure is counted and reported by the handle, which tries again."""

    handle: StoreHandle


@record
class Claim(Asking[Lease[T] | Flight[T]], Generic[T]):
    """Lead the flight of a key. The result is a `Lease` for the leader, and the flight to wait for otherwise.

    The driver ends a lease when its flow ends, however that ends.

    Attributes:
        source: See `Lease.source`.
        past: A flight that landed without an answer that this call can use; it isn't joined again.
    """

    flights: Flights[T]
    key: str
    source: object = None
    past: Flight[T] | None = None


@record
class Wait(Asking[Landed[T] | None], Generic[T]):
    """Wait for another call's flight. The result is how it ended; None if this call should go on alone.

    Attributes:
        seconds: How long to wait at most; None for as long as its leader can land.
    """

    flight: Flight[T]
    seconds: float | None = None


@record
class TakeLease(Asking[Leased | None]):
    """Take a store's lease for the leader of a flight. The result is that lease, or whose it is; None for no lease.

    `CacheError` is raised in the flow if the store failed.
    """

    handle: StoreHandle
    key: str
    flight: Flight[Any]


@record
class AwaitLease(Asking[Ending | None]):
    """Wait for another process's lease to end. The result is how it ended; None if this call should go on alone.

    Attributes:
        holder: Its token.
        seconds: How long to wait at most; None for as long as it is renewed.
    """

    handle: StoreHandle
    key: str
    holder: str
    seconds: float | None = None


@record
class Prepare(Asking[None]):
    """Let the sender do what it does once, before its first request: import an SDK, make a client."""


@record
class Fetch(Asking[list["FrozenMedium"]]):
    """Fetch media that the provider doesn't fetch itself, until `deadline`. The result is the media with their data.

    `MultimodalError` is raised in the flow if one can't be fetched.
    """

    media: list[FrozenMedium]
    policy: FetchPolicy
    deadline: float | None = None


class Limit(NamedTuple):
    """That a request is sent once, without the SDK's own retries.

    Attributes:
        seconds: The longest timeout that it may have; None for what it has.
        note: Is called with the headers of the response, where the sender sees them.
    """

    seconds: float | None = None
    note: Callable[[Mapping[str, str]], None] | None = None


@record
class Reserve(Asking[float]):
    """Ask a server whether a request may be sent. The result is how many seconds it has to wait; 0 if it may."""

    reservation: Reservation


@record
class Send(Asking[Any]):
    """Call the provider, or the decorated function. The result is the SDK's completion, or what the function returned.

    The SDK's or the function's error is raised in the flow.

    Attributes:
        for_data: Whether a `Received` will do in place of the SDK's completion, from a sender that has one.
    """

    operation: str
    request: Request
    limit: Limit | None = None
    for_data: bool = False


@record
class Open(Asking["OpenStream"]):
    """Send a request whose answer is streamed. The result is the stream, which the driver closes with the flow."""

    operation: str
    request: Request
    limit: Limit | None = None


@record
class Next(Asking[Any]):
    """Take the next chunk of a stream. The result is the SDK's object; `END` after the last."""

    stream: OpenStream


@record
class Show(Asking[None]):
    """Hand a value out to the caller before the flow ends. Only streaming drivers perform it."""

    value: object


@record
class Check(Asking[None]):
    """Await what judges an answer: its asynchronous validators. What they raise is raised in the flow."""

    validate: Callable[[], Coroutine[Any, Any, None]]


@record
class Sleep(Asking[None]):
    """Wait before the next attempt."""

    seconds: float


@record
class Emit(Asking[None]):
    """Call the handlers of an event. Nothing that a handler does reaches the flow."""

    hooks: Hooks
    name: HookName
    arguments: tuple[object, ...]
    details: Mapping[str, object]


@record
class Spawn(Asking[None]):
    """Run another flow in the background, with the same sender.

    Attributes:
        done: Called at its end, with whether all went well.
    """

    background: Background
    flow: Flow[None]
    done: Callable[[bool], None]


Effect = (
    Read | Write | ReadGenerations | Post | Claim[Any] | Wait[Any] | TakeLease | AwaitLease
    | Prepare | Fetch | Reserve | Send | Open | Next | Show | Check | Sleep | Emit | Spawn
)  # fmt: skip

Flow = Generator[Effect, Any, T]
"""A conversation: it yields effects, is sent their results, and returns a `T`."""

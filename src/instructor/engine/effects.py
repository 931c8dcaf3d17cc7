"""What a flow is given, what it may ask of the world, and what it returns.

The list of effects is closed: each driver performs exactly these.

A flow is a generator that yields effects and is sent their results. Each effect is iterable and yields itself, so
that ``found = yield from Read(handle, key)`` gives ``found`` its exact type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from instructor.messages import Messages, Request

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.cache.flight import Flight, Landed
    from instructor.cache.handle import StoreHandle
    from instructor.engine.client_stats import ClientStats
    from instructor.engine.plan import Plan
    from instructor.engine.retry import RetryPolicy
    from instructor.hooks import HookName, Hooks
    from instructor.providers.adapter import Adapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read:
    """Read a store. The result is what it returned; `CacheError` is raised in the flow if it failed."""

    handle: StoreHandle
    key: str

    def __iter__(self) -> Generator[Effect, Any, str | bytes | None]:
        result: str | bytes | None = yield self
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
class Claim:
    """Join the flight of a key, waiting for it to land, or lead it.

    The result is a `Lease` for the leader, how the flight ended for who waited, and None for who goes on alone.
    The driver ends a lease when its flow ends, however it ends. A flight that was handed over, or that ended with
    an error of another `source`, is claimed again.

    Attributes:
        handle: The store.
        key: The key.
        source: Whose errors this call shares: who asks with other credentials, patience or validators may succeed.
    """

    handle: StoreHandle
    key: str
    source: Any = None

    def __iter__(self) -> Generator[Effect, Any, Lease | Landed | None]:
        result: Lease | Landed | None = yield self
        return result


@dataclass(frozen=True, slots=True)
class Send:
    """Ask whom the flow is driven for. The result is the SDK's completion, or what a user's function returned.

    The SDK's or the function's error is raised in the flow.
    """

    operation: str
    request: Request

    def __iter__(self) -> Generator[Effect, Any, Any]:
        result: Any = yield self
        return result


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before the next attempt."""

    seconds: float

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


@dataclass(frozen=True, slots=True)
class Emit:
    """Emit the hooks of an event. Nothing that a handler does reaches the flow."""

    hooks: Hooks
    name: HookName
    arguments: tuple[Any, ...]
    details: dict[str, Any]

    def __iter__(self) -> Generator[Effect, Any, None]:
        yield self


Effect = Read | Write | Claim | Send | Sleep | Emit


class Reply(NamedTuple):
    """What a flow returns.

    Attributes:
        value: The caller's own copy of the answer.
        entry: The answer as it was stored, or could have been; None for a call without a cache.
        completion: The SDK's completion of a live call; None on a hit, whose entry holds it as text.
        flaw: Why a raw completion must not be stored; None where it may.
    """

    value: Any
    entry: Entry | None
    completion: Any = None
    flaw: str | None = None


@dataclass(slots=True)
class Lease:
    """The right to ask for a key while others wait.

    Attributes:
        flight: What the others wait for.
        source: As in `Claim`.
        reply: The valid answer, as soon as it is there: who waits gets it even if its leader is cancelled then.
    """

    flight: Flight
    source: Any = None
    reply: Reply | None = None


class Call(NamedTuple):
    """One call, with everything that the user's keywords and the client's settings decide.

    A tuple, because one is made on the way of every hit that is not in memory, and a frozen dataclass of this
    size takes four times as long to make.

    Attributes:
        plan: The response model, on a wire, in a mode.
        adapter: Whom to ask.
        model: The model's name.
        messages: The conversation, its templates filled.
        arguments: What else the user said, in the SDK's keywords.
        response_model: What the user passed, for events.
        context: For validators.
        strict: Whether validation is strict.
        retries: When to ask again.
        token_budget: The most tokens that may be spent before another attempt; None for no limit.
        hooks: The client's and the call's.
        stats: The client's counters.
        handle: The store; None for a call without a cache.
        key: The key; None where the call cannot be cached.
        bypass: Why it cannot, where a store was given.
        ttl: Seconds for which the answer may be served; None for ever, 0 to store nothing.
        clock: Unix time in seconds.
    """

    plan: Plan
    adapter: Adapter
    model: str
    messages: Messages
    arguments: Mapping[str, Any]
    response_model: Any
    retries: RetryPolicy
    hooks: Hooks
    stats: ClientStats
    context: Mapping[str, Any] | None = None
    strict: bool = True
    token_budget: int | None = None
    handle: StoreHandle | None = None
    key: str | None = None
    bypass: str | None = None
    ttl: float | None = None
    clock: Callable[[], float] = time.time


Flow = Generator[Effect, Any, T]

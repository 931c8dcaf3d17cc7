"""An answer with where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from instructor.engine.call import Live
from instructor.engine.question import serve
from instructor.engine.tier_lookup import Served, Source
from instructor.messages import Completion
from instructor.received import object_of
from instructor.usage import Usage

if TYPE_CHECKING:
    from instructor.cache.entry import Entry
    from instructor.engine.call import Call
    from instructor.engine.effects import Flow

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Reply(Generic[T]):
    """An answer, and where it came from. Returned by `Instructor.create_with_reply`.

    Attributes:
        value: What `create` returns.
        cached: Whether no request was made for it: it came from a store, or from an identical call under way.
        shared: Whether it came from an identical call under way.
        stale: Whether it is served though it isn't fresh any more; see ``stale_while_revalidate`` and
            ``stale_if_error``.
        compatible: Whether it was stored for another schema of the response model; see ``schema_match``.
        age: Seconds since it was asked for, for an answer from a store; None otherwise.
        tier: The class name of the store that had it; None if no store had.
        provider: The vendor.
        model: The model that was asked.
        answered_by: The model that answered, by its own word: an alias or a router may lead to another than was asked.
        usage: The tokens of the requests that it took, all attempts together. For a cached one they are saved.
        seconds: How long these requests took.
        attempts: How many they were.
        key: The call's key in the cache; None for a call that isn't cached.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> messages = [{"role": "user", "content": "Anna is 25."}]
        >>> replies = [client.create_with_reply(response_model=User, messages=messages) for _ in range(2)]
        >>> [(reply.value.name, reply.cached, reply.tier) for reply in replies]
        [('Anna', False, None), ('Anna', True, 'AutoCache')]
    """

    value: T
    cached: bool
    shared: bool
    stale: bool
    compatible: bool
    age: float | None
    tier: str | None
    provider: str
    model: str
    answered_by: str
    usage: Usage
    seconds: float
    attempts: int
    key: str | None
    _load: Callable[[], Completion] = field(compare=False)

    @cached_property
    def completion(self) -> Completion:
        """The SDK's completion; that of a cached answer is made again when it is first read, as on any hit."""
        return self._load()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"Reply({shown})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        """What `repr`, the library ``rich`` and notebooks show: nothing that would have to be loaded."""
        yield "value", self.value
        yield "model", f"{self.provider}/{self.model}"
        yield "cached", self.cached
        if self.tier is not None:
            yield "tier", self.tier
        if self.age is not None:
            yield "age", round(self.age, 1)
        for name in ("shared", "stale", "compatible"):
            if getattr(self, name):
                yield name, True
        yield "tokens", self.usage.total_tokens
        yield "seconds", round(self.seconds, 3)

    def _repr_html_(self) -> str:
        """A table, for notebooks."""
        from html import escape  # notebooks alone need it

        rows = (f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in self.__rich_repr__())
        return f"<table>{''.join(rows)}</table>"

    def __reduce__(self) -> tuple[object, ...]:
        # The completion isn't loaded before it is wanted, so it has to be now: what loads it can't leave this process.
        members = [getattr(self, name) for name in self.__dataclass_fields__ if name != "_load"]
        return type(self), (*members, partial(_keep, self.completion))


def answer_with_reply(call: Call[T]) -> Flow[Reply[T]]:
    """Answer a call, and say where the answer came from."""
    return make_reply(call, (yield from serve(call)))


def find_cost(served: Served[Any]) -> Live[Any] | Entry:
    """What says how much an answer has cost."""
    cost = served.live if served.entry is None or served.source is Source.LIVE else served.entry
    assert cost is not None, "an answer was asked for, or has an entry"
    return cost


def make_reply(call: Call[T], served: Served[T]) -> Reply[T]:
    """Put together what is known of an answer."""
    entry, live, is_live = served.entry, served.live, served.source is Source.LIVE
    cost = find_cost(served)
    answered_by = cost.answered_by if isinstance(cost, Live) else cost.origin.answered_by
    if live is not None and (is_live or entry is None):
        load: Callable[[], Completion] = partial(object_of, live.completion)
    else:
        load = partial(_load, call, served)
    return Reply(
        value=served.value,
        cached=not is_live,
        shared=served.source is Source.SHARED,
        stale=served.is_stale,
        compatible=entry is not None and entry.key != call.key,
        age=max(0.0, call.policy.clock() - entry.created) if entry and served.source is Source.STORE else None,
        tier=served.tier or None,
        provider=call.adapter.provider,
        model=call.model,
        answered_by=answered_by or call.model,
        usage=cost.usage,
        seconds=cost.seconds,
        attempts=cost.attempts,
        key=call.key,
        _load=load,
    )


def _keep(completion: Completion) -> Completion:
    return completion


def _load(call: Call[T], served: Served[T]) -> Completion:
    assert served.entry is not None, "it was looked at"
    return call.adapter.load(served.entry.completion)

"""What the streaming methods return, and how they read what they were asked for."""

from __future__ import annotations

import collections.abc
import typing
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from instructor.checks import check_flag, check_on_invalid
from instructor.engine.call import Call
from instructor.engine.drive import Sender
from instructor.engine.drive_stream import drive_stream, drive_stream_async
from instructor.engine.question import stream_answer
from instructor.engine.showing import Calls, InvalidItem, Items, Outcome, Partials, Showing
from instructor.exceptions import ConfigurationError
from instructor.messages import Completion, Part, ResponseModel, Value
from instructor.streaming.partial import shape_of, whole_of
from instructor.streaming.shapes import Object
from instructor.usage import Usage

if typing.TYPE_CHECKING:
    from instructor.engine.response_type import ResponseType

T = TypeVar("T")


class _Opened:
    """What both streams know of their answer once they are over."""

    _outcome: Outcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} is_cached={self.is_cached} usage={self.usage}>"

    @property
    def completion(self) -> Completion:
        """The SDK's completion, put together of its chunks, or made again from the cache; None before the end."""
        return self._outcome.load()

    @property
    def usage(self) -> Usage:
        """The tokens that this stream cost; zeros for one from the cache, and before the end."""
        return self._outcome.usage

    @property
    def is_cached(self) -> bool:
        """Whether the answer came from the cache, or was shared with an identical call that was under way."""
        return self._outcome.is_cached

    @property
    def is_stale(self) -> bool:
        """Whether the answer is served though it isn't fresh any more; see ``stale_while_revalidate``."""
        return self._outcome.is_stale

    @property
    def invalid(self) -> list[InvalidItem]:
        """The items that did not validate, with ``on_invalid="collect"``."""
        return self._outcome.invalid


class Stream(_Opened, Generator[T, None, None], Generic[T]):
    """The values of an answer while it comes. Returned by `Instructor.create_partial` and `create_iterable`.

    Nothing is asked before the first value is. It is a generator, and a context manager: leaving it early ends the
    connection, and nothing is stored then.

    Example:
        >>> client = instructor.from_provider("offline/demo")
        >>> messages = [{"role": "user", "content": "Anna is 25."}]
        >>> with client.create_partial(response_model=User, messages=messages) as stream:
        ...     users = [user for user in stream]
        >>> users[-1]
        User(name='Anna', age=25)
    """

    def __init__(self, call: Call[Value], sender: Sender) -> None:
        self._outcome = outcome_of(call)
        self._values: Generator[T, None, None] = drive_stream(stream_answer(call), sender)

    def __next__(self) -> T:
        return next(self._values)

    def send(self, value: None, /) -> T:
        """Return the next value, as any generator."""
        return self._values.send(value)

    def throw(self, *details: Any) -> T:
        """Raise an error where the stream waits, as any generator; it ends the stream."""
        return self._values.throw(*details)

    def close(self) -> None:
        """End the connection. After the last value there is nothing to end."""
        self._values.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(_Opened, AsyncGenerator[T, None], Generic[T]):
    """`Stream` for asyncio: ``async for`` takes its values, and ``async with`` closes it.

    Awaiting it returns itself, because methods of 1.x that return a stream are awaited at times.
    """

    def __init__(self, call: Call[Value] | Callable[[], Call[Value]], sender: Sender) -> None:
        self._outcome = Outcome()
        self._values: AsyncGenerator[T, None] = (
            self._drive(call, sender) if callable(call) else self._begin(call, sender)
        )

    def _begin(self, call: Call[Value], sender: Sender) -> AsyncGenerator[T, None]:
        self._outcome = outcome_of(call)
        return drive_stream_async(stream_answer(call), sender)

    async def _drive(self, make: Callable[[], Call[Value]], sender: Sender) -> AsyncGenerator[T, None]:
        """Make the call in a thread, because it waits for a disk, and begin it."""
        import asyncio

        async with aclosing(self._begin(await asyncio.to_thread(make), sender)) as values:
            async for value in values:
                yield value

    async def __anext__(self) -> T:
        return await anext(self._values)

    async def asend(self, value: None, /) -> T:
        """Return the next value, as any asynchronous generator."""
        return await self._values.asend(value)

    async def athrow(self, *details: Any) -> T:
        """Raise an error where the stream waits, as any asynchronous generator; it ends the stream."""
        return await self._values.athrow(*details)

    async def aclose(self) -> None:
        """End the connection."""
        await self._values.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


def outcome_of(call: Call[Value]) -> Outcome:
    """What becomes known of a streamed call."""
    return Outcome() if call.showing is None else call.showing.outcome


class Wanted(NamedTuple):
    """What a stream was asked for.

    Attributes:
        response_model: The response model of the whole answer.
        show: Makes what hands it out, of how the whole answer becomes a value, whether validation is strict, and its
            context.
        has_items: Whether that is the items of a list, one by one.
    """

    response_model: ResponseModel
    show: Callable[[ResponseType | None, bool, Mapping[str, Any] | None], Showing]
    has_items: bool = False


Setting = Callable[[str], object]
"""Finds what a keyword of ours is set to, in the call or else in its client."""


def want_partial(response_model: ResponseModel, setting: Setting) -> Wanted:
    """Read what `create_partial` was asked for: a type, or ``Partial[...]`` of it."""
    from instructor.engine.partial_validation import make_judge
    from instructor.engine.response_type import ParallelType, WrappedType

    model = whole_of(response_model)
    if model is None:
        raise ConfigurationError("create_partial needs a response_model. Pass the class of the answer.")
    validates = check_flag("validate_partial", setting("validate_partial"))

    def show(whole: ResponseType | None, strict: bool, context: Mapping[str, Any] | None) -> Showing:
        if isinstance(whole, ParallelType):
            raise ConfigurationError("In Mode.PARALLEL_TOOLS calls are shown whole. Use create_iterable.")
        is_wrapped = isinstance(whole, WrappedType)
        shape, judge = shape_of(model), None
        if validates and whole is not None and isinstance(shape, Object) and not is_wrapped:
            judge = make_judge(model, shape, lambda text: whole.parse((Part("", text),), strict, context))
        return Partials(shape, is_wrapped=is_wrapped, judge=judge)

    return Wanted(model, show)


def want_items(response_model: ResponseModel, setting: Setting) -> Wanted:
    """Read what `create_iterable` was asked for: the type of an item, or ``Iterable[...]`` of it."""
    from instructor.engine.response_type import ParallelType, WrappedType

    item = item_of(response_model) or response_model
    if item is None:
        raise ConfigurationError("create_iterable needs a response_model. Pass the class of one item.")

    def show(whole: ResponseType | None, strict: bool, context: Mapping[str, Any] | None) -> Showing:
        choice = check_on_invalid(setting("on_invalid"))
        if isinstance(whole, ParallelType):
            return Calls(lambda part: whole.parse_call(part, strict, context)[0], whole.specs, choice)
        assert isinstance(whole, WrappedType), "the type of a list"
        validate = whole.item_validator
        return Items(lambda part: validate(part.text, strict, context), choice)

    items: ResponseModel = list[item]  # type: ignore[valid-type]  # pyright: ignore - known only here
    return Wanted(items, show, has_items=True)


def want_stream(response_model: ResponseModel, setting: Setting) -> Wanted:
    """Read what ``create(stream=True)`` was asked for: items for a list or an iterable, else partial objects."""
    return (want_partial if item_of(response_model) is None else want_items)(response_model, setting)


WANTED = {"partial": want_partial, "items": want_items, "stream": want_stream}
"""How each method of a client reads what it was asked for."""


def item_of(response_model: ResponseModel) -> ResponseModel:
    """The type of an item of ``Iterable[...]``, ``Sequence[...]`` or ``list[...]``; None for any other type."""
    origin: Any = typing.get_origin(response_model)
    if origin not in _LISTS:
        return None
    return next(iter(typing.get_args(response_model)), None)


_LISTS = (collections.abc.Iterable, collections.abc.AsyncIterable, collections.abc.Sequence, list)

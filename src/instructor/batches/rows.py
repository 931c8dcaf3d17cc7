"""One row of a batch, through the engine's own flow: asked for by a line of a file, and answered by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from instructor.engine.drive import drive, drive_async
from instructor.engine.lookup import ask_and_keep
from instructor.engine.question import CallQuestion
from instructor.engine.reply import Reply, answer_with_reply, make_reply
from instructor.exceptions import ProviderError

if TYPE_CHECKING:
    from instructor.engine.call import Call
    from instructor.engine.effects import Flow
    from instructor.messages import Request
    from instructor.providers.adapter import Adapter

T = TypeVar("T")

MakeCall: TypeAlias = "Callable[[], Call[Any]]"
"""Makes the call of a row. It is made anew for each step, so that only those under way take memory."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What has become of a row: its answer, or its error; and whether a batch answered it."""

    reply: Reply[T] | None = None
    error: Exception | None = None
    batched: bool = False


class Deferred(BaseException):
    """Leaves a flow at the place where it would send its request. No flow may catch it, so it isn't an `Exception`."""

    def __init__(self, operation: str, request: Request) -> None:
        super().__init__(operation)
        self.operation = operation
        self.request = request


class Deferring:
    """Sends nothing."""

    def __init__(self, adapter: Adapter) -> None:
        self.prepare = adapter.prepare

    def send(self, operation: str, request: Request) -> Any:
        """Hand the request to whoever makes a batch."""
        raise Deferred(operation, request)

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Any:
        """As `send`."""
        del seconds
        raise Deferred(operation, request)


class Replaying:
    """Answers the first request of a flow with what came in a batch, and asks the provider the further ones, if wanted."""

    def __init__(self, adapter: Adapter, completion: Any, *, goes_on: bool) -> None:
        self.prepare = adapter.prepare
        self._adapter = adapter
        self._completion = completion
        self._is_first = True
        self._goes_on = goes_on

    def send(self, operation: str, request: Request) -> Any:
        """Return the completion of the batch, then ask."""
        return self._first() or self._adapter.send(operation, request)

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Any:
        """As `send`."""
        return self._first() or self._adapter.send_once(operation, request, seconds)

    def _first(self) -> Any:
        if self._is_first:
            self._is_first = False
            return _later(self._completion) if self._adapter.asynchronous else self._completion
        if not self._goes_on:
            raise ProviderError(
                self._adapter.provider, "The answer in the batch was invalid, and isn't asked for again."
            )
        return None


async def _later(completion: Any) -> Any:
    return completion


def look(call: Call[T]) -> Any:
    """Answer a call from the cache: return its `Reply`, or the `Deferred` that holds its request."""
    call = call._replace(background=None)  # a stale answer is refreshed by calls that may send
    if call.adapter.asynchronous:
        return _look_async(call)
    try:
        return drive(answer_with_reply(call), Deferring(call.adapter))
    except Deferred as deferred:
        return deferred


async def _look_async(call: Call[T]) -> Reply[T] | Deferred:
    try:
        return await drive_async(answer_with_reply(call), Deferring(call.adapter))
    except Deferred as deferred:
        return deferred


def settle(call: Call[T], completion: Any, *, goes_on: bool) -> Any:
    """Validate and store what a batch answered, as a live answer is; return its `Reply`, or an awaitable of it."""
    sender = Replaying(call.adapter, completion, goes_on=goes_on)
    return (drive_async if call.adapter.asynchronous else drive)(_keep(call), sender)


def ask(call: Call[T]) -> Any:
    """Answer a call live; return its `Reply`, or an awaitable of it."""
    return (drive_async if call.adapter.asynchronous else drive)(answer_with_reply(call), call.adapter)


def _keep(call: Call[T]) -> Flow[Reply[T]]:
    assert call.path is not None, "a row has a key, so it has a store"
    served = yield from ask_and_keep(call.path, CallQuestion(call), call.policy, None)
    return make_reply(call, served)

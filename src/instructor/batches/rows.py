"""One row of a batch, through the engine's own flow: asked for by a line of a file, and answered by one."""

from __future__ import annotations

import contextlib
import marshal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

from instructor.cache.carried import attach
from instructor.engine.attempts import read_usage
from instructor.engine.drive import Sender, drive, drive_async
from instructor.engine.first_request import current, fetch_media, write_request
from instructor.engine.lookup import ask_and_keep
from instructor.engine.lookup import look as read_cache
from instructor.engine.question import CallQuestion, serve
from instructor.engine.reply import find_cost
from instructor.engine.tier_lookup import Served, Source, emit_event
from instructor.exceptions import CacheMiss
from instructor.hooks import HookName
from instructor.messages import Completion, Conversation, Value, holds_texts
from instructor.retries import Retries
from instructor.usage import Usage

if TYPE_CHECKING:
    from instructor.budget import Budget
    from instructor.cache.entry import Entry
    from instructor.engine.call import Call
    from instructor.engine.effects import Flow
    from instructor.engine.path import CachePath
    from instructor.messages import Request
    from instructor.providers.adapter import Adapter

T = TypeVar("T")
_NOTHING = Usage()


class Asked(NamedTuple):
    """What a row asks. Its call is made of that anew for each step, so that only those under way take memory.

    Attributes:
        context: What the key shows of the context (`write_context`).
        conversation: The messages; written by `marshal`, which takes half the space, if they are nothing but texts.
    """

    context: tuple[str, ...]
    conversation: bytes | Conversation

    def read(self) -> Conversation:
        """The messages."""
        written = self.conversation
        return marshal.loads(written) if isinstance(written, bytes) else written  # noqa: S302 - our own bytes


def make_asked(context: tuple[str, ...], conversation: Conversation) -> Asked:
    """Keep what a row asks. The conversation is nobody else's."""
    with contextlib.suppress(ValueError):  # a name of a member may be of a class of the user's
        if holds_texts(conversation):
            return Asked(context, marshal.dumps(conversation))
    return Asked(context, conversation)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What has become of a row: as much as its `Row` shows, because there may be 100,000 of them.

    Attributes:
        value: The answer; None where there is an error.
        error: Why there is no answer.
        batched: Whether a batch answered it.
        cached: Whether it was in the cache.
        usage: The tokens of the requests that the answer took.
        attempts: How many these were.
        seconds: How long they took.
        live: The tokens of what was asked live after the batch.
        entry: What the answer is made of once more for an equal row; None where it can't be.
    """

    value: T | None = None
    error: Exception | None = None
    batched: bool = False
    cached: bool = False
    usage: Usage = _NOTHING
    attempts: int = 0
    seconds: float = 0.0
    live: Usage = _NOTHING
    entry: Entry | None = None


def make_outcome(served: Served[T], *, batched: bool = False, live: Usage = _NOTHING) -> Outcome[T]:
    """The outcome of a row that has an answer."""
    cost, entry = find_cost(served), served.entry
    if entry is not None and entry.carried is not None:
        attach(served.value, entry.carried)  # an SDK's completion takes ten times as much memory as its text
    is_cached, live = served.source is not Source.LIVE, _NOTHING if live == _NOTHING else live
    return Outcome(served.value, None, batched, is_cached, cost.usage, cost.attempts, cost.seconds, live, entry)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A row that the cache doesn't have: what a live call would send, to which method of the SDK; and its budgets."""

    operation: str
    request: Request
    budgets: tuple[Budget, ...] = ()


class Replaying:
    """Answers the first request of a flow with what came in a batch, and asks the provider the further ones."""

    def __init__(self, adapter: Adapter, completion: Completion) -> None:
        self.prepare = adapter.prepare
        self._adapter = adapter
        self._completion = completion
        self._is_first = True

    def send(self, operation: str, request: Request) -> Value:
        """Return the completion of the batch, then ask."""
        return self._first() or self._adapter.send(operation, request)

    def send_once(self, operation: str, request: Request, seconds: float | None) -> Value:
        """As `send`."""
        return self._first() or self._adapter.send_once(operation, request, seconds)

    def _first(self) -> Value:
        if self._is_first:
            self._is_first = False
            return _later(self._completion) if self._adapter.asynchronous else self._completion
        return None


async def _later(completion: Completion) -> Value:
    return completion


def copy_containers(value: Value) -> Value:
    """Copy dicts and lists, whose owner may change them meanwhile; what they hold beside those is the owner's own object."""
    if type(value) is dict:
        return {name: copy_containers(member) for name, member in cast("dict[Any, Any]", value).items()}
    if type(value) is list:
        return [copy_containers(member) for member in cast("list[Any]", value)]
    return value


def look(call: Call[T]) -> Value:
    """Answer a call from the cache: return its `Outcome`, or the `Deferred` that holds its request; or an awaitable of it."""
    return _run(call, _look(call), call.adapter)


def _look(call: Call[T]) -> Flow[Outcome[T] | Deferred]:
    path, key = _place_of(call)
    question: CallQuestion[T] = CallQuestion(call)
    found = yield from read_cache(path, key, question, call.policy, None)
    if isinstance(found, Served):
        return make_outcome(found)
    path.count_miss()
    yield from emit_event(question, HookName.CACHE_MISS, None, found.cause)
    if not call.policy.mode.sends:
        raise CacheMiss(question.describe(), key=key, reason=found.cause.reason, store=path.name)
    for budget in call.budgets:  # one that is spent already
        budget.reserve(call.adapter.provider, call.model)
        budget.settle(call.adapter.provider, call.model, None)
    prompt = current(call, call.load_prompt())
    if prompt.media_policy is not None:
        prompt = yield from fetch_media(call, prompt)
    return Deferred(prompt.wire.operation, write_request(call._replace(kind="batched"), prompt), call.budgets)


def settle(call: Call[T], completion: Completion, *, goes_on: bool) -> Value:
    """Validate and store what a batch answered, as a live answer is; return its `Outcome`, or an awaitable of it.

    Unless it `goes_on`, an invalid answer isn't asked for again.
    """
    judged = call if goes_on else call._replace(retries=Retries(answers=0))
    return _run(judged, _keep(judged, completion), Replaying(call.adapter, completion))


def ask(call: Call[T]) -> Value:
    """Answer a call live; return its `Outcome`, or an awaitable of it."""
    return _run(call, _ask(call), call.adapter)


def _ask(call: Call[T]) -> Flow[Outcome[T]]:
    return make_outcome((yield from serve(call)))


def _keep(call: Call[T], completion: Completion) -> Flow[Outcome[T]]:
    """Keep an answer that is paid for. What is asked live if it is invalid has to fit into the budgets."""
    path, _ = _place_of(call)
    paid = call._replace(kind="batched")
    served = yield from ask_and_keep(path, CallQuestion(paid), paid.policy, None)
    usage, attempts = find_cost(served).usage, find_cost(served).attempts
    batched = read_usage(current(call, call.load_prompt()).wire, completion) if attempts > 1 else usage
    return make_outcome(served, batched=True, live=usage - batched)


def _place_of(call: Call[Any]) -> tuple[CachePath, str]:
    assert call.path is not None, "a row has a store"
    assert call.key is not None, "a row has a key"
    return call.path, call.key


def _run(call: Call[Any], flow: Flow[Any], sender: Sender) -> Value:
    return drive_async(flow, sender) if call.adapter.asynchronous else drive(flow, sender)

"""What one call spends: entered into the books of its client and of its store, and reported by an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor.cache.books import lines_of
from instructor.cache.entry import make_origin
from instructor.engine.admission import TurnTooLateError
from instructor.engine.effects import Emit, Flow
from instructor.exceptions import ToolCallsError
from instructor.hooks import HookName, RequestEvent
from instructor.messages import Completion, Part, Request
from instructor.received import data_of
from instructor.usage import Usage
from instructor.wires.wire import find_answering_model

if TYPE_CHECKING:
    from instructor.budget import Budget
    from instructor.cache.books import Kind
    from instructor.engine.attempts import Attempts
    from instructor.engine.call import Call, Prompt

_NOTHING = Usage()


def enter(
    call: Call[Any],
    kind: Kind,
    usage: Usage,
    seconds: float,
    tags: tuple[str, ...] | None = None,
    answered_by: str = "",
) -> None:
    """Enter one request, or an answer that took none. Without `tags` they are those that the caller named."""
    if tags is None:
        named = call.policy.tags
        tags = () if named is None or callable(named) else named
    namespace = call.policy.namespace or ""
    origin = make_origin(call.adapter.provider, call.model, answered_by, namespace, call.plan.name)
    lines = lines_of(kind, origin, tags, usage, seconds)
    call.stats.books.add(lines)
    if call.path is not None:
        call.path.books.add(lines)


class Spending:
    """What an attempt spends while it is under way: reserved now, settled at the end, and entered if its answer isn't used.

    The first attempt of a row of a batch is paid for before it begins: no budget refuses it, and each counts it.
    """

    __slots__ = ("_attempts", "_call", "_is_paid", "_reserved")

    def __init__(self, call: Call[Any], attempts: Attempts) -> None:
        self._call = call
        self._attempts = attempts
        self._reserved: list[Budget] = []
        self._is_paid = call.kind == "batched" and attempts.number == 1
        try:
            for budget in call.budgets:
                reserve = budget.reserve_paid if self._is_paid else budget.reserve
                reserve(call.adapter.provider, call.model)
                self._reserved.append(budget)
        except Exception:
            self._settle(None)
            raise

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Enter what was lost. An answer that calls the caller's own tools is used, and isn't stored."""
        attempts = self._attempts
        self._settle(attempts.latest)
        if kind is None or kind is TurnTooLateError:
            return
        used: Kind = self._call.kind if self._is_paid else "kept"
        lost: Kind = "lost in batch" if self._is_paid else "lost"
        entered: Kind = "failed" if attempts.latest is None else used if issubclass(kind, ToolCallsError) else lost
        enter(self._call, entered, attempts.latest or _NOTHING, attempts.latest_seconds)

    def _settle(self, usage: Usage | None) -> None:
        for budget in self._reserved:
            budget.settle(self._call.adapter.provider, self._call.model, usage)


def tell_ended(
    call: Call[Any],
    prompt: Prompt,
    attempts: Attempts,
    exchanged: tuple[Request, Completion],
    error: Exception | None,
    parts: tuple[Part, ...] = (),
) -> Flow[None]:
    """Emit an event about a request that has ended, and whose answer was judged."""
    if isinstance(error, TurnTooLateError) or not call.hooks.has_handlers(HookName.COMPLETION_REQUEST):
        return
    request, completion = exchanged
    event = RequestEvent(
        call.adapter.provider,
        call.model,
        "" if completion is None else find_answering_model(prompt.wire, data_of(completion)),
        call.response_model,
        attempts.number,
        attempts.began,
        attempts.latest_seconds,
        attempts.latest,
        error,
        call.showing is not None,
        request,
        "\n".join(part.text for part in parts),
    )
    yield from Emit(call.hooks, HookName.COMPLETION_REQUEST, (event,), {})

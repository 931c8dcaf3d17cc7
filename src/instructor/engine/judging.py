"""How validators judge an answer: what they can see of the attempt, and the asynchronous ones themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor.attempt import ATTEMPT, Attempt
from instructor.engine.effects import Check, Flow
from instructor.messages import Value

if TYPE_CHECKING:
    from contextvars import Token

    from instructor.engine.attempts import Attempts
    from instructor.engine.call import Call


class UnderWay:
    """Lets validators see which attempt they judge, while it is entered: again and again, but not within itself.

    It isn't a generator, because that would take four times as long for each value of a stream.
    """

    __slots__ = ("_attempt", "_token")

    def __init__(self, call: Call[Any], attempts: Attempts) -> None:
        is_last = call.retries.is_last(attempts.number, attempts.failed_requests)
        self._attempt = Attempt(attempts.number, is_last)

    def __enter__(self) -> None:
        self._token: Token[Attempt | None] = ATTEMPT.set(self._attempt)

    def __exit__(self, *error: object) -> None:
        ATTEMPT.reset(self._token)


def judge_async(call: Call[Any], value: Value, attempts: Attempts | None = None) -> Flow[None]:
    """Run the asynchronous validators of a value, live with the attempts so far, or from the cache."""
    from instructor.engine.async_validation import validate_async

    async def validate() -> None:
        if attempts is None:
            await validate_async(value, call.context)
            return
        with UnderWay(call, attempts):
            await validate_async(value, call.context)

    yield from Check(validate)


def confirm(call: Call[Any], value: Value, attempts: Attempts) -> Flow[Value]:
    """Run the asynchronous validators of a live answer; of a streamed one, for each value that is left to hand out."""
    if call.showing is None:
        yield from judge_async(call, value, attempts)
        return value
    values: list[Value] = list(value)
    for judged in [values] if call.showing.judges_each else values:
        yield from judge_async(call, judged, attempts)
    return values

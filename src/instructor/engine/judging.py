"""How validators judge an answer: what they can see of the attempt, and the asynchronous ones themselves."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from instructor.attempt import ATTEMPT, Attempt
from instructor.engine.effects import Check, Flow
from instructor.messages import Value

if TYPE_CHECKING:
    from instructor.engine.attempts import Attempts
    from instructor.engine.call import Call


@contextmanager
def under_way(call: Call[Any], attempts: Attempts) -> Generator[None]:
    """Let validators see which attempt they judge."""
    is_last = call.retries.is_last(attempts.number, attempts.failed_requests)
    token = ATTEMPT.set(Attempt(attempts.number, is_last))
    try:
        yield
    finally:
        ATTEMPT.reset(token)


def judge_async(call: Call[Any], value: Value, attempts: Attempts | None = None) -> Flow[None]:
    """Run the asynchronous validators of a value, live with the attempts so far, or from the cache."""
    from instructor.engine.async_validation import validate_async

    async def validate() -> None:
        if attempts is None:
            await validate_async(value, call.context)
            return
        with under_way(call, attempts):
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

"""How a request waits for its turn, and what is noted of its end, where a call has limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from instructor.engine.effects import Flow, Reserve, Sleep
from instructor.failures import headers_of, is_hopeless, is_unreached, status_of

if TYPE_CHECKING:
    from instructor.engine.attempts import Attempts
    from instructor.engine.call import Call
    from instructor.limits.limiter import Reservation
    from instructor.limits.registry import Throttle
    from instructor.messages import Request

_OKAY = 200


class TurnTooLateError(TimeoutError):
    """A request wasn't sent, because its turn comes after the call's time is over. To try again brings it no sooner."""


def in_turn(call: Call[Any], request: Request, attempts: Attempts, sending: Flow[Any]) -> Flow[Any]:
    """Send a request when it is its turn: at once, for a call without limits."""
    return sending if call.throttle is None else within_limits(call, call.throttle, request, attempts, sending)


def within_limits(
    call: Call[Any], throttle: Throttle, request: Request, attempts: Attempts, sending: Flow[Any]
) -> Flow[Any]:
    """Send a request once it may be sent, and note what its answer, or its failure, says of the limits."""
    reservation = throttle.reserve(call.adapter, call.model, request)
    try:
        yield from wait_for_turn(call, reservation)
        completion = yield from sending
    except Exception as error:
        status = status_of(error)
        throttle.has_answered = throttle.has_answered or status is not None
        status = None if is_hopeless(error) else status  # it says nothing of the limits
        latency = attempts.latest_seconds if status is not None or is_unreached(error) else 0.0
        reservation.settle(attempts.latest, headers_of(error) or attempts.headers, status, latency)
        raise
    else:
        throttle.has_answered = True
        reservation.settle(attempts.latest, attempts.headers, _OKAY, attempts.latest_seconds)
        return completion
    finally:
        reservation.cancel()  # where nothing was settled: the caller has left, or the turn would come too late


def wait_for_turn(call: Call[Any], reservation: Reservation) -> Flow[None]:
    """Wait until the request may be sent, as far as the call has the time."""
    while True:
        seconds = reservation.wait() if reservation.is_local else (yield from Reserve(reservation))
        if not seconds:
            return
        due_in = max(seconds, reservation.due_in)
        if call.deadline is not None and time.monotonic() + due_in >= call.deadline:
            raise TurnTooLateError(
                f"{call.adapter.provider} allows the next request to {call.model} only in about {due_in:.1f} s, and "
                f"max_seconds={call.max_seconds:g} ends before. Allow more time, or send fewer requests at once."
            )
        yield Sleep(seconds)

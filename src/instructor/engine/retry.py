"""When to go on after an attempt that failed: the user's ``max_retries``, as one policy."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from instructor.exceptions import AsyncValidationError, ConfigurationError, ResponseParsingError

if TYPE_CHECKING:
    import tenacity


class RetryPolicy(Protocol):
    """Decides after each failed attempt."""

    @property
    def limit(self) -> int | None:
        """The most requests that may be made; None where only the policy knows."""
        ...

    def wait_after(self, attempt_number: int, error: Exception) -> float | None:
        """Seconds to wait before the next attempt; None to stop."""
        ...


def is_invalid_answer(error: Exception) -> bool:
    """Whether the model can mend the error when it is shown it, unlike an error of the network or a refusal."""
    from pydantic import ValidationError

    return isinstance(error, (ValidationError, ResponseParsingError, AsyncValidationError))


@dataclass(frozen=True, slots=True)
class CountedRetries:
    """Ask again after an invalid answer, a number of times, without waiting."""

    retries: int

    @property
    def limit(self) -> int:
        """The first request and the retries."""
        return self.retries + 1

    def wait_after(self, attempt_number: int, error: Exception) -> float | None:
        """Go on while retries are left and the model can mend the error."""
        return 0.0 if attempt_number <= self.retries and is_invalid_answer(error) else None


DEFAULT_RETRIES = CountedRetries(3)
"""What holds where neither the call nor the client says."""


class TenacityRetries:
    """Whatever a tenacity object says: its ``retry``, ``stop`` and ``wait``, and its callbacks.

    The object is asked, not run, because the flow waits through its driver. Its state begins anew with each call.
    """

    limit: int | None

    def __init__(self, policy: tenacity.BaseRetrying) -> None:
        import tenacity

        self._policy = policy
        self._try_again = tenacity.TryAgain
        self._make_action = tenacity.RetryAction
        self._state = tenacity.RetryCallState(policy, fn=None, args=(), kwargs={})
        stop: Any = policy.stop
        limit: Any = stop.max_attempt_number if isinstance(stop, tenacity.stop_after_attempt) else None
        self.limit = int(limit) if limit is not None and math.isfinite(limit) else None

    def wait_after(self, attempt_number: int, error: Exception) -> float | None:
        """Ask the object, in the order in which tenacity itself does."""
        policy, state = self._policy, self._state
        state.attempt_number = attempt_number
        state.set_exception((type(error), error, error.__traceback__))
        if not isinstance(error, self._try_again) and not policy.retry(state):
            return None
        if policy.after is not None:
            policy.after(state)
        # `stop` may count the wait to come, so the wait is worked out first.
        state.upcoming_sleep = float(policy.wait(state)) if policy.wait else 0.0
        if policy.stop is not None and policy.stop(state):
            return None
        state.next_action = self._make_action(state.upcoming_sleep)
        state.idle_for += state.upcoming_sleep
        if policy.before_sleep is not None:
            policy.before_sleep(state)
        return state.upcoming_sleep


KNOWN_POLICIES: set[type] = set()
"""Classes of tenacity objects that were found right before, so that the fast path need not import tenacity to check."""


def make_retry_policy(max_retries: Any) -> RetryPolicy:
    """Turn ``max_retries`` into a policy for one call.

    It is how many times to ask again after an invalid answer, or a tenacity ``Retrying`` or ``AsyncRetrying``, which
    then also decides about failed requests.
    """
    if isinstance(max_retries, int) and not isinstance(max_retries, bool):
        if max_retries < 0:
            raise ConfigurationError(f"max_retries is {max_retries}; give 0 or more (0 makes one request).")
        return CountedRetries(max_retries)
    if any(kind.__module__.startswith("tenacity") for kind in type(max_retries).__mro__):
        import tenacity

        if isinstance(max_retries, tenacity.BaseRetrying):
            policy = TenacityRetries(_checked(max_retries))
            KNOWN_POLICIES.add(type(max_retries))
            return policy
    raise ConfigurationError(
        f"max_retries is a {type(max_retries).__name__}; give an int, or a tenacity Retrying or AsyncRetrying."
    )


def _checked(policy: tenacity.BaseRetrying) -> tenacity.BaseRetrying:
    for part in (policy.retry, policy.stop, policy.wait, policy.after, policy.before_sleep):
        if inspect.iscoroutinefunction(part) or inspect.iscoroutinefunction(getattr(part, "__call__", None)):  # noqa: B004 - an instance's async __call__ is what is looked for
            raise ConfigurationError(
                "The tenacity object has asynchronous parts (retry, stop, wait or a callback); give plain functions."
            )
    return policy

"""When to go on after an attempt that failed: the user's ``max_retries``, as one policy."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from instructor.describing import refuse
from instructor.exceptions import ConfigurationError
from instructor.retries import Retries

if TYPE_CHECKING:
    import tenacity

    from instructor.limits.registry import Throttle


class RetryPolicy(Protocol):
    """Decides after each failed attempt."""

    @property
    def limit(self) -> int | None:
        """The most requests that may be made; None where only the policy knows."""
        ...

    @property
    def sends_again(self) -> bool:
        """Whether failed requests are sent again here, so that the SDK must not do so too."""
        ...

    @property
    def shown_failures(self) -> int:
        """How many invalid answers the model is shown when it's asked again, the last ones."""
        ...

    def wait_after(self, attempt_number: int, error: Exception, failed_requests: int = 0) -> float | None:
        """Seconds to wait before the next attempt; None to stop. `failed_requests` brought no answer at all."""
        ...

    def is_last(self, attempt_number: int, failed_requests: int = 0) -> bool:
        """Whether an invalid answer to this attempt ends the call, as far as that can be known."""
        ...


DEFAULT_RETRIES = Retries()
"""What holds where neither the call nor the client says."""

SENT_AGAIN = 2
"""How often a failed request is sent again where the caller bounds the whole time and says no number, as in the SDKs."""


SENT_AGAIN_WITHIN_LIMITS = 6
"""How often a failed request of a call with limits is sent again: one that was refused waits for its turn meanwhile."""


def settle_retries(max_retries: Any, *, has_deadline: bool, throttle: Throttle | None) -> RetryPolicy:
    """The policy of a call: the SDK's own retries know nothing of its deadline and its limits, so ours replace them."""
    policy = DEFAULT_RETRIES if max_retries is None else make_retry_policy(max_retries)
    if throttle is not None and isinstance(policy, Retries) and policy.requests is None:
        return RetriesWithinLimits(policy, throttle)
    return policy if throttle is None and not has_deadline else within_budget(policy)


def within_budget(policy: RetryPolicy, requests: int = SENT_AGAIN) -> RetryPolicy:
    """The policy of a call that may not leave failed requests to the SDK."""
    if isinstance(policy, Retries) and policy.requests is None:
        return replace(policy, requests=requests)
    return policy


class RetriesWithinLimits:
    """What a call with limits goes by, where its caller doesn't say how often a failed request is sent again.

    An outage of half a minute is sat out. But where no server has answered yet, the URL is likely wrong, so a connection
    that can't be made is tried no more often than by an SDK.
    """

    sends_again = True

    def __init__(self, policy: Retries, throttle: Throttle) -> None:
        self._policy = replace(policy, requests=SENT_AGAIN_WITHIN_LIMITS)
        self._throttle = throttle
        self.limit: int | None = self._policy.limit
        self.shown_failures = policy.shown_failures
        self.is_last = self._policy.is_last

    def wait_after(self, attempt_number: int, error: Exception, failed_requests: int = 0) -> float | None:
        """Go on while retries are left for this kind of error."""
        from instructor.failures import is_nowhere

        if failed_requests > SENT_AGAIN and not self._throttle.has_answered and is_nowhere(error):
            return None
        return self._policy.wait_after(attempt_number, error, failed_requests)


class TenacityRetries:
    """Whatever a tenacity object says: its ``retry``, ``stop`` and ``wait``, and its callbacks.

    The object is asked, not run, because the flow waits through its driver. Its state begins anew with each call.
    """

    limit: int | None
    sends_again = False
    shown_failures = 1

    def __init__(self, policy: tenacity.BaseRetrying) -> None:
        import tenacity

        self._policy = policy
        self._try_again = tenacity.TryAgain
        self._make_action = tenacity.RetryAction
        self._state = tenacity.RetryCallState(policy, fn=None, args=(), kwargs={})
        stop: Any = policy.stop
        limit: Any = stop.max_attempt_number if isinstance(stop, tenacity.stop_after_attempt) else None
        self.limit = int(limit) if limit is not None and math.isfinite(limit) else None

    def is_last(self, attempt_number: int, failed_requests: int = 0) -> bool:
        """Whether the object counts attempts, and this is its last."""
        del failed_requests
        return self.limit is not None and attempt_number >= self.limit

    def wait_after(self, attempt_number: int, error: Exception, failed_requests: int = 0) -> float | None:
        """Ask the object, in the order in which tenacity itself does."""
        del failed_requests
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


KNOWN_POLICIES: set[type] = {Retries}
"""Classes of policies that need no check, and of tenacity objects that were found right before, so that the fast path need not import tenacity to check."""


def make_retry_policy(max_retries: Any) -> RetryPolicy:
    """Turn ``max_retries`` into a policy for one call.

    It is how many times to ask again after an invalid answer; a tenacity ``Retrying`` or ``AsyncRetrying``, which then
    also decides about failed requests; or a policy, such as `Retries`.
    """
    if isinstance(max_retries, int) and not isinstance(max_retries, bool):
        if max_retries < 0:
            raise refuse("max_retries", max_retries, "0 or more: 0 makes one request")
        return Retries(max_retries)
    if isinstance(max_retries, Retries):
        return max_retries
    if any(kind.__module__.startswith("tenacity") for kind in type(max_retries).__mro__):
        import tenacity

        if isinstance(max_retries, tenacity.BaseRetrying):
            policy = TenacityRetries(_checked(max_retries))
            KNOWN_POLICIES.add(type(max_retries))
            return policy
    raise refuse("max_retries", max_retries, "a number, Retries(...), or a tenacity Retrying or AsyncRetrying")


def _checked(policy: tenacity.BaseRetrying) -> tenacity.BaseRetrying:
    for part in (policy.retry, policy.stop, policy.wait, policy.after, policy.before_sleep):
        if inspect.iscoroutinefunction(part) or inspect.iscoroutinefunction(getattr(part, "__call__", None)):  # noqa: B004 - an instance's async __call__ is what is looked for
            raise ConfigurationError(
                "The tenacity object has asynchronous parts (retry, stop, wait or a callback); give plain functions."
            )
    return policy

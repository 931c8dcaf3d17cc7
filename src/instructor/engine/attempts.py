"""The attempts of one call: what they cost, what was wrong with them, and the error that ends them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from instructor.exceptions import (
    FailedAttempt,
    IncompleteOutputException,
    InstructorRetryException,
    RefusalError,
    TokenBudgetError,
    TokenBudgetExceeded,
    TokenUsageUnavailableError,
)
from instructor.failures import advise, is_invalid_answer, may_recover, status_of
from instructor.messages import Completion, Request
from instructor.received import Received, data_of, object_of
from instructor.usage import Usage, make_usage
from instructor.wires.text import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from instructor.engine.client_stats import ClientStats
    from instructor.providers.adapter import Adapter
    from instructor.wires.wire import Wire

_NOTHING = Usage()
_MOST_TOKENS = 2**53
_REPORTED = 2
"""After so many failed requests of a call they are reported."""

log = logging.getLogger("instructor")


class Attempts:
    """A record that grows with each attempt.

    Attributes:
        number: The attempt now under way, counted from 1; 0 before the first.
        answered: Whether a completion has come for it.
        spent: Tokens over all attempts.
        seconds: How long their requests took.
        failed: The attempts that gave no valid answer.
        failed_requests: How many of them brought no whole answer.
        shown: The text of the answer so far, where it is streamed.
        began: When the attempt now under way began, in Unix nanoseconds.
        latest: Tokens of the attempt now under way; None as long as none have been counted.
        headers: Those of its response, where somebody wants them; their names in lower case.
    """

    def __init__(self, adapter: Adapter, model: str) -> None:
        self._adapter = adapter
        self.number = 0
        self.answered = False
        self.spent = _NOTHING
        self.seconds = 0.0
        self.failed: list[FailedAttempt] = []
        self.failed_requests = 0
        self.shown: list[str] = []
        self.began = 0
        self.latest: Usage | None = None
        self.headers: dict[str, str] = {}
        self._seconds_before = 0.0
        self._model = model

    def begin(self) -> None:
        """Begin the next attempt."""
        self.number += 1
        self.answered = False
        self.shown = []
        self.began = time.time_ns()
        self.latest, self.headers, self._seconds_before = None, {}, self.seconds

    def spend(self, usage: Usage) -> None:
        """Add what the attempt now under way cost. There is nothing to add up at the first."""
        self.latest = usage
        self.spent = usage if self.spent is _NOTHING else self.spent + usage

    @property
    def latest_seconds(self) -> float:
        """How long the request of the attempt now under way took."""
        return self.seconds - self._seconds_before

    def fail(self, error: Exception, completion: Completion) -> None:
        """Record that the attempt now under way gave no valid answer."""
        # Also a stream that ended early, and an answer that only says what went wrong with the provider.
        self.failed_requests += not (self.answered and is_invalid_answer(error))
        self.failed.append(FailedAttempt(self.number, error, completion))

    def report_failures(self, error: Exception, stats: ClientStats) -> None:
        """Log that requests fail again and again, once for each client and kind of failure: the last try may be far away.

        A single one that fails is nothing to report.
        """
        is_again = self.failed_requests == _REPORTED and not is_invalid_answer(error)
        if is_again and stats.is_news(self._model, "failed", str(status_of(error) or type(error).__name__)):
            asked = self._adapter
            advice = advise(error, asked.key_variables, str(asked.endpoint.get("base_url") or ""), was_sent_again=True)
            why = f"{_brief(error)}{advice}".removesuffix(".")
            log.warning("%s: requests for %s fail, and are sent again: %s.", asked.provider, self._model, why)

    def exhausted(self, error: Exception, request: Request, *, sdk_retries: bool) -> InstructorRetryException:
        """Make the error that tells the user there is no valid answer. What the SDK sends again isn't counted here."""
        asked = self._adapter
        url, again = str(asked.endpoint.get("base_url") or ""), self.failed_requests > 1
        advice = "" if self.answered else advise(error, asked.key_variables, url, was_sent_again=again)
        uncounted = ", not counting what its SDK may have sent again" if sdk_retries and may_recover(error) else ""
        return InstructorRetryException(
            f"{self._adapter.provider} gave no valid answer; {self._asked()}{uncounted}. Last error: {_brief(error)}{advice}",
            **self._details(request),
        )

    def out_of_time(self, seconds: float, request: Request) -> InstructorRetryException:
        """Make the error that tells the user the time for the call is over, or too short for the next attempt."""
        last = f" Last error: {_brief(self.failed[-1].exception)}" if self.failed else ""
        return InstructorRetryException(
            f"{self._adapter.provider} gave no valid answer in max_seconds={seconds:g}; {self._asked()}.{last}",
            **self._details(request),
        )

    def _asked(self) -> str:
        times = {0: "not at all", 1: "once"}.get(self.number, f"{self.number} times")
        return f"{self._model} was asked {times}"

    def complete(self, error: IncompleteOutputException | RefusalError, request: Request) -> None:
        """Put what is known of the attempts into an error that a wire raised."""
        details = self._details(request)
        error.failed_attempts = details["failed_attempts"]
        error.last_completion = details["last_completion"]
        if isinstance(error, RefusalError):
            error.messages, error.create_kwargs = details["messages"], details["create_kwargs"]
            error.n_attempts, error.total_usage = details["n_attempts"], details["total_usage"]

    def over_budget(self, budget: int, request: Request) -> TokenBudgetError | None:
        """Make the error that a token budget asks for, if the next attempt may not be made."""
        details = self._details(request)
        if not self.spent.total_tokens:
            return TokenUsageUnavailableError(
                f"{self._adapter.provider} does not say how many tokens {self._model} used, so token_budget={budget} cannot be "
                "kept. Leave token_budget out.",
                budget=budget,
                **details,
            )
        if self.spent.total_tokens >= budget:
            return TokenBudgetExceeded(
                f"{self.spent.total_tokens} tokens are spent after {self.number} attempts, and the token budget is "
                f"{budget}. Last error: {_brief(self.failed[-1].exception)}",
                budget=budget,
                **details,
            )
        return None

    def _details(self, request: Request) -> dict[str, Any]:
        return {
            "last_completion": self.failed[-1].completion if self.failed else None,
            "messages": next((request[name] for name in ("messages", "input", "contents") if name in request), None),
            "n_attempts": self.number,
            "total_usage": self.spent,
            "create_kwargs": request,
            "failed_attempts": self.failed,
        }


def read_usage(wire: Wire, completion: Completion) -> Usage:
    """What a completion cost, without counts that cannot be: the answer in it is paid for, and is to be stored."""
    counts = _read_counts(wire, completion, data_of)
    if _can_be(counts):
        return make_usage(*counts)
    if type(completion) is Received:  # some servers write counts as texts, of which its SDK makes numbers
        counts = _read_counts(wire, completion, object_of)
    return Usage(*map(_check_count, counts))


def _read_counts(wire: Wire, completion: Completion, see: Callable[[Completion], Completion]) -> tuple[int, ...]:
    try:
        usage = wire.usage(see(completion))
    except (TypeError, ValueError, AttributeError, OverflowError):
        return ()
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    )


def _can_be(counts: tuple[int, ...]) -> bool:
    for count in counts:  # a generator takes longer than this
        if type(count) is not int or not 0 <= count <= _MOST_TOKENS:
            return False
    return bool(counts)


def _check_count(count: object) -> int:
    """Return a count of tokens, 0 if it isn't a number or beyond all that JSON writers agree on."""
    return int(count) if isinstance(count, (int, float)) and 0 <= count <= _MOST_TOKENS else 0


def _brief(error: Exception, limit: int = 500) -> str:
    text = f"{type(error).__name__}: {describe_error(error) if is_invalid_answer(error) else error}"
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."

"""`Retries`: how often to try again, for each reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from instructor.chance import draw
from instructor.describing import refuse


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try again, for each reason: pass it as ``max_retries=``, where a number isn't enough.

    Two things can go wrong. An *answer* may not be valid: then the model is shown what was wrong, and asked again at
    once. A *request* may fail: the connection, a timeout, status 408, 409, 429 or from 500 on. Then it's sent again
    as it was, after a wait that doubles each time, is shortened by chance so that many clients don't come back at
    once, and is never shorter than the provider's ``Retry-After``.

    Args:
        answers: How often to ask again after invalid answers.
        requests: How often to send a failed request again, over the whole call. None leaves that to the SDK: openai
            and anthropic do so twice, google-genai doesn't. With a number, even 0, the SDK's own retries are off, so
            that no wait is doubled.
        wait: Seconds before a failed request is sent again for the first time.
        longest_wait: The most seconds to wait. A provider that asks for more ends the call.
        shown_failures: How many invalid answers, the last ones, are kept in the conversation with what was wrong.
        jitter: Draws a number from 0 to 1; the wait is shortened by up to a quarter.

    Raises:
        ConfigurationError: A number is negative, or not a number.

    Example:
        >>> client = instructor.from_provider("offline/demo")
        >>> messages = [{"role": "user", "content": "Anna is 25."}]
        >>> client.create(int, messages, max_retries=instructor.Retries(answers=2, requests=5))
        25
    """

    answers: int = 3
    requests: int | None = None
    wait: float = 0.5
    longest_wait: float = 60.0
    shown_failures: int = 1
    jitter: Callable[[], float] = field(default=draw, repr=False)

    def __post_init__(self) -> None:
        counts = {"answers": self.answers, "requests": self.requests, "shown_failures": self.shown_failures}
        for name, count in counts.items():
            if type(count) is not int and not (name == "requests" and count is None):
                raise refuse(name, count, "a number")
        for name, least in (("answers", 0), ("requests", 0), ("wait", 0), ("longest_wait", 0), ("shown_failures", 1)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value >= least):
                raise refuse(name, value, f"{least} or more")

    @property
    def limit(self) -> int:
        """The first request and all retries."""
        return 1 + self.answers + (self.requests or 0)

    @property
    def sends_again(self) -> bool:
        """Whether it counts failed requests."""
        return self.requests is not None

    def wait_after(self, attempt_number: int, error: Exception, failed_requests: int = 0) -> float | None:
        """Go on while retries are left for this kind of error."""
        from instructor.failures import is_invalid_answer, may_recover, seconds_asked

        if is_invalid_answer(error):
            return None if self.is_last(attempt_number, failed_requests) else 0.0
        if not self.requests or failed_requests > self.requests or not may_recover(error):
            return None
        own = min(self.wait * 2.0 ** min(failed_requests - 1, 60), self.longest_wait) * (1 - self.jitter() / 4)
        asked = seconds_asked(error, time.time())
        if asked is None:
            return own
        return None if asked > self.longest_wait else max(own, asked)

    def is_last(self, attempt_number: int, failed_requests: int = 0) -> bool:
        """Whether the answers that may be asked for are used up."""
        return attempt_number - failed_requests > self.answers

"""Every error that this package raises, in one tree.

::

    InstructorError
    ├── ConfigurationError             an argument, a key, an SDK or a setting is missing or wrong
    ├── ClientError                    the client handed over does not fit
    ├── ModeError                      the vendor does not speak the mode
    ├── IncompleteOutputException      the provider cut the answer off
    ├── ProviderError                  a provider answered with something that is no answer
    ├── ValidationError                a value of ours did not validate
    ├── CacheError                     a store failed; raised to you only with ``on_error="raise"``
    │   ├── CacheEntryError            what a store returned is no entry of this key
    │   ├── CacheNotTriedError         an operation of a store never began; that says nothing about the store
    │   └── NoCanonicalFormError       a value in a call cannot be part of a cache key
    ├── InstructorRetryException       no valid answer: attempts are used up, or the provider's call failed
    │   ├── RefusalError               the model, or the provider's filter, refused to answer
    │   └── TokenBudgetError           a token budget ended the attempts
    │       ├── TokenBudgetExceeded
    │       └── TokenUsageUnavailableError
    ├── AsyncValidationError           (also a ValueError) asynchronous validators failed
    ├── ResponseParsingError           (also a ValueError) no answer could be found in a completion
    └── MultimodalError                (also a ValueError) an image, a sound or a document cannot be used

Catch `InstructorError` for all of them. The SDK's own error is the ``__cause__`` of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from instructor.usage import Usage

__all__ = [
    "AsyncValidationError",
    "CacheEntryError",
    "CacheError",
    "CacheNotTriedError",
    "ClientError",
    "ConfigurationError",
    "FailedAttempt",
    "IncompleteOutputException",
    "InstructorError",
    "InstructorRetryException",
    "ModeError",
    "MultimodalError",
    "NoCanonicalFormError",
    "ProviderError",
    "RefusalError",
    "ResponseParsingError",
    "TokenBudgetError",
    "TokenBudgetExceeded",
    "TokenUsageUnavailableError",
    "ValidationError",
]


class FailedAttempt(NamedTuple):
    """One attempt that gave no valid answer.

    Attributes:
        attempt_number: Counted from 1.
        exception: What was wrong.
        completion: The SDK's completion; None if the request itself failed.
    """

    attempt_number: int
    exception: Exception
    completion: Any | None = None


class InstructorError(Exception):
    """The root of the tree above.

    Attributes:
        failed_attempts: The attempts made before the error, oldest first; empty where none was made.
    """

    def __init__(self, *args: Any, failed_attempts: Sequence[FailedAttempt] | None = None) -> None:
        super().__init__(*args)
        self.failed_attempts: list[FailedAttempt] = list(failed_attempts or ())


class ConfigurationError(InstructorError):
    """An argument, a key, an SDK or a setting is missing or wrong. The message says what to do."""


class ClientError(InstructorError):
    """The client handed to a factory is not one that the factory can use."""


class ModeError(InstructorError):
    """The vendor does not speak the mode.

    Attributes:
        mode: The mode asked for.
        provider: The vendor.
        valid_modes: The names of the modes it speaks.
    """

    def __init__(self, mode: str, provider: str, valid_modes: Sequence[str]) -> None:
        self.mode = mode
        self.provider = provider
        self.valid_modes = list(valid_modes)
        super().__init__(f"{provider} does not speak mode {mode!r}. Use one of {', '.join(valid_modes)}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.mode, self.provider, self.valid_modes)


class IncompleteOutputException(InstructorError):
    """The provider cut the answer off, most often at its token limit. Never retried, never stored.

    Attributes:
        last_completion: The SDK's completion as it came.
    """

    def __init__(
        self,
        *args: Any,
        last_completion: Any | None = None,
        message: str = "The answer was cut off at the token limit. Raise max_tokens, or ask for less.",
    ) -> None:
        super().__init__(*(args or (message,)))
        self.last_completion = last_completion


class ProviderError(InstructorError):
    """A provider answered with something that is no answer.

    Attributes:
        provider: The vendor.
    """

    def __init__(self, provider: str, message: str) -> None:
        self.provider = provider
        self.message = message
        super().__init__(f"{provider}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.provider, self.message)


class ValidationError(InstructorError):
    """A value of ours did not validate; an answer that does not is a `pydantic.ValidationError`."""


class CacheError(InstructorError):
    """A store failed, or did not answer in time. You see it only with ``on_error="raise"`` on the store."""


class CacheEntryError(CacheError):
    """What a store returned is not an entry of the key asked for: damaged, older, or another key's."""


class CacheNotTriedError(CacheError):
    """An operation of a store never began.

    Either this process lacked something for it, such as a free connection of your client's pool, or the store failed
    while the operation waited for its turn. It is no sign that the store is down, so it starts no outage.
    """


class NoCanonicalFormError(CacheError):
    """A value in a call cannot be part of a cache key. The client then calls without the cache and says so."""


class InstructorRetryException(InstructorError):
    """No valid answer: the attempts are used up, or the provider's call failed. The last error is its ``__cause__``.

    Attributes:
        last_completion: The SDK's last completion; None if there was none.
        messages: The messages of the last request.
        n_attempts: How many requests were made.
        total_usage: Tokens spent over all of them.
        create_kwargs: The last request's keywords.
    """

    def __init__(
        self,
        *args: Any,
        last_completion: Any | None = None,
        messages: list[Any] | None = None,
        n_attempts: int = 0,
        total_usage: Usage | None = None,
        create_kwargs: dict[str, Any] | None = None,
        failed_attempts: Sequence[FailedAttempt] | None = None,
    ) -> None:
        super().__init__(*args, failed_attempts=failed_attempts)
        self.last_completion = last_completion
        self.messages = messages
        self.n_attempts = n_attempts
        self.total_usage = total_usage
        self.create_kwargs = create_kwargs


class RefusalError(InstructorRetryException):
    """The model, or the provider's filter, refused to answer. Never retried, never stored."""


class TokenBudgetError(InstructorRetryException):
    """A token budget ended the attempts.

    Attributes:
        budget: The budget in tokens, as given with ``token_budget=``.
    """

    def __init__(self, *args: Any, budget: int = 0, **details: Any) -> None:
        super().__init__(*args, **details)
        self.budget = budget


class TokenBudgetExceeded(TokenBudgetError):
    """The attempts so far cost as much as the budget, or more."""


class TokenUsageUnavailableError(TokenBudgetError):
    """A budget was given, but the provider does not say what an answer cost."""


class AsyncValidationError(ValueError, InstructorError):
    """Asynchronous validators failed.

    Attributes:
        errors: What each of them raised.
    """

    def __init__(self, message: str = "", *args: Any, errors: Sequence[ValueError] | None = None) -> None:
        super().__init__(message, *args)
        self.errors = list(errors or ())


class ResponseParsingError(ValueError, InstructorError):
    """No answer could be found in a completion. The model is asked again.

    Attributes:
        mode: The mode in which the answer was asked for.
        raw_response: The SDK's completion.
    """

    def __init__(self, message: str = "", *args: Any, mode: str | None = None, raw_response: Any | None = None) -> None:
        super().__init__(message, *args)
        self.mode = mode
        self.raw_response = raw_response


class MultimodalError(ValueError, InstructorError):
    """An image, a sound or a document cannot be used.

    Attributes:
        content_type: Its media type, where known.
        file_path: Its path, where it came from one.
    """

    def __init__(
        self, message: str = "", *args: Any, content_type: str | None = None, file_path: str | None = None
    ) -> None:
        super().__init__(message, *args)
        self.content_type = content_type
        self.file_path = file_path

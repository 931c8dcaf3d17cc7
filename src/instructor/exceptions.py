"""Every error that this package raises, in one tree.

::

    InstructorError
    ├── ConfigurationError             an argument, a key, an SDK or a setting is missing or wrong
    │   ├── ArgumentError              (also a ValueError) an argument has a wrong value
    │   └── MissingClientError         (also an AttributeError) ``client.client`` can't be made
    ├── ClientError                    the client handed over does not fit
    ├── ModeError                      (also a ValueError) there is no such mode, or the vendor does not speak it
    ├── IncompleteOutputException      the provider cut the answer off
    ├── ProviderError                  a provider sent something that is not an answer
    ├── ForeignError                   stands for another package's error where that can't be pickled
    ├── ValidationError                a record or a prompt of ours isn't valid
    ├── CacheError                     a store failed; raised to you only with ``on_error="raise"``
    │   ├── CacheEntryError            what a store returned isn't an entry of this key
    │   ├── CacheNotTriedError         an operation of a store never began; that says nothing about the store
    │   └── NoCanonicalFormError       a value in a call cannot be part of a cache key
    ├── BudgetExceeded                 a `Budget` is used up, so no request was made
    ├── EngineError                    the cluster that works on a job can't go on
    ├── CacheMiss                      ``cache_mode="replay"``, and no answer is stored
    ├── InstructorRetryException       no valid answer: attempts are used up, or the provider's call failed
    │   ├── RefusalError               the model, or the provider's filter, refused to answer
    │   └── TokenBudgetError           a token budget ended the attempts
    │       ├── TokenBudgetExceeded
    │       └── TokenUsageUnavailableError
    ├── ToolCallsError                 the model wants your own tools called before it answers
    ├── AsyncValidationError           (also a ValueError) asynchronous validators failed
    ├── ResponseParsingError           (also a ValueError) no answer could be found in a completion
    └── MultimodalError                (also a ValueError) an image, a sound or a document cannot be used

Catch `InstructorError` for all of them. The SDK's own error is the ``__cause__`` of ours.

All of them can be copied, pickled and sent between processes. The SDKs' errors can't: a pickled error of ours holds a
`ForeignError` in place of each.
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from instructor.messages import Completion, Messages, Request, ToolCall

if TYPE_CHECKING:
    from instructor.usage import Usage

__all__ = [
    "ArgumentError",
    "AsyncValidationError",
    "BudgetExceeded",
    "CacheEntryError",
    "CacheError",
    "CacheMiss",
    "CacheNotTriedError",
    "ClientError",
    "ConfigurationError",
    "FailedAttempt",
    "ForeignError",
    "IncompleteOutputException",
    "InstructorError",
    "InstructorRetryException",
    "MissingClientError",
    "ModeError",
    "MultimodalError",
    "NoCanonicalFormError",
    "ProviderError",
    "RefusalError",
    "ResponseParsingError",
    "TokenBudgetError",
    "TokenBudgetExceeded",
    "TokenUsageUnavailableError",
    "ToolCallsError",
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
    completion: Completion | None = None


class InstructorError(Exception):
    """The root of the tree above.

    Attributes:
        failed_attempts: The attempts made before the error, oldest first; empty where none was made.
    """

    def __init__(self, *args: object, failed_attempts: Sequence[FailedAttempt] | None = None) -> None:
        super().__init__(*args)
        self.failed_attempts: list[FailedAttempt] = list(failed_attempts or ())

    @classmethod
    def from_exception(cls, exception: Exception, failed_attempts: Sequence[FailedAttempt] | None = None) -> Self:
        """Make an error of this class with another's text. Raise it ``from`` the other."""
        return cls(str(exception), failed_attempts=failed_attempts)

    def __reduce__(self) -> tuple[object, ...]:
        # Pickle would call the class with `args`, which most classes below don't accept. `__newobj__` skips `__init__`.
        # The attributes come third and not as an argument: they may lead back to this error, as failed attempts do.
        state = self.__dict__ if self.__cause__ is None else self.__dict__ | {"__cause__": self.__cause__}
        return copyreg.__newobj__, (type(self), *make_portable(self.args)), make_portable(state)  # type: ignore[attr-defined]  # typeshed leaves it out

    def __copy__(self) -> Self:
        """Copy within this process, where everything can stay as it is; lists and dicts are the copy's own."""
        copied = type(self).__new__(type(self), *self.args)
        for name, value in self.__dict__.items():
            copied.__dict__[name] = copy.copy(value) if type(value) in (list, dict) else value
        copied.__cause__ = self.__cause__
        return copied


class ConfigurationError(InstructorError):
    """An argument, a key, an SDK or a setting is missing or wrong. The message says what to do."""


class ArgumentError(ConfigurationError, ValueError):
    """An argument has a wrong value.

    `ConfigurationError` itself isn't a ValueError: pydantic takes a ValueError that a validator raises for an invalid
    answer, so that a validator whose own client lacks its key would have the model asked again and again.
    """


class MissingClientError(ConfigurationError, AttributeError):
    """The attribute ``client`` of a client can't be read, because a key or the SDK is missing.

    As an AttributeError it lets those who look at every attribute pass on to the next: ``inspect.getmembers``,
    ``mock.create_autospec``, an editor's completion.
    """


class ClientError(InstructorError):
    """The client handed to a factory is not one that the factory can use."""


class ForeignError(InstructorError):
    """Stands for an error of another package that can't be pickled, or that holds a request with its credentials.

    You find it where an `InstructorError` came from another process, in place of the SDK's error: as ``__cause__``
    and in ``failed_attempts``.

    Attributes:
        type_name: The full name of the error's class, such as ``"openai.RateLimitError"``.
        text: The error's text.
        status_code: The HTTP status, where the error had one.

    Example:
        >>> str(ForeignError("openai.RateLimitError", "slow down", 429))
        'openai.RateLimitError: slow down'
    """

    def __init__(self, type_name: str, text: str, status_code: int | None = None) -> None:
        super().__init__(f"{type_name}: {text}" if text else type_name)
        self.type_name = type_name
        self.text = text
        self.status_code = status_code


class ModeError(InstructorError, ValueError):
    """There is no such mode, or the vendor doesn't offer it.

    Attributes:
        mode: The mode asked for.
        provider: The vendor; empty if no vendor has the mode.
        valid_modes: The names of the modes it offers.
    """

    def __init__(self, mode: str, provider: str, valid_modes: Sequence[str]) -> None:
        self.mode = mode
        self.provider = provider
        self.valid_modes = list(valid_modes)
        found = f"{provider} does not speak mode {mode!r}" if provider else f"There is no mode {mode!r}"
        super().__init__(f"{found}. Use one of {', '.join(valid_modes)}.")


class IncompleteOutputException(InstructorError):
    """The provider cut the answer off, most often at its token limit. Never retried, never stored.

    Attributes:
        last_completion: The SDK's completion as it came.
    """

    def __init__(
        self,
        *args: object,
        last_completion: Completion | None = None,
        message: str = "The answer was cut off at the token limit. Raise max_tokens, or ask for less.",
    ) -> None:
        super().__init__(*(args or (message,)))
        self.last_completion = last_completion


class ProviderError(InstructorError):
    """A provider sent something that is not an answer.

    Attributes:
        provider: The vendor.
        code: The provider's own word for what went wrong, such as ``"rate_limit_exceeded"``; empty if there is none.
    """

    def __init__(
        self, provider: str, message: str, *, code: str = "", failed_attempts: Sequence[FailedAttempt] | None = None
    ) -> None:
        self.provider = provider
        self.message = message
        self.code = code
        super().__init__(f"{provider}: {message}", failed_attempts=failed_attempts)


class ValidationError(InstructorError):
    """A record or a prompt of ours isn't valid. An invalid answer is a `pydantic.ValidationError`."""


class CacheError(InstructorError):
    """A store failed, or did not answer in time. You see it only with ``on_error="raise"`` on the store."""


class CacheEntryError(CacheError):
    """What a store returned is not an entry of the key asked for: damaged, older, or another key's."""


class CacheNotTriedError(CacheError):
    """An operation of a store never began.

    This process lacked something for it, such as a free connection of your client's pool; or the store has no room for
    what it was to keep; or it failed while the operation waited for its turn. It is no sign that the store is down, so it starts no outage.
    """


class NoCanonicalFormError(CacheError):
    """A value in a call cannot be part of a cache key. The client then calls without the cache and says so."""


class CacheMiss(InstructorError):
    """No answer to a call is stored, and ``cache_mode="replay"`` keeps it from being sent.

    Attributes:
        looked_for: What was looked for, in words.
        key: The call's key; None where it has none.
        reason: Why no answer could be served, as in the event ``cache:miss``: a row of
            `instructor.cache.misses.MISS_REASONS`.
        store: The class names of the stores that were looked into; empty where there is none.
        explanation: What differs from a stored call, where that is known.
    """

    def __init__(
        self,
        looked_for: str = "the call",
        *,
        key: str | None = None,
        reason: str = "cold",
        store: str = "",
        explanation: str | None = None,
    ) -> None:
        where = f" in {store}" if store else ""
        under = f" under the key {key[:12]}..." if key else ""
        advice = "Make the same call once with cache_mode='use', or check what differs from the call that was stored."
        super().__init__(
            f"No answer is stored{where} for {looked_for}{under} ({reason}), and cache_mode is 'replay', which sends "
            f"nothing. {advice if key else 'Only a call that is cached can be replayed.'}"
        )
        self.looked_for = looked_for
        self.key = key
        self.reason = reason
        self.store = store
        self.explanation = explanation

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n{self.explanation}" if self.explanation else text


class InstructorRetryException(InstructorError):
    """There is no valid answer: the attempts are used up, or the request failed. The last error is its ``__cause__``.

    Attributes:
        last_completion: The SDK's last completion; None if there was none.
        messages: The messages of the last request.
        n_attempts: How many requests were made.
        total_usage: Tokens spent over all of them.
    """

    def __init__(
        self,
        *args: object,
        last_completion: Completion | None = None,
        messages: Messages | None = None,
        n_attempts: int = 0,
        total_usage: Usage | None = None,
        create_kwargs: Request | None = None,
        failed_attempts: Sequence[FailedAttempt] | None = None,
    ) -> None:
        super().__init__(*args, failed_attempts=failed_attempts)
        self.last_completion = last_completion
        self.messages = messages
        self.n_attempts = n_attempts
        self.total_usage = total_usage
        self.create_kwargs = create_kwargs

    @property
    def create_kwargs(self) -> Request | None:
        """The last request's keywords; assigning them masks what may be a credential."""
        return self._create_kwargs

    @create_kwargs.setter
    def create_kwargs(self, kwargs: Mapping[str, object] | None) -> None:
        from instructor.credentials import mask_credentials

        self._create_kwargs = None if kwargs is None else mask_credentials(kwargs)


class RefusalError(InstructorRetryException):
    """The model, or the provider's filter, refused to answer. Never retried, never stored."""


class TokenBudgetError(InstructorRetryException):
    """A token budget ended the attempts.

    Attributes:
        budget: The budget in tokens, as passed with ``token_budget=``.
    """

    def __init__(self, *args: object, budget: int = 0, **details: Any) -> None:
        super().__init__(*args, **details)
        self.budget = budget


class TokenBudgetExceeded(TokenBudgetError):
    """The attempts so far cost as much as the budget, or more."""


class TokenUsageUnavailableError(TokenBudgetError):
    """There is a budget, but the provider doesn't say how many tokens an answer cost."""


class BudgetExceeded(InstructorError):
    """A `Budget` is used up, so no request was made. Hits are still served.

    Attributes:
        spent_usd: US dollars spent in the budget's period.
        spent_tokens: Tokens spent in it.
        opens: When the next period begins, in Unix seconds; None if the budget is for the whole run.
    """

    def __init__(
        self, *args: object, spent_usd: float = 0.0, spent_tokens: int = 0, opens: float | None = None
    ) -> None:
        super().__init__(*args)
        self.spent_usd, self.spent_tokens, self.opens = spent_usd, spent_tokens, opens


class EngineError(InstructorError):
    """The engine of a job can't go on: its scheduler is gone, or the same rows were lost with several workers.

    What was answered is in the cache, so the same job, run again, asks only about the rest.
    """


class ToolCallsError(InstructorError):
    """The model called tools of your own instead of giving the answer, as your ``tool_choice=`` lets it.

    Run them, and ask again with ``continue_messages(error.messages, error.last_completion, results)``. Never retried,
    never stored.

    Attributes:
        calls: The calls, in order.
        last_completion: The SDK's completion that holds them.
        messages: The conversation that was sent.
        total_usage: The tokens spent, all attempts together.
    """

    def __init__(
        self,
        *args: object,
        calls: Sequence[ToolCall] = (),
        last_completion: Completion = None,
        messages: Messages | None = None,
        total_usage: Usage | None = None,
    ) -> None:
        super().__init__(*args)
        self.calls = list(calls)
        self.last_completion = last_completion
        self.messages = messages or []
        self.total_usage = total_usage


class AsyncValidationError(ValueError, InstructorError):
    """Asynchronous validators failed.

    Attributes:
        errors: What each of them raised.
    """

    def __init__(self, message: str = "", *args: object, errors: Sequence[ValueError] | None = None) -> None:
        super().__init__(message, *args)
        self.errors = list(errors or ())


class ResponseParsingError(ValueError, InstructorError):
    """No answer could be found in a completion. The model is asked again.

    Attributes:
        mode: The mode in which the answer was asked for.
        raw_response: The SDK's completion.
    """

    def __init__(
        self, message: str = "", *args: object, mode: str | None = None, raw_response: Completion | None = None
    ) -> None:
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
        self, message: str = "", *args: object, content_type: str | None = None, file_path: str | None = None
    ) -> None:
        super().__init__(message, *args)
        self.content_type = content_type
        self.file_path = file_path


_PLAIN = (str, int, float, bool, bytes, type(None))


def make_portable(value: object) -> Any:
    """Replace what another process could not load, however deep it lies in lists, dicts and attempts."""
    # An error of ours is left alone, because pickle asks it in its turn; asking it here would follow circles for ever.
    if type(value) in _PLAIN or isinstance(value, InstructorError):
        return value
    if isinstance(value, FailedAttempt):
        return FailedAttempt(*(make_portable(member) for member in value))
    if type(value) in (list, tuple):
        items = cast("list[object]", value)
        return type(items)(make_portable(item) for item in items)
    if type(value) is dict:
        return {name: make_portable(item) for name, item in cast("dict[object, object]", value).items()}
    return value if not _holds_request(value) and _survives_pickling(value) else _make_stand_in(value)


def _holds_request(value: object) -> bool:
    """Whether an error has the request in it, and with it the key, as those of the SDKs and of httpx have."""
    members: Mapping[str, object] = getattr(value, "__dict__", {})
    return isinstance(value, BaseException) and not members.keys().isdisjoint({"request", "_request", "response"})


def _survives_pickling(value: object) -> bool:
    import pickle

    try:
        loaded = pickle.loads(pickle.dumps(value))  # noqa: S301 - it loads only what it has just written itself
    except Exception:  # noqa: BLE001 - a class may raise anything when it is pickled or made anew
        return False
    return type(loaded) is type(value) and (not isinstance(value, BaseException) or str(loaded) == str(value))


def _make_stand_in(value: object) -> ForeignError | str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if not isinstance(value, BaseException):
        return f"<{name}, which can't be pickled>"
    status = getattr(value, "status_code", None)
    return ForeignError(name, str(value), status if isinstance(status, int) else None)

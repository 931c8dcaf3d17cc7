"""Hooks: your functions that are called when something happens during a call, and the records they receive."""

from __future__ import annotations

import enum
import inspect
import logging
from collections.abc import Callable, Mapping, Sized
from functools import partialmethod
from typing import Concatenate, Literal, NamedTuple, Protocol, cast, overload

from instructor import debug_log
from instructor.describing import describe_value, refuse
from instructor.exceptions import ArgumentError
from instructor.messages import ResponseModel
from instructor.usage import Usage

__all__ = ["AdaptedEvent", "CacheEvent", "HookName", "Hooks", "RequestEvent"]

logger = logging.getLogger("instructor.hooks")


class HookName(enum.Enum):
    """The events that a handler can be registered for.

    ===========================  ==========================================================================
    event                        what the handler receives
    ===========================  ==========================================================================
    ``completion:kwargs``        the request's keywords, as keywords (a copy: changing it changes nothing)
    ``completion:response``      the SDK's completion
    ``completion:usage``         `Usage` summed over the attempts so far; ``attempt_number=``
    ``completion:error``         the exception of a request that failed; ``attempt_number=``, ``max_attempts=``,
                                 ``is_last_attempt=``
    ``completion:last_attempt``  the exception that ended the attempts; the same keywords
    ``completion:request``       one `RequestEvent`: a request has ended, and its answer was judged
    ``completion:adapted``       one `AdaptedEvent`: the request was changed to suit the model
    ``parse:error``              the exception of an answer that is not valid; the same keywords
    ``cache:*``                  one `CacheEvent`
    ===========================  ==========================================================================

    A handler need not accept the keywords; it receives those that its signature names.
    """

    # By identity: Enum's own is a Python function, and hooks are looked up many times in each call.
    __hash__ = object.__hash__

    COMPLETION_KWARGS = "completion:kwargs"
    COMPLETION_RESPONSE = "completion:response"
    COMPLETION_ERROR = "completion:error"
    COMPLETION_LAST_ATTEMPT = "completion:last_attempt"
    COMPLETION_USAGE = "completion:usage"
    COMPLETION_REQUEST = "completion:request"
    COMPLETION_ADAPTED = "completion:adapted"
    PARSE_ERROR = "parse:error"
    CACHE_HIT = "cache:hit"
    CACHE_MISS = "cache:miss"
    CACHE_WRITE = "cache:write"
    CACHE_BYPASS = "cache:bypass"
    CACHE_ERROR = "cache:error"
    CACHE_COALESCED = "cache:coalesced"


class AdaptedEvent(NamedTuple):
    """A request that was changed because the model doesn't support a part of it.

    Attributes:
        provider: The vendor.
        model: The model asked.
        reason: What the model doesn't support, such as ``"temperature is not supported"``.
        change: What was done, such as ``"without temperature"`` or ``"mode TOOLS -> JSON_SCHEMA"``.
    """

    provider: str
    model: str
    reason: str
    change: str


class RequestEvent(NamedTuple):
    """One request to a provider, when it has ended and its answer was judged.

    Attributes:
        provider: The vendor.
        model: The model asked.
        answered_by: The model that answered, in the provider's words; empty if it didn't say.
        response_model: What the caller passed.
        attempt: Its number among the attempts of its call, from 1.
        began: When it was sent, in Unix nanoseconds.
        seconds: How long it took, without the time in which a stream waited for its reader.
        usage: Its tokens; None if it brought no answer.
        error: Why it failed, or why its answer wasn't valid; None if the answer is used.
        streamed: Whether the answer was streamed.
        request: Its keywords, prompt included, which must not be changed.
        answer: The text of the answer; empty if it isn't used.
    """

    provider: str
    model: str
    answered_by: str
    response_model: ResponseModel
    attempt: int
    began: int
    seconds: float
    usage: Usage | None
    error: Exception | None
    streamed: bool
    request: Mapping[str, object]
    answer: str


class CacheEvent(NamedTuple):
    """What happened between one call and its cache. It holds neither a prompt nor a credential.

    Attributes:
        name: Which event this is.
        store: The class name of the store, such as ``"AutoCache"``.
        provider: The vendor.
        model: The model asked.
        response_model: What the caller passed.
        key: The call's key; None for a bypass, which has none.
        age: Seconds since the answer was stored, for a hit.
        seconds_saved: How long the request took whose answer is served; 0.0 otherwise.
        tokens_saved: What that request cost in tokens; 0 otherwise.
        usage: That request's tokens in full, for a hit, a coalesced call and a write.
        tier: The class name of the very store that had the answer, for a hit.
        stale: Whether the answer that is served isn't fresh any more; see ``stale_while_revalidate`` and
            ``stale_if_error``.
        reason: Why: for a miss a row of `instructor.cache.misses.MISS_REASONS`, such as ``"cold"`` or
            ``"prompt_changed"``; in words for a bypass, an error, and a stale hit in place of a failure.
        detail: What is known of a miss beyond its reason, such as ``"arguments.temperature"`` for
            ``"params_changed"``. With ``explain_misses`` it quotes what was asked.
        compatible: Whether the answer that is served was stored for another schema of the response model; see
            ``schema_match``.
    """

    # A named tuple, because making one takes a fifth of the time of a frozen dataclass, and a hit waits for it.
    name: HookName
    store: str
    provider: str
    model: str
    response_model: ResponseModel
    key: str | None = None
    age: float | None = None
    seconds_saved: float = 0.0
    tokens_saved: int = 0
    usage: Usage | None = None
    reason: str | None = None
    tier: str | None = None
    stale: bool = False
    detail: str | None = None
    compatible: bool = False


_CacheNames = Literal[
    HookName.CACHE_HIT,
    HookName.CACHE_MISS,
    HookName.CACHE_WRITE,
    HookName.CACHE_BYPASS,
    HookName.CACHE_ERROR,
    HookName.CACHE_COALESCED,
    "cache:hit",
    "cache:miss",
    "cache:write",
    "cache:bypass",
    "cache:error",
    "cache:coalesced",
]
_AdaptedNames = Literal[HookName.COMPLETION_ADAPTED, "completion:adapted"]
_RequestNames = Literal[HookName.COMPLETION_REQUEST, "completion:request"]
_UsageNames = Literal[HookName.COMPLETION_USAGE, "completion:usage"]
_ErrorNames = Literal[
    HookName.COMPLETION_ERROR,
    HookName.COMPLETION_LAST_ATTEMPT,
    HookName.PARSE_ERROR,
    "completion:error",
    "completion:last_attempt",
    "parse:error",
]
_Error = Callable[Concatenate[Exception, ...], object]
"""A handler of an exception, which may accept any of the keywords."""


class On(Protocol):
    """`Hooks.on` and the clients' ``on``: type checkers know from the event's name what its handler receives."""

    @overload
    def __call__(self, hook_name: _CacheNames, handler: Callable[[CacheEvent], object]) -> None: ...

    @overload
    def __call__(self, hook_name: _AdaptedNames, handler: Callable[[AdaptedEvent], object]) -> None: ...

    @overload
    def __call__(self, hook_name: _RequestNames, handler: Callable[[RequestEvent], object]) -> None: ...

    @overload
    def __call__(self, hook_name: _UsageNames, handler: Callable[Concatenate[Usage, ...], object]) -> None: ...

    @overload
    def __call__(self, hook_name: _ErrorNames, handler: _Error) -> None: ...

    # For computed names.
    @overload
    def __call__(self, hook_name: HookName | str, handler: Callable[..., object]) -> None: ...


def typed_on(method: Callable[..., None]) -> On:
    """Give a method the signature of `On`; what runs is the method itself."""
    return cast("On", method)


class Handler(NamedTuple):
    """A function, and what to call it with.

    Attributes:
        function: The user's function.
        keywords: The names of the keywords that it accepts; None for all.
    """

    function: Callable[..., object]
    keywords: frozenset[str] | None

    def call(self, name: HookName, arguments: tuple[object, ...], details: dict[str, object]) -> object:
        """Return what the function returns; None if it raises, because a hook must not disturb the call."""
        try:
            if not details:
                return self.function(*arguments)
            if self.keywords is not None:
                details = {name: value for name, value in details.items() if name in self.keywords}
            return self.function(*arguments, **details)
        except Exception as error:  # noqa: BLE001 - the function is the user's
            _log(name, error)
            return None


def _keywords_of(function: Callable[..., object]) -> frozenset[str] | None:
    """Read a signature once, at registration, because reading it costs more than most handlers do."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in named)


class Hooks:
    """A set of handlers, for a client (``hooks=`` of a factory, ``client.on``) or one call (``hooks=`` of create).

    A handler that raises is logged and does not disturb the call. The asynchronous client awaits handlers that are
    coroutine functions; the synchronous one can't run them, and logs that.

    Attributes:
        handlers: The handlers of each event that has any. Read it; change it with the methods.

    Example:
        >>> hooks = Hooks()
        >>> hooks.on("cache:hit", lambda event: print("saved", event.seconds_saved))
        >>> hooks
        <Hooks cache:hit (1)>
    """

    def __init__(self) -> None:
        # Tuples are replaced, never changed: a call under way in another thread keeps the handlers it began with.
        self.handlers: dict[HookName, tuple[Handler, ...]] = {}

    @typed_on
    def on(self, hook_name: HookName | str, handler: Callable[..., object]) -> None:
        """Register a handler.

        Args:
            hook_name: A `HookName` or its value, such as ``"cache:hit"``.
            handler: Any callable; see `HookName` for what it receives.

        Raises:
            ArgumentError: The name is unknown, or the handler is not callable.
        """
        name = _resolve_name(hook_name)
        if not callable(handler):
            raise refuse(f"The handler of {name.value}", handler, "a function")
        self.handlers[name] = (*self.handlers.get(name, ()), Handler(handler, _keywords_of(handler)))

    def off(self, hook_name: HookName | str, handler: Callable[..., object]) -> None:
        """Remove a handler; nothing happens if it is not registered."""
        name = _resolve_name(hook_name)
        kept = tuple(known for known in self.handlers.get(name, ()) if known.function != handler)
        if kept:
            self.handlers[name] = kept
        else:
            self.handlers.pop(name, None)

    def clear(self, hook_name: HookName | str | None = None) -> None:
        """Remove all handlers of one event, or of all events."""
        if hook_name is None:
            self.handlers.clear()
        else:
            self.handlers.pop(_resolve_name(hook_name), None)

    def has_handlers(self, hook_name: HookName) -> bool:
        """Whether anybody wants the event: a handler, or the debug log. Ask before making a record for nobody."""
        return hook_name in self.handlers or bool(debug_log.enabled)

    def copy(self) -> Hooks:
        """Make an independent set with the same handlers."""
        return Hooks.combine(self)

    @classmethod
    def combine(cls, *several: Hooks) -> Hooks:
        """Make one set with all their handlers, in order."""
        combined = cls()
        for hooks in several:
            for name, handlers in hooks.handlers.copy().items():  # another thread may add or remove some
                combined.handlers[name] = (*combined.handlers.get(name, ()), *handlers)
        return combined

    def __add__(self, other: Hooks) -> Hooks:
        return Hooks.combine(self, other)

    def __iadd__(self, other: Hooks) -> Hooks:  # noqa: PYI034 - `Self` would promise a subclass that combine does not make
        # The dict object stays the same: the fast path of a client holds on to it.
        self.handlers.update(Hooks.combine(self, other).handlers)
        return self

    def __repr__(self) -> str:
        counts = [f" {name.value} ({len(handlers)})" for name, handlers in self.handlers.items()]
        return f"<Hooks{','.join(counts) or ' without handlers'}>"

    def emit(self, hook_name: HookName, *arguments: object, **details: object) -> None:
        """Call the handlers of an event, as the synchronous client does."""
        if debug_log.enabled:
            _log_event(hook_name, arguments, details)
        for handler in self.handlers.get(hook_name, ()):
            result = handler.call(hook_name, arguments, details)
            if result is not None and inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                logger.warning("A handler of %s is a coroutine function; use AsyncInstructor.", hook_name.value)

    async def emit_async(self, hook_name: HookName, *arguments: object, **details: object) -> None:
        """Call the handlers of an event and await those that are coroutine functions, one after the other."""
        if debug_log.enabled:
            _log_event(hook_name, arguments, details)
        for handler in self.handlers.get(hook_name, ()):
            result = handler.call(hook_name, arguments, details)
            if result is not None and inspect.isawaitable(result):
                try:
                    await result
                except Exception as error:  # noqa: BLE001 - a hook must not disturb the call
                    _log(hook_name, error)

    # Under their names of 1.x, for tests that emit an event themselves.
    emit_completion_arguments = partialmethod(emit, HookName.COMPLETION_KWARGS)
    emit_completion_response = partialmethod(emit, HookName.COMPLETION_RESPONSE)
    emit_completion_error = partialmethod(emit, HookName.COMPLETION_ERROR)
    emit_completion_last_attempt = partialmethod(emit, HookName.COMPLETION_LAST_ATTEMPT)
    emit_completion_usage = partialmethod(emit, HookName.COMPLETION_USAGE)
    emit_parse_error = partialmethod(emit, HookName.PARSE_ERROR)


def _resolve_name(hook_name: HookName | str) -> HookName:
    try:
        return hook_name if isinstance(hook_name, HookName) else HookName(hook_name)
    except ValueError:
        known = ", ".join(name.value for name in HookName)
        shown = repr(hook_name) if isinstance(hook_name, str) else describe_value(hook_name)
        raise ArgumentError(f"There is no event {shown}. Use one of: {known}.") from None


def _log(name: HookName, error: Exception) -> None:
    logger.warning("A handler of %s raised %r; the call goes on.", name.value, error, exc_info=error)


def _log_event(name: HookName, arguments: tuple[object, ...], details: Mapping[str, object]) -> None:
    """Write an event to the debug log, without a prompt, an answer, a credential or the text of an error."""
    record = arguments[0] if arguments else None
    if isinstance(record, CacheEvent):
        text = _describe_cache_event(record)
    elif isinstance(record, RequestEvent):
        text = _describe_ended(record)
    elif isinstance(record, (AdaptedEvent, Usage)):
        text = repr(record)
    elif record is None:
        text = _describe_request(details)
    else:
        text = type(record).__name__
    if isinstance(record, Exception):
        text += f" in attempt {details.get('attempt_number')} of {details.get('max_attempts')}"
    debug_log.logger.debug("%s: %s", name.value, text)


def _describe_cache_event(event: CacheEvent) -> str:
    model = getattr(event.response_model, "__name__", None) or str(event.response_model)
    parts = [f"{model} from {event.provider}/{event.model} in {event.store}"]
    parts += [f"key {event.key[:12]}"] if event.key else []
    parts += [f"stored {event.age:.1f} s ago"] if event.age is not None else []
    parts += ["stale"] if event.stale else []
    return ", ".join(parts + ([event.reason] if event.reason else []))


def _describe_ended(event: RequestEvent) -> str:
    tokens = "no answer" if event.usage is None else f"{event.usage.total_tokens} tokens"
    failed = f", {type(event.error).__name__}" if event.error is not None else ""
    return f"attempt {event.attempt} of {event.provider}/{event.model}, {tokens} in {event.seconds:.3f} s{failed}"


def _describe_request(request: Mapping[str, object]) -> str:
    """Name what a request holds: its model, how many messages, and the keywords, without their values."""
    counts = [
        f"{len(value)} {name}" for name, value in request.items() if isinstance(value, Sized) and name in _COUNTED
    ]
    others = sorted(request.keys() - _COUNTED - {"model"})
    return ", ".join([f"model {request.get('model')}", *counts, *others])


_COUNTED = frozenset({"messages", "contents", "input"})
"""The keywords under which the providers take the conversation."""

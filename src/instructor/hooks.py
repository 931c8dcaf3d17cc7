"""Hooks: functions of yours that are told what happens during a call, and the records they are given."""

from __future__ import annotations

import enum
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from instructor.exceptions import ConfigurationError
from instructor.usage import Usage

__all__ = ["CacheEvent", "HookName", "Hooks"]

logger = logging.getLogger("instructor.hooks")


class HookName(enum.Enum):
    """The events that a hook can be told of.

    ==========================  ==========================================================================
    event                       what the handler is given
    ==========================  ==========================================================================
    ``completion:kwargs``       the request's keywords, as keywords (a copy: changing it changes nothing)
    ``completion:response``     the SDK's completion
    ``completion:usage``        `Usage` summed over the attempts so far; ``attempt_number=``
    ``completion:error``        the exception of a request that failed; ``attempt_number=``, ``max_attempts=``,
                                ``is_last_attempt=``
    ``completion:last_attempt`` the exception that ended the attempts; the same keywords
    ``parse:error``             the exception of an answer that is not valid; the same keywords
    ``cache:*``                 one `CacheEvent`
    ==========================  ==========================================================================

    A handler need not take the keywords; it gets those that its signature names.
    """

    COMPLETION_KWARGS = "completion:kwargs"
    COMPLETION_RESPONSE = "completion:response"
    COMPLETION_ERROR = "completion:error"
    COMPLETION_LAST_ATTEMPT = "completion:last_attempt"
    COMPLETION_USAGE = "completion:usage"
    COMPLETION_ADAPTED = "completion:adapted"
    PARSE_ERROR = "parse:error"
    CACHE_HIT = "cache:hit"
    CACHE_MISS = "cache:miss"
    CACHE_WRITE = "cache:write"
    CACHE_BYPASS = "cache:bypass"
    CACHE_ERROR = "cache:error"
    CACHE_COALESCED = "cache:coalesced"


@dataclass(frozen=True, slots=True)
class AdaptedEvent:
    """x."""

    provider: str
    model: str
    reason: str
    change: str


@dataclass(frozen=True, slots=True)
class CacheEvent:
    """What happened between one call and its cache. Neither a prompt nor a credential is in it.

    Attributes:
        name: Which event this is.
        store: The class name of the store, such as ``"AutoCache"``.
        provider: The vendor.
        model: The model asked.
        response_model: What the caller passed.
        key: The call's key; None for a bypass, which has none.
        age: Seconds since the answer was stored, for a hit.
        seconds_saved: How long the live call took whose answer is served; 0.0 otherwise.
        tokens_saved: What that call cost in tokens; 0 otherwise.
        usage: That call's tokens in full, for a hit, a coalesced call and a write.
        reason: Why: for a miss (``"absent"``, ``"expired"``, ``"refused: ..."``, ``"damaged: ..."``,
            ``"store paused"``), a bypass and an error.
    """

    name: HookName
    store: str
    provider: str
    model: str
    response_model: Any
    key: str | None = None
    age: float | None = None
    seconds_saved: float = 0.0
    tokens_saved: int = 0
    usage: Usage | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """A function, and what to call it with.

    Attributes:
        function: The user's function.
        keywords: The keywords that it takes; None for all.
    """

    function: Callable[..., Any]
    keywords: frozenset[str] | None

    def call(self, arguments: tuple[Any, ...], details: dict[str, Any]) -> Any:
        if self.keywords is not None:
            details = {name: value for name, value in details.items() if name in self.keywords}
        return self.function(*arguments, **details)


def _keywords_of(function: Callable[..., Any]) -> frozenset[str] | None:
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
    coroutine functions; the synchronous one cannot run them, and says so in the log.

    Attributes:
        handlers: The handlers of each event that has any; read it, and change it with the methods.

    Example:
        >>> hooks = Hooks()
        >>> hooks.on("cache:hit", lambda event: print("saved", event.seconds_saved))
    """

    def __init__(self) -> None:
        # Tuples are replaced, never changed, so that a call in another thread goes on with the set it has.
        self.handlers: dict[HookName, tuple[Handler, ...]] = {}

    def on(self, hook_name: HookName | str, handler: Callable[..., Any]) -> None:
        """Register a handler.

        Args:
            hook_name: A `HookName` or its value, such as ``"cache:hit"``.
            handler: Any callable; see `HookName` for what it is given.

        Raises:
            ConfigurationError: The name is unknown, or the handler cannot be called.
        """
        name = _resolve_name(hook_name)
        if not callable(handler):
            raise ConfigurationError(f"The handler for {name.value!r} is a {type(handler).__name__}; pass a function.")
        self.handlers[name] = (*self.handlers.get(name, ()), Handler(handler, _keywords_of(handler)))

    def off(self, hook_name: HookName | str, handler: Callable[..., Any]) -> None:
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
        """Whether anybody listens, so that a record nobody reads is not made."""
        return hook_name in self.handlers

    def copy(self) -> Hooks:
        """A set of its own with the same handlers."""
        return Hooks.combine(self)

    @classmethod
    def combine(cls, *several: Hooks) -> Hooks:
        """One set with all their handlers, in order."""
        combined = cls()
        for hooks in several:
            for name, handlers in hooks.handlers.items():
                combined.handlers[name] = (*combined.handlers.get(name, ()), *handlers)
        return combined

    def __add__(self, other: Hooks) -> Hooks:
        return Hooks.combine(self, other)

    def __iadd__(self, other: Hooks) -> Hooks:  # noqa: PYI034 - `Self` would promise a subclass that combine does not make
        # The dict itself stays: whoever reads it on the way of a hit has hold of it.
        self.handlers.update(Hooks.combine(self, other).handlers)
        return self

    def emit(self, hook_name: HookName, *arguments: Any, **details: Any) -> None:
        """Call the handlers of an event, as the synchronous client does."""
        for result in self._results(hook_name, arguments, details):
            if inspect.isawaitable(result):
                if inspect.iscoroutine(result):
                    result.close()
                logger.warning("A handler of %s is a coroutine function; use AsyncInstructor.", hook_name.value)

    async def emit_async(self, hook_name: HookName, *arguments: Any, **details: Any) -> None:
        """Call the handlers of an event and await those that are coroutines, one after the other."""
        for result in self._results(hook_name, arguments, details):
            if inspect.isawaitable(result):
                try:
                    await result
                except Exception as error:  # noqa: BLE001 - a hook must not disturb the call
                    _log(hook_name, error)

    def _results(self, name: HookName, arguments: tuple[Any, ...], details: dict[str, Any]) -> Iterator[Any]:
        for handler in self.handlers.get(name, ()):
            try:
                result = handler.call(arguments, details)
            except Exception as error:  # noqa: BLE001 - a hook must not disturb the call
                _log(name, error)
            else:
                yield result


def _resolve_name(hook_name: HookName | str) -> HookName:
    try:
        return hook_name if isinstance(hook_name, HookName) else HookName(hook_name)
    except ValueError:
        known = ", ".join(name.value for name in HookName)
        raise ConfigurationError(f"{hook_name!r} is not a hook. Use one of: {known}.") from None


def _log(name: HookName, error: Exception) -> None:
    logger.warning("A handler of %s raised %r; the call goes on.", name.value, error, exc_info=error)

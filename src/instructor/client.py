"""The clients: they turn a user's keywords into a call, and its reply into what the user gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from instructor.base_client import NOT_GIVEN, BaseClient, NotGiven
from instructor.cache.store import BaseCache
from instructor.engine.drive import drive, drive_async
from instructor.engine.fast_path import MISSING
from instructor.engine.flow import run
from instructor.hooks import Hooks

if TYPE_CHECKING:
    from tenacity import BaseRetrying

T = TypeVar("T")


class Instructor(BaseClient):
    """A client that gives typed, validated answers, and keeps them.

    You get one from `from_provider`, `from_openai`, `from_anthropic` or `from_genai`. It may be used from any number
    of threads at once.

    Args:
        adapter: The way to the provider.
        wires: The wire for each mode that the provider speaks.
        mode: The mode to ask in.
        model: The model to ask unless a call names another.
        cache: Where answers are kept; None for nowhere.
        cache_ttl: Seconds, or a timedelta, for which answers are served; None for ever.
        cache_namespace: A partition of the store that no answer crosses, such as a tenant's name.
        hooks: Handlers of events.
        defaults: Keywords for every call that does not give them itself.

    Raises:
        ConfigurationError: An argument is of the wrong type.
        ModeError: The provider does not speak the mode.

    Example:
        >>> from instructor import from_provider
        >>> client = from_provider("offline/demo")
        >>> client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
    """

    @overload
    def create(
        self,
        response_model: type[T],
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> T: ...

    @overload
    def create(
        self,
        response_model: None = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any: ...

    @overload
    def create(
        self,
        response_model: Any,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any: ...

    def create(
        self,
        response_model: Any = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any:
        """Ask for an answer of a given type.

        A stored answer to the same call is served if there is one; otherwise the provider is asked, and asked again
        with the error shown to it while its answers do not validate.

        Args:
            response_model: The type of the answer: a pydantic model, dataclass or TypedDict; ``A | B``, ``A | None``,
                ``list[A]``, Enum, Literal, int, str, datetime ...; None for the SDK's completion as it is.
            messages: The conversation: dicts with ``role`` and ``content``, in OpenAI's form or the provider's own.
            max_retries: How often to ask again after an invalid answer, default 3; or a tenacity ``Retrying``, which
                then also decides about failed requests.
            context: Given to validators, and to Jinja2 templates in the messages.
            strict: Whether validation refuses values of another type (``"5"`` for an int). Default True.
            hooks: Handlers for this call, beside the client's.
            cache: A store for this call in place of the client's; None for none.
            cache_ttl: Seconds, or a timedelta, for which the answer is served; 0 stores nothing.
            cache_namespace: A partition for this call in place of the client's.
            token_budget: Tokens after which no further attempt is made.
            **arguments: Anything else the provider's SDK takes: ``temperature``, ``max_tokens``, ``model``,
                ``timeout`` in seconds ...

        Returns:
            An instance of the very type passed; your own copy.

        Raises:
            ConfigurationError: An argument is wrong, or a key or an SDK is missing.
            InstructorRetryException: No valid answer: the attempts are used up, or the request failed.
            RefusalError: The model refused.
            IncompleteOutputException: The answer was cut off.

        Example:
            >>> client.create(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}])
            User(name='Anna', age=25)
        """
        if (
            cache is NOT_GIVEN
            and hooks is None
            and cache_ttl is None
            and cache_namespace is None
            and token_budget is None
            and (max_retries is None or (type(max_retries) is int and max_retries >= 0))
        ):
            value = self._memory_lookup(response_model, messages, context, strict, arguments)
            if value is not MISSING:
                return value
        call = self._call(
            response_model,
            messages,
            max_retries,
            context,
            strict,
            hooks,
            cache,
            cache_ttl,
            cache_namespace,
            token_budget,
            arguments,
        )
        return drive(run(call), self._adapter).value

    @overload
    def create_with_completion(
        self,
        response_model: type[T],
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[T, Any]: ...

    @overload
    def create_with_completion(
        self,
        response_model: None = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]: ...

    @overload
    def create_with_completion(
        self,
        response_model: Any,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]: ...

    def create_with_completion(
        self,
        response_model: Any = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]:
        """Ask as `create` does, and return the SDK's completion too.

        On a hit the completion is made again from the stored text: the SDK's own class with every attribute, or a
        ``SimpleNamespace`` where the SDK is not installed. Its ``usage`` is that of the live call.

        Returns:
            The answer and the completion.

        Raises:
            InstructorError: As `create`.

        Example:
            >>> user, completion = client.create_with_completion(response_model=User, messages=messages)
            >>> completion.usage.total_tokens
            82
        """
        call = self._call(
            response_model,
            messages,
            max_retries,
            context,
            strict,
            hooks,
            cache,
            cache_ttl,
            cache_namespace,
            token_budget,
            arguments,
        )
        reply = drive(run(call), self._adapter)
        return reply.value, self._completion(reply)


class AsyncInstructor(BaseClient):
    """`Instructor` for asyncio: the same methods, awaited; the same order of events, the same answers.

    You get one from ``from_provider(..., async_client=True)``, or from a factory over an asynchronous SDK client.
    Handlers that are coroutine functions are awaited.

    Example:
        >>> client = from_provider("offline/demo", async_client=True)
        >>> await client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
    """

    @overload
    async def create(
        self,
        response_model: type[T],
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> T: ...

    @overload
    async def create(
        self,
        response_model: None = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any: ...

    @overload
    async def create(
        self,
        response_model: Any,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any: ...

    async def create(
        self,
        response_model: Any = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> Any:
        """As `Instructor.create`."""
        if (
            cache is NOT_GIVEN
            and hooks is None
            and cache_ttl is None
            and cache_namespace is None
            and token_budget is None
            and (max_retries is None or (type(max_retries) is int and max_retries >= 0))
        ):
            value = self._memory_lookup(response_model, messages, context, strict, arguments)
            if value is not MISSING:
                return value
        call = self._call(
            response_model,
            messages,
            max_retries,
            context,
            strict,
            hooks,
            cache,
            cache_ttl,
            cache_namespace,
            token_budget,
            arguments,
        )
        return (await drive_async(run(call), self._adapter)).value

    @overload
    async def create_with_completion(
        self,
        response_model: type[T],
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[T, Any]: ...

    @overload
    async def create_with_completion(
        self,
        response_model: None = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]: ...

    @overload
    async def create_with_completion(
        self,
        response_model: Any,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]: ...

    async def create_with_completion(
        self,
        response_model: Any = None,
        messages: Sequence[Any] | None = None,
        max_retries: int | BaseRetrying | None = None,
        context: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        hooks: Hooks | None = None,
        *,
        cache: BaseCache | NotGiven | None = NOT_GIVEN,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        token_budget: int | None = None,
        **arguments: Any,
    ) -> tuple[Any, Any]:
        """As `Instructor.create_with_completion`."""
        call = self._call(
            response_model,
            messages,
            max_retries,
            context,
            strict,
            hooks,
            cache,
            cache_ttl,
            cache_namespace,
            token_budget,
            arguments,
        )
        reply = await drive_async(run(call), self._adapter)
        return reply.value, self._completion(reply)

"""Clients over functions, and functions with a response model: the forms in which older programs ask."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, overload

from typing_extensions import deprecated

from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import ClientError
from instructor.messages import Completion, Conversation, ResponseModel
from instructor.mode import Mode
from instructor.providers.callables import ORIGINAL, is_async, original_of


def from_litellm(
    completion: Callable[..., Completion],
    mode: Mode | str | None = None,
    *,
    model: str | None = None,
    async_client: bool | None = None,
    provider: str = "litellm",
    **kwargs: Any,
) -> Completion:
    """Make a client from LiteLLM's functions, or from any other that takes and returns what OpenAI's chat API does.

    Args:
        completion: ``litellm.completion``, ``litellm.acompletion``, the same methods of a ``Router``, or your own
            function. It is called with keywords: ``model``, ``messages``, ``tools`` ...
        mode: How the model is asked for an answer of a type. Default: by tool calls.
        model: The model of calls that name none, with LiteLLM's own prefix.
        async_client: Whether the function returns awaitables. Default: whether it is a coroutine function.
        provider: The vendor's name, for events.
        **kwargs: ``cache``, ``cache_ttl``, ``cache_namespace`` and ``hooks`` as in `from_provider`; any other keyword
            is a default for each call.

    Returns:
        An `AsyncInstructor` for a coroutine function, else an `Instructor`.

    Raises:
        ConfigurationError: It isn't a function.

    Example:
        >>> def complete(**request):
        ...     return {"choices": [{"finish_reason": "stop", "message": {"content": '{"content": 25}'}}]}
        >>> client = from_litellm(complete, model="any", mode="json")
        >>> client.create(int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
    """
    function = original_of(completion)
    client_class = AsyncInstructor if async_client or is_async(function) else Instructor
    return client_class(create=function, mode=mode, provider=provider, model=model, **kwargs)


@overload
def patch(client: Any, create: None = None, mode: Mode | str | None = None, provider: object = None) -> Completion: ...
@overload
def patch(
    client: None = None, *, create: Callable[..., Completion], mode: Mode | str | None = None, provider: object = None
) -> Callable[..., Completion]: ...


def patch(
    client: Any = None, create: Any = None, mode: Mode | str | None = None, provider: object = None
) -> Completion:
    """Let ``client.chat.completions.create``, or a function like it, take a ``response_model``.

    For new programs `from_openai` is better: it leaves the SDK's client as it is, and has all methods.

    Args:
        client: A client of the openai SDK. Its method is replaced, and the client returned.
        create: A function in the shape of that method, in place of a client.
        mode: As in `from_openai`.
        provider: The vendor's name, or a member of `Provider`. Default: the one that the function's client shows.

    Returns:
        The client; or, for ``create``, a function that also takes ``response_model``, ``max_retries`` (default 1),
        ``context``, ``strict``, ``hooks``, ``cache`` ...

    Raises:
        ClientError: There is neither a client nor a function.

    Example:
        >>> def complete(**request):
        ...     return {"choices": [{"finish_reason": "stop", "message": {"content": '{"content": 25}'}}]}
        >>> ask = instructor.patch(create=complete, mode="json")
        >>> ask(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}], model="any")
        25
    """
    if create is None:
        if client is None:
            raise ClientError("patch() needs client= or create=. Pass an openai.OpenAI, or its create method.")
        completions = client.chat.completions
        completions.create = patch(create=completions.create, mode=mode, provider=provider)
        return client
    function = original_of(create)
    maker = from_litellm(function, mode, provider=str(getattr(provider, "value", provider) or ""))
    return _make_function(maker, function)


@deprecated("patch() takes asynchronous clients too.")
def apatch(client: Any, mode: Mode | str | None = None) -> Completion:
    """`patch` for an asynchronous client, under its name of 0.x.

    Args:
        client: A client of the openai SDK. Its method is replaced, and the client returned.
        mode: As in `patch`.

    Example:
        >>> import openai
        >>> sdk = openai.AsyncOpenAI(api_key="...")
        >>> instructor.patch(sdk) is sdk  # instructor.apatch does the same, with a DeprecationWarning
        True
    """
    return patch(client, mode=mode)


def _make_function(
    maker: Instructor | AsyncInstructor, function: Callable[..., Completion]
) -> Callable[..., Completion]:
    if isinstance(maker, AsyncInstructor):

        @functools.wraps(function)
        async def create_async(
            response_model: ResponseModel = None, messages: Conversation = None, max_retries: Any = 1, **keywords: Any
        ) -> Completion:
            return await maker.create(response_model, messages, max_retries=max_retries, **keywords)

        made: Callable[..., Completion] = create_async
    else:

        @functools.wraps(function)
        def create(
            response_model: ResponseModel = None, messages: Conversation = None, max_retries: Any = 1, **keywords: Any
        ) -> Completion:
            return maker.create(response_model, messages, max_retries=max_retries, **keywords)

        made = create
    setattr(made, ORIGINAL, function)
    return made

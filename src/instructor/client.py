"""The clients: they turn a caller's keywords into a call, and its answer into what the caller gets."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from instructor.batch_methods import AsyncBatches, Batches
from instructor.engine.drive import drive, drive_async
from instructor.engine.fast_path import MISSING, Pending, Reading
from instructor.engine.path import Unserved
from instructor.engine.question import answer, answer_raw
from instructor.hooks import HookName
from instructor.jobs.clients import AsyncMapClient, MapClient
from instructor.messages import Conversation, ResponseModel, Value, copy_values
from instructor.methods import (
    call_keywords,
    typed_async_create,
    typed_async_create_iterable,
    typed_async_create_partial,
    typed_async_create_with_completion,
    typed_async_create_with_reply,
    typed_async_explain,
    typed_create,
    typed_create_iterable,
    typed_create_partial,
    typed_create_with_completion,
    typed_create_with_reply,
    typed_explain,
)

if TYPE_CHECKING:
    from instructor.streams import AsyncStream, Stream


class Instructor(MapClient, Batches, metaclass=ABCMeta):
    """A client that gives typed, validated answers, and keeps them.

    You get one from `from_provider`, `from_openai`, `from_anthropic` or `from_genai`. It may be used from any number
    of threads at once. It is a context manager that closes the SDK's client at its end.

    Args:
        client: A client of the provider's SDK. With `wires`, an `Adapter`.
        create: A function to call in place of its method ``chat.completions.create``.
        mode: The mode to ask in; None for the best one for the model that is asked.
        provider: The vendor's name, or a `Provider`. Default: the one that the SDK's client shows, else OpenAI.
        hooks: Handlers of events.
        wires: The wire for each mode that an adapter speaks.
        model: The model to ask unless a call names another.
        cache: Where answers are kept: a store, or a list of stores, the fastest first; None for nowhere.
        cache_ttl: Seconds, or a timedelta, for which answers are served, or a function of the value that returns one;
            None for ever.
        cache_namespace: A partition of the store that no answer crosses, such as a tenant's name.
        defaults: Keywords for every call that does not give them itself.
        **keywords: The same.

    Raises:
        ClientError: There is nothing to ask by, or it is for the asynchronous client.
        ConfigurationError: An argument is of the wrong type.
        ModeError: The provider does not speak the mode.

    Example:
        >>> from instructor import from_provider
        >>> client = from_provider("offline/demo")
        >>> client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        25
    """

    @typed_create(call_keywords)
    def create(self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object) -> Value:
        """Ask for a typed answer.

        A stored answer to the same call is served if there is one; otherwise the provider is asked, and asked again
        with the error shown to it while its answers do not validate.

        With ``stream=True`` it returns a stream of the answer: of items for ``list[A]`` and ``Iterable[A]``, else of
        partial objects; with ``response_model=None`` the SDK's own stream, which is not cached.

        Args:
            response_model: The type of the answer: a pydantic model, dataclass or TypedDict; ``A | B``, ``A | None``,
                ``list[A]``, Enum, Literal, int, str, datetime ...; None for the SDK's completion as it is.
            messages: The conversation: dicts with ``role`` and ``content``, in OpenAI's form or the provider's own.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            An instance of the very type passed; your own copy.

        Raises:
            ConfigurationError: An argument is wrong, or a key or an SDK is missing.
            InstructorRetryException: No valid answer: the attempts are used up, or the request failed.
            RefusalError: The model refused.
            IncompleteOutputException: The answer was cut off.

        Example:
            >>> client = instructor.from_provider("offline/demo")
            >>> client.create(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}])
            User(name='Anna', age=25)
        """
        found = self._lookup(response_model, messages, keywords, False)  # the fast path, see engine/fast_path.py
        if found is not MISSING and type(found) is not Unserved:
            return found
        if keywords.get("stream"):
            if response_model is None:
                return drive(answer_raw(self._call(None, messages, _uncached(keywords))), self._adapter)
            return self._stream("stream", response_model, messages, keywords)
        unserved = found if type(found) is Unserved else None
        call = self._call(response_model, messages, keywords, unserved=unserved)
        return drive(answer(call), self._adapter)

    @typed_create_with_completion(call_keywords)
    def create_with_completion(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask as `create` does, and return the SDK's completion too.

        On a hit the completion is made again from the stored text: the SDK's own class with every attribute, or a
        ``SimpleNamespace`` where the SDK is not installed. Its ``usage`` is that of the live call.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            The answer and the completion.

        Raises:
            InstructorError: As `create`.

        Example:
            >>> client = instructor.from_provider("offline/demo")
            >>> messages = [{"role": "user", "content": "Anna is 25."}]
            >>> user, completion = client.create_with_completion(response_model=User, messages=messages)
            >>> user, type(completion).__name__
            (User(name='Anna', age=25), 'ChatCompletion')
        """
        if response_model.__class__ is list:  # the order of 1.x
            response_model, messages = messages, response_model
        found = self._lookup(response_model, messages, keywords, True)
        if found is not MISSING and type(found) is not Unserved:
            return found
        unserved = found if type(found) is Unserved else None
        call = self._call(response_model, messages, keywords, with_completion=True, unserved=unserved)
        return drive(answer(call), self._adapter)

    @typed_create_with_reply(call_keywords)
    def create_with_reply(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask as `create` does, and return where the answer came from too.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            A `Reply`: the value, the completion, whether it was cached or stale, its age, tier, model and tokens.

        Raises:
            InstructorError: As `create`.

        Example:
            >>> client = instructor.from_provider("offline/demo")
            >>> messages = [{"role": "user", "content": "Anna is 25."}]
            >>> reply = client.create_with_reply(response_model=User, messages=messages)
            >>> reply.value, reply.cached, reply.model
            (User(name='Anna', age=25), False, 'demo')
        """
        from instructor.engine.reply import answer_with_reply

        return drive(answer_with_reply(self._call(response_model, messages, keywords)), self._adapter)

    @typed_explain(call_keywords)
    def explain(self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object) -> Value:
        """Say what the cache would do with a call, and why. Nothing is sent or stored, and no hit or miss is counted.

        It compares the call with the ones that this process knows to be stored. The validators of the response model
        judge a stored answer, as on a hit.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            An `Explanation`: whether it would hit, and where; or why not, and the first difference from the nearest call.

        Raises:
            ConfigurationError: An argument is wrong.
            CacheError: A store with ``on_error="raise"`` failed.

        Example:
            >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
            >>> print(client.explain(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}]).reason)
            cold
        """
        from instructor.engine.explanation import Asked, explain  # no other call needs it

        call = self._call(response_model, messages, _whole(keywords), takes_turn=False)
        return drive(explain(call, Asked(self._memo, messages, keywords)), self._adapter)

    @typed_create_partial(call_keywords)
    def create_partial(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask as `create` does, and get the answer again and again while it grows.

        Each object is of the type ``Partial[User]``, in which every field may be None: one that has not come, or is
        not complete. Texts and lists grow; any other value shows once it is complete, and does not change afterwards.
        The last object is the validated answer itself, of the type that you passed. It is the one that `create`
        returns, and both share one entry of the cache. From the cache come the same objects at once.

        Once a part of the answer was shown, an invalid or broken answer raises its error; before that it is asked for
        again, as `create` does.

        Args:
            response_model: As for `create`; or ``Partial[User]``.
            messages: As for `create`.
            **keywords: As for `create`.

        Returns:
            A `Stream`: an iterator, and a context manager that ends the connection.

        Raises:
            InstructorError: As `create`, while the values are taken.

        Example:
            >>> client = instructor.from_provider("offline/demo")
            >>> messages = [{"role": "user", "content": "Anna is 25."}]
            >>> for user in client.create_partial(response_model=User, messages=messages):
            ...     name = user.name
            >>> user
            User(name='Anna', age=25)
        """
        return self._stream("partial", response_model, messages, keywords)

    @typed_create_iterable(call_keywords)
    def create_iterable(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask for a list, and get each of its items as soon as it is complete and valid.

        It shares its entry of the cache with ``create(response_model=list[User])``. From the cache come the same items
        in the same order.

        Args:
            response_model: The type of an item; or ``Iterable[User]``. ``A | B`` for items of several types.
            messages: As for `create`.
            **keywords: As for `create`, and ``on_invalid``.

        Returns:
            A `Stream`, as for `create_partial`.

        Raises:
            InstructorError: As `create`, while the items are taken.

        Example:
            >>> client = instructor.from_provider("offline/demo")
            >>> messages = [{"role": "user", "content": "Anna is 25."}]
            >>> list(client.create_iterable(response_model=User, messages=messages))
            [User(name='Anna', age=25)]
        """
        if response_model.__class__ is list:  # the order of 1.x
            response_model, messages = messages, response_model
        return self._stream("items", response_model, messages, keywords)

    def _stream(
        self, name: str, response_model: ResponseModel, messages: Conversation, keywords: dict[str, Any]
    ) -> Stream[Value]:
        from instructor.streams import WANTED, Stream  # a hit that isn't streamed needs none of it

        wanted = WANTED[name](response_model, partial(self._setting, keywords))
        return Stream(self._stream_call(wanted, messages, keywords), self._adapter)

    def close(self) -> None:
        """Close the SDK's client, if this one made it. The store stays open: others may use it."""
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncInstructor(AsyncMapClient, AsyncBatches):
    """`Instructor` for asyncio: the same methods, awaited; the same order of events, the same answers.

    You get one from ``from_provider(..., async_client=True)``, or from a factory over an asynchronous SDK client.
    Handlers that are coroutine functions are awaited. It is an asynchronous context manager that closes the SDK's
    client at its end.

    Example:
        >>> import asyncio
        >>> client = instructor.from_provider("offline/demo", async_client=True)
        >>> asyncio.run(client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}]))
        25
    """

    _asynchronous = True

    @typed_async_create(call_keywords)
    async def create(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask for an answer of one type, and await it; otherwise as `Instructor.create`.

        Args:
            response_model: The type of the answer; None for the SDK's completion as it is.
            messages: The conversation: dicts with ``role`` and ``content``, in OpenAI's form or the provider's own.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            An instance of the very type passed; your own copy.

        Raises:
            InstructorError: As `Instructor.create`.
        """
        found = self._lookup(response_model, messages, keywords, False)
        if type(found) is Reading:
            read = await found.find(found.key)
            found = self._lookup(response_model, messages, keywords, False, read, found.encoding)
        if found is not MISSING and type(found) is not Unserved:
            return found if type(found) is not Pending else await _settle(found)
        if keywords.get("stream"):
            if response_model is None:
                call = await self._call_awaited(None, messages, _uncached(keywords))
                return await drive_async(answer_raw(call), self._adapter)
            return self._stream("stream", response_model, messages, keywords)
        unserved = found if type(found) is Unserved else None
        call = await self._call_awaited(response_model, messages, keywords, unserved=unserved)
        return await drive_async(answer(call), self._adapter)

    @typed_async_create_with_completion(call_keywords)
    async def create_with_completion(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask as `create` does, and return the SDK's completion too; see `Instructor.create_with_completion`.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            The answer and the completion.

        Raises:
            InstructorError: As `Instructor.create`.
        """
        if response_model.__class__ is list:  # the order of 1.x
            response_model, messages = messages, response_model
        found = self._lookup(response_model, messages, keywords, True)
        if type(found) is Reading:
            read = await found.find(found.key)
            found = self._lookup(response_model, messages, keywords, True, read, found.encoding)
        if found is not MISSING and type(found) is not Unserved:
            return found if type(found) is not Pending else await _settle(found)
        unserved = found if type(found) is Unserved else None
        call = await self._call_awaited(response_model, messages, keywords, with_completion=True, unserved=unserved)
        return await drive_async(answer(call), self._adapter)

    @typed_async_create_with_reply(call_keywords)
    async def create_with_reply(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Ask as `create` does, and return where the answer came from too; see `Instructor.create_with_reply`.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            A `Reply`.

        Raises:
            InstructorError: As `Instructor.create`.
        """
        from instructor.engine.reply import answer_with_reply

        call = await self._call_awaited(response_model, messages, keywords)
        return await drive_async(answer_with_reply(call), self._adapter)

    @typed_async_explain(call_keywords)
    async def explain(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """Say what the cache would do with a call, and why; see `Instructor.explain`.

        Args:
            response_model: As in `create`.
            messages: As in `create`.
            **keywords: See `instructor.methods.call_keywords`.

        Returns:
            An `Explanation`.

        Raises:
            InstructorError: As `Instructor.explain`.
        """
        from instructor.engine.explanation import Asked, explain  # as in `Instructor.explain`

        call = await self._call_awaited(response_model, messages, _whole(keywords), takes_turn=False)
        return await drive_async(explain(call, Asked(self._memo, messages, keywords)), self._adapter)

    @typed_async_create_partial(call_keywords)
    def create_partial(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """As `Instructor.create_partial`; ``async for`` takes the objects."""
        return self._stream("partial", response_model, messages, keywords)

    @typed_async_create_iterable(call_keywords)
    def create_iterable(
        self, response_model: ResponseModel = None, messages: Conversation = None, **keywords: object
    ) -> Value:
        """As `Instructor.create_iterable`; ``async for`` takes the items."""
        if response_model.__class__ is list:  # the order of 1.x
            response_model, messages = messages, response_model
        return self._stream("items", response_model, messages, keywords)

    def _stream(
        self, name: str, response_model: ResponseModel, messages: Conversation, keywords: dict[str, Any]
    ) -> AsyncStream[Value]:
        from instructor.streams import WANTED, AsyncStream  # as above

        wanted = WANTED[name](response_model, partial(self._setting, keywords))
        if not keywords.get("autodetect_images"):
            return AsyncStream(self._stream_call(wanted, messages, keywords), self._adapter)
        kept = copy_values({"messages": messages, **keywords})  # the caller may change them before the first value
        return AsyncStream(partial(self._stream_call, wanted, kept.pop("messages"), kept), self._adapter)

    async def aclose(self) -> None:
        """Close the SDK's client of the running event loop, if this one made it. The store stays open.

        Refreshes in the background are cancelled.
        """
        await self._background.aclose()
        await self._adapter.aclose()

    close = aclose  # the name that it has in the SDKs

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


# As in 1.x, where frameworks check a client with `isinstance(client, Instructor)`. A virtual subclass and not a real one,
# because its `create` returns an awaitable: a type checker keeps the two apart.
Instructor.register(AsyncInstructor)


def _uncached(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call for the SDK's own stream, which no cache sees."""
    return {**_whole(keywords), "cache": None}


def _whole(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call that isn't streamed."""
    return {name: value for name, value in keywords.items() if name != "stream"}


async def _settle(found: Pending) -> Value:
    """Call the handlers of a hit, and await those that are coroutine functions."""
    await found.hooks.emit_async(HookName.CACHE_HIT, found.event)
    return found.value

"""The types of the clients' methods, as type checkers and ``help()`` see them.

The keywords of a call stand here once, in `call_keywords`. The methods of both clients take their signatures from it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from instructor.cache.store import BaseCache
from instructor.hooks import Hooks
from instructor.options import NOT_GIVEN, NotGiven, Ttl

if TYPE_CHECKING:
    from tenacity import BaseRetrying
    from typing_extensions import TypeForm

    from instructor.budget import Budget
    from instructor.cache_modes import ModeName
    from instructor.engine.explanation import Explanation
    from instructor.engine.reply import Reply
    from instructor.limits.settings import Limits
    from instructor.media.policy import FetchPolicy
    from instructor.prompt_caching.setting import Lifetime, PromptCache
    from instructor.retries import Retries
    from instructor.streams import AsyncStream, Stream

    ItemsOf: TypeAlias = TypeForm[Iterable["T"]] | TypeForm[AsyncIterable["T"]]

T = TypeVar("T")
P = ParamSpec("P")
On: TypeAlias = Literal[True]
Whole = TypeVar(
    "Whole", bound=BaseModel | Mapping[str, object] | str | bytes | tuple[object, ...] | AbstractSet[object]
)
"""What is streamed as one object, although it can be iterated over."""
Later: TypeAlias = Coroutine[Any, Any, T]
"""What an asynchronous method returns: an awaitable of a T."""


def call_keywords(
    messages: Sequence[Any] | None = None,
    max_retries: int | Retries | BaseRetrying | None = None,
    context: Mapping[str, Any] | None = None,
    strict: bool | None = None,
    hooks: Hooks | None = None,
    *,
    cache: BaseCache | Sequence[BaseCache] | NotGiven | None = NOT_GIVEN,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    cache_tags: Iterable[str] | Callable[[Any], Iterable[str]] | None = None,
    token_budget: int | None = None,
    budget: Budget | None = None,
    max_seconds: float | None = None,
    on_invalid: Literal["raise", "skip", "collect"] | None = None,
    autodetect_images: bool = False,
    media_policy: FetchPolicy | None = None,
    cache_pace: Literal["recorded"] | None = None,
    cache_mode: ModeName | None = None,
    cache_salt: str | None = None,
    samples: int | None = None,
    explain_misses: bool | None = None,
    schema_match: Literal["exact", "compatible"] | None = None,
    max_age: float | timedelta | None = None,
    stale_while_revalidate: float | timedelta | None = None,
    stale_if_error: float | timedelta | None = None,
    refresh_early: float | bool | None = None,
    validate_partial: bool | None = None,
    limits: Limits | Literal["auto"] | None = None,
    prompt_cache: Lifetime | PromptCache | None = None,
    **arguments: Any,
) -> None:
    """What each method that asks takes beside the response model. It is a signature, and is never called.

    Args:
        messages: The conversation: dicts with ``role`` and ``content``, in OpenAI's form or the provider's own.
        max_retries: How often to ask again after an invalid answer, default 3; a `Retries`, which also says how often
            failed requests are sent again; or a tenacity ``Retrying``, which then decides about both.
        context: For validators, and for Jinja2 templates in the messages.
        strict: Whether validation refuses values of another type (``"5"`` for an int). Default True.
        hooks: Handlers for this call, beside the client's.
        cache: A store for this call in place of the client's, or a list of them; None for none.
        cache_ttl: Seconds, or a timedelta, for which the answer is served; 0 stores nothing; or a function of the value
            that returns one. It belongs to the answer: a later call with a shorter one is still served an answer that
            was stored with a longer one. Default: the response model's attribute ``__cache_ttl__``, else the client's.
        cache_namespace: A partition for this call in place of the client's.
        cache_tags: By what the answer can be invalidated, such as ``["doc:42"]``; or a function that makes that of the
            answer. They belong to the answer, as ``cache_ttl`` does: see `BaseCache.invalidate`.
        token_budget: Tokens after which no further attempt is made.
        budget: A `Budget` that requests must fit into, beside the client's.
        max_seconds: How long the call may take in all, attempts and waits together. ``timeout`` is that of a request.
        on_invalid: What becomes of an item of a stream that does not validate: ``"raise"``, the default; ``"skip"``;
            or ``"collect"``, which skips it and keeps it in the stream's ``invalid``. Such a stream is not stored.
        autodetect_images: Whether texts in the messages that are data URIs, URLs of media or paths of media files are
            sent as what they stand for. Don't use it with a stranger's texts, which could name your files.
        media_policy: What may be fetched for a provider that doesn't fetch a medium itself.
        cache_pace: ``"recorded"`` for a stream that comes from the cache at the pace at which it came from the provider,
            where the live stream was asked for with it too: only then is the pace stored. Default: at once.
        cache_mode: How this call uses its cache: ``"use"``, ``"refresh"``, ``"read_only"``, ``"write_only"``, ``"bypass"``
            or ``"replay"``; see `instructor.cache_mode`. Default: that of the block around it, else the client's.
        cache_salt: A text that belongs to the key: another one makes another answer to the same call.
        samples: How many answers to this call are kept, and served in turn; each of the first calls asks for one.
        explain_misses: Whether what is asked is kept in the store beside the answer, without secrets, so that the miss
            of another call, in any process, shows where it differs. Default: False.
        schema_match: ``"compatible"`` serves an answer that was stored for another schema of the response model, if it is
            valid for this one; both calls must say so, or their client. Default: ``"exact"``.
        max_age: Seconds, or a timedelta, after which a stored answer isn't fresh to this call, whatever its ttl.
        stale_while_revalidate: Seconds, or a timedelta, for which an answer that isn't fresh any more is served at
            once, while one new answer is asked for in the background.
        stale_if_error: Seconds, or a timedelta, for which such an answer is served if the provider fails.
        refresh_early: True, or a number: an answer that is still fresh is now and then replaced in the background, the
            sooner the longer it took and the larger the number is; 1.0 is the same as True.
        validate_partial: Whether the fields of a partial object are validated as soon as they are complete, so that an
            invalid one ends the stream early. Default: False, the answer is validated when it is whole.
        limits: ``"auto"`` to wait before a request rather than have it refused, by what the provider's answers say of
            its limits; or `Limits`, to set ceilings beside that. Default: the client's, which is none.
        prompt_cache: How requests use the provider's own prompt cache: ``"auto"``, ``"5m"``, ``"1h"``, ``"off"``, or a
            `PromptCache`. No key of the client's own cache depends on it. Default: the client's, else ``"off"``.
        **arguments: Anything else the provider's SDK takes: ``temperature``, ``max_tokens``, ``model``, ``timeout``
            in seconds ...
    """
    raise NotImplementedError


class Create(Protocol[P]):
    """`Instructor.create`.

    `TypeForm` is for what isn't a class: ``A | B``, ``Optional[A]``, ``Literal[...]``, ``Annotated[...]``. Type checkers
    that don't know it, such as mypy before 1.20, take the last overload, as do values of no known type.

    With ``stream=True`` the other keywords aren't checked, because a `ParamSpec` takes no keyword beside its own.
    `create_partial` and `create_iterable` check them.
    """

    @overload
    def __call__(self, response_model: None = None, *args: object, stream: On, **kwargs: object) -> Any: ...
    @overload
    def __call__(
        self, response_model: TypeForm[Whole], *args: object, stream: On, **kwargs: object
    ) -> Stream[Whole]: ...
    @overload
    def __call__(self, response_model: ItemsOf[T], *args: object, stream: On, **kwargs: object) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: object, stream: On, **kwargs: object) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> Any: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class CreateWithCompletion(Protocol[P]):
    """`Instructor.create_with_completion`."""

    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Any]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, Any]: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]: ...


class CreateWithReply(Protocol[P]):
    """`Instructor.create_with_reply`."""

    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> Reply[Any]: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> Reply[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Reply[T]: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> Reply[Any]: ...


class Explain(Protocol[P]):
    """`Instructor.explain`."""

    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """Explain a call."""
        ...


class AsyncExplain(Protocol[P]):
    """`AsyncInstructor.explain`."""

    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> Later[Explanation]:
        """Explain a call."""
        ...


class CreatePartial(Protocol[P]):
    """`Instructor.create_partial`."""

    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> Stream[Any]: ...


class CreateIterable(Protocol[P]):
    """`Instructor.create_iterable`: of the type of an item, or of an iterable of it."""

    @overload
    def __call__(self, response_model: TypeForm[Whole], *args: P.args, **kwargs: P.kwargs) -> Stream[Whole]: ...
    @overload
    def __call__(self, response_model: ItemsOf[T], *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Stream[T]: ...
    @overload
    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> Stream[Any]: ...


class AsyncCreate(Protocol[P]):
    """`AsyncInstructor.create`."""

    @overload
    def __call__(self, response_model: None = None, *args: object, stream: On, **kwargs: object) -> Later[Any]: ...
    @overload
    def __call__(
        self, response_model: TypeForm[Whole], *args: object, stream: On, **kwargs: object
    ) -> Later[AsyncStream[Whole]]: ...
    @overload
    def __call__(
        self, response_model: ItemsOf[T], *args: object, stream: On, **kwargs: object
    ) -> Later[AsyncStream[T]]: ...
    @overload
    def __call__(
        self, response_model: TypeForm[T], *args: object, stream: On, **kwargs: object
    ) -> Later[AsyncStream[T]]: ...
    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> Later[Any]: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> Later[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Later[T]: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> Later[Any]: ...


class AsyncCreateWithCompletion(Protocol[P]):
    """`AsyncInstructor.create_with_completion`."""

    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> Later[tuple[Any, Any]]: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> Later[tuple[T, Any]]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Later[tuple[T, Any]]: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> Later[tuple[Any, Any]]: ...


class AsyncCreateWithReply(Protocol[P]):
    """`AsyncInstructor.create_with_reply`."""

    @overload
    def __call__(self, response_model: None = None, *args: P.args, **kwargs: P.kwargs) -> Later[Reply[Any]]: ...
    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> Later[Reply[T]]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> Later[Reply[T]]: ...
    @overload
    def __call__(self, response_model: object, *args: P.args, **kwargs: P.kwargs) -> Later[Reply[Any]]: ...


class AsyncCreatePartial(Protocol[P]):
    """`AsyncInstructor.create_partial`."""

    @overload
    def __call__(self, response_model: type[T], *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]: ...
    @overload
    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[Any]: ...


class AsyncCreateIterable(Protocol[P]):
    """`AsyncInstructor.create_iterable`."""

    @overload
    def __call__(self, response_model: TypeForm[Whole], *args: P.args, **kwargs: P.kwargs) -> AsyncStream[Whole]: ...
    @overload
    def __call__(self, response_model: ItemsOf[T], *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]: ...
    @overload
    def __call__(self, response_model: TypeForm[T], *args: P.args, **kwargs: P.kwargs) -> AsyncStream[T]: ...
    @overload
    def __call__(self, response_model: object = None, *args: P.args, **kwargs: P.kwargs) -> AsyncStream[Any]: ...


def typed_create(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], Create[P]]:
    """Give a method the signature of `Create` with these keywords."""
    return _signed(keywords)


def typed_create_with_completion(
    keywords: Callable[P, None],
) -> Callable[[Callable[..., Any]], CreateWithCompletion[P]]:
    """Give a method the signature of `CreateWithCompletion` with these keywords."""
    return _signed(keywords)


def typed_create_partial(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], CreatePartial[P]]:
    """Give a method the signature of `CreatePartial` with these keywords."""
    return _signed(keywords)


def typed_create_iterable(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], CreateIterable[P]]:
    """Give a method the signature of `CreateIterable` with these keywords."""
    return _signed(keywords)


def typed_async_create_partial(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], AsyncCreatePartial[P]]:
    """Give a method the signature of `AsyncCreatePartial` with these keywords."""
    return _signed(keywords)


def typed_async_create_iterable(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], AsyncCreateIterable[P]]:
    """Give a method the signature of `AsyncCreateIterable` with these keywords."""
    return _signed(keywords)


def typed_async_create(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], AsyncCreate[P]]:
    """Give a method the signature of `AsyncCreate` with these keywords."""
    return _signed(keywords)


def typed_explain(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], Explain[P]]:
    """Give a method the signature of `Explain` with these keywords."""
    return _signed(keywords)


def typed_async_explain(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], AsyncExplain[P]]:
    """Give a method the signature of `AsyncExplain` with these keywords."""
    return _signed(keywords)


def typed_async_create_with_completion(
    keywords: Callable[P, None],
) -> Callable[[Callable[..., Any]], AsyncCreateWithCompletion[P]]:
    """Give a method the signature of `AsyncCreateWithCompletion` with these keywords."""
    return _signed(keywords)


def typed_create_with_reply(keywords: Callable[P, None]) -> Callable[[Callable[..., Any]], CreateWithReply[P]]:
    """Give a method the signature of `CreateWithReply` with these keywords."""
    return _signed(keywords)


def typed_async_create_with_reply(
    keywords: Callable[P, None],
) -> Callable[[Callable[..., Any]], AsyncCreateWithReply[P]]:
    """Give a method the signature of `AsyncCreateWithReply` with these keywords."""
    return _signed(keywords)


_REFERENCE = "**keywords: See `instructor.methods.call_keywords`.\n"
"""What a docstring has in place of the keywords."""


def _signed(keywords: Callable[..., None]) -> Callable[[Any], Any]:
    """Let ``help()`` and ``inspect.signature`` show the keywords; what runs is the method itself."""

    def sign(method: Any) -> Any:
        own = list(inspect.signature(method).parameters.values())[:2]
        shared = inspect.signature(keywords).parameters.values()
        method.__signature__ = inspect.Signature([*own, *shared])
        if method.__doc__ and keywords.__doc__:  # none with `python -OO`
            method.__doc__ = inspect.cleandoc(method.__doc__).replace(_REFERENCE, _describe_keywords(keywords.__doc__))
        return method

    return sign


def _describe_keywords(docstring: str) -> str:
    """The lines about keywords in the docstring of `call_keywords`, without those about the messages."""
    arguments = inspect.cleandoc(docstring).partition("Args:\n")[2]
    return arguments[arguments.index("max_retries:") :] + "\n"

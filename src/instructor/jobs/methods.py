"""The types of `Instructor.map` and `AsyncInstructor.map`, as type checkers and ``help()`` see them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar, overload

from instructor.messages import Messages, Value

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from instructor.budget import Budget
    from instructor.jobs.job import AsyncJob, Job
    from instructor.jobs.sources import Source
    from instructor.limits.settings import Limits
    from instructor.prompt_caching.setting import Lifetime, PromptCache

T = TypeVar("T")
P = ParamSpec("P")
Raise = Literal["raise"]
OnError = Literal["raise", "collect"]


def map_keywords(
    *,
    prompt: str | Callable[[Any], str] | None = None,
    messages: Messages | Callable[[Value], Value] | None = None,
    concurrency: int | Literal["auto"] = "auto",
    batch: Literal["never", "auto", "always"] = "never",
    ordered: bool = True,
    progress: bool = True,
    engine: Value = None,
    budget: Budget | None = None,
    limits: Limits | Literal["auto"] | None = "auto",
    prompt_cache: Lifetime | PromptCache | None = None,
    **keywords: Value,
) -> None:
    """The keywords of a job. Those that aren't listed go to each call; see `instructor.methods.call_keywords`."""
    raise NotImplementedError


class Map(Protocol[P]):
    """`Instructor.map`. Where errors are collected, the value of a row may be None."""

    @overload
    def __call__(
        self, rows: Source, response_model: None = None, on_error: OnError = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> Job[Value]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: type[T], on_error: Raise = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: TypeForm[T], on_error: Raise = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> Job[T]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: type[T], on_error: OnError, *args: P.args, **kwargs: P.kwargs
    ) -> Job[T | None]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: TypeForm[T], on_error: OnError, *args: P.args, **kwargs: P.kwargs
    ) -> Job[T | None]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: object, on_error: OnError = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> Job[Value]: ...


class AsyncMap(Protocol[P]):
    """`AsyncInstructor.map`."""

    @overload
    def __call__(
        self, rows: Source, response_model: None = None, on_error: OnError = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[Value]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: type[T], on_error: Raise = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[T]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: TypeForm[T], on_error: Raise = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[T]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: type[T], on_error: OnError, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[T | None]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: TypeForm[T], on_error: OnError, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[T | None]: ...
    @overload
    def __call__(
        self, rows: Source, response_model: object, on_error: OnError = "raise", *args: P.args, **kwargs: P.kwargs
    ) -> AsyncJob[Value]: ...


def typed_map(keywords: Callable[P, None]) -> Callable[[Callable[..., Value]], Map[P]]:
    """Give a method the signature of `Map` with these keywords."""
    return _signed(keywords)


def typed_async_map(keywords: Callable[P, None]) -> Callable[[Callable[..., Value]], AsyncMap[P]]:
    """Give a method the signature of `AsyncMap` with these keywords."""
    return _signed(keywords)


_ON_ERROR = inspect.Parameter("on_error", inspect.Parameter.KEYWORD_ONLY, default="raise", annotation=OnError)
"""Stands in the overloads, because the type of the rows depends on it."""


def _signed(keywords: Callable[..., None]) -> Callable[[Value], Value]:
    def sign(method: Any) -> Any:
        own = list(inspect.signature(method).parameters.values())[:3]
        shared = inspect.signature(keywords).parameters.values()
        method.__signature__ = inspect.Signature([*own, _ON_ERROR, *shared])
        return method

    return sign

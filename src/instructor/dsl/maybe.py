"""An answer that may be missing, with a reason."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, Field, create_model

T = TypeVar("T")


class MaybeBase(BaseModel, Generic[T]):
    """What `Maybe` makes: a result, or a message that says why there is none. It is true if there is a result."""

    result: T | None = None
    error: bool = Field(default=False)
    message: str | None = None

    def __bool__(self) -> bool:
        return self.result is not None


def Maybe(model: type[T]) -> type[MaybeBase[T]]:  # noqa: N802 - it stands where a type is expected
    """Make a response model for an answer that the text may not hold.

    Use it where a model would otherwise invent an answer. ``User | None`` is shorter; this also asks for the reason.

    Args:
        model: The response model of the answer.

    Returns:
        A response model with ``result``, ``error`` and ``message``.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        >>> MaybeUser = Maybe(User)
        >>> bool(MaybeUser(error=True, message="no user is named")), bool(MaybeUser(result=User(name="Anna")))
        (False, True)
    """
    result: Any = model
    return cast("type[MaybeBase[T]]", _make_maybe(result))


@lru_cache(maxsize=256)
def _make_maybe(model: Any) -> object:
    fields: dict[str, Any] = {
        "result": (model | None, Field(default=None, description="The correct result, if there is one, else null")),
        "error": (bool, Field(default=False, description="Whether there is no result")),
        "message": (str | None, Field(default=None, description="Why there is no result, in a few words")),
    }
    return create_model(f"Maybe{model.__name__}", __base__=MaybeBase, **fields)

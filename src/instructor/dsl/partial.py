"""Partial types under the path that upstream's users import them from."""

from __future__ import annotations

from typing import Any

from instructor.streaming.partial import Partial, partial_of, whole_of

__all__ = ["Partial", "PartialBase", "PartialLiteralMixin"]


class _PartialType(type):
    """Knows partial types by what they are, because they inherit from the user's classes alone."""

    def __subclasscheck__(cls, other: Any) -> bool:
        return super().__subclasscheck__(other) or (cls.__name__ == "PartialBase" and whole_of(other) is not other)


class PartialBase(metaclass=_PartialType):
    """Every ``Partial[User]`` counts as a subclass of this, so that programs can tell it from other response models.

    Example:
        >>> from pydantic import BaseModel
        >>> class User(BaseModel):
        ...     name: str
        >>> issubclass(Partial[User], PartialBase), issubclass(User, PartialBase)
        (True, False)
    """

    @classmethod
    def get_partial_model(cls) -> Any:
        """Return the partial type of the model that inherits from this."""
        return partial_of(cls)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - it stands beside BaseModel


class PartialLiteralMixin:
    """Not needed any more: a literal is never shown in part."""

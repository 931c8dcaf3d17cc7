"""A list of answers as a response model with a name and a description of its own."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, Field, create_model


class IterableBase:
    """What `IterableModel` makes is one of these, so that programs can tell it from other response models."""

    task_type: typing.ClassVar[Any] = None
    tasks: list[Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tasks)


@lru_cache(maxsize=256)
def IterableModel(  # noqa: N802 - it stands where a type is expected
    subtask_class: type[Any], name: str | None = None, description: str | None = None
) -> type[BaseModel]:
    """Make a response model for a list of answers. ``list[User]`` does the same without a name.

    Args:
        subtask_class: The type of an item.
        name: What the items are called in the request. Default: the type's name.
        description: What the list is for. Default: a sentence that asks for the items.

    Returns:
        A response model with one field, ``tasks``.

    Example:
        >>> class User(BaseModel):
        ...     name: str
        >>> users = IterableModel(User)(tasks=[{"name": "Anna"}])
        >>> type(users).__name__, users.tasks
        ('IterableUser', [User(name='Anna')])
    """
    known = name or getattr(subtask_class, "__name__", None) or "Task"
    items: Any = list[subtask_class]  # type: ignore[valid-type]  # pyright: ignore - the type is known only here
    fields: dict[str, Any] = {"tasks": (items, Field(description=f"All `{known}` in the text, in order"))}
    bases: Any = (IterableBase, BaseModel)
    made: Any = create_model(f"Iterable{known}", __base__=bases, **fields)
    made.__doc__ = description or f"All `{known}` in the text."
    made.task_type = subtask_class
    return cast("type[BaseModel]", made)

"""Several answers of several types as a response model, under the names of 1.x."""

from __future__ import annotations

import types
import typing
from typing import Any


def is_union_type(typehint: Any) -> bool:
    """Whether a type is ``A | B`` or ``Union[A, B]``."""
    return typing.get_origin(typehint) in (typing.Union, types.UnionType)


def get_types_array(typehint: Any) -> tuple[Any, ...]:
    """Return the types of the items of ``Iterable[A | B]`` or ``list[A]``.

    Example:
        >>> get_types_array(list[int | str])
        (<class 'int'>, <class 'str'>)
    """
    [item] = typing.get_args(typehint)
    return typing.get_args(item) if is_union_type(item) else (item,)


def ParallelModel(typehint: Any) -> Any:  # noqa: N802 - it stands where a type is expected
    """Return the response model for several answers: the list type itself, which `create` takes as it is."""
    [item] = typing.get_args(typehint)
    return list[item]  # type: ignore[valid-type]

"""The public names of `instructor` 1.x that this version doesn't have, and what to use instead of each.

Read only when such a name is looked up, so that ``import instructor`` doesn't pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

INSTEAD: Final[Mapping[str, str]] = {
    "v2": "the names of the package itself",
}


def explain_missing(name: str) -> str | None:
    """Say what to use instead of a name of 1.x; None for a name that 1.x didn't have either.

    Example:
        >>> explain_missing("v2")
        'instructor.v2 is not here; use the names of the package itself, or pin "instructor<1.99".'
    """
    instead = INSTEAD.get(name)
    return None if instead is None else f'instructor.{name} is not here; use {instead}, or pin "instructor<1.99".'

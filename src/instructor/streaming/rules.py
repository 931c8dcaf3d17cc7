"""Rules for single fields of a response model, which say when a partial object shows them."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Rule(Enum):
    """When a field is shown. Write it into the field's annotation.

    Example:
        >>> from typing import Annotated
        >>> from instructor.streaming import done
        >>> from pydantic import BaseModel
        >>> class Order(BaseModel):
        ...     city: Annotated[str, done]
        ...     comment: str
    """

    DONE = "done"
    NOT_NULL = "not_null"


done: Final = Rule.DONE
"""The field shows when it is complete, and not while it grows: for a text or a list that makes no sense in part."""

not_null: Final = Rule.NOT_NULL
"""Its object doesn't show before this field has a value: for the name of an item, or the member that tells its kind."""

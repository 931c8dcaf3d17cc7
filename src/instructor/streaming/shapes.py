"""Shapes: what the scanner has to know of a type to show a value of it before it is complete.

A type has one of four shapes. Text grows. An object and a list show what is complete inside of them. Any other type,
such as a number, a date, an enum, a union or a set, shows its value once that is complete, and not before: half a
number is another number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from instructor.messages import Value


class Absent(Enum):
    """Stands for "nothing to show yet", because None is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """A value that shows once it is complete.

    Attributes:
        convert: Makes the value of its complete JSON text; `ABSENT` where that doesn't fit the type.
    """

    convert: Callable[[str], Value]


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A string that shows while it grows.

    Attributes:
        nullable: Whether null fits too.
    """

    nullable: bool = False


@dataclass(slots=True, eq=False)
class List:
    """A list that shows its items so far.

    Attributes:
        item: The shape of its items.
        nullable: Whether null fits too.
    """

    item: Shape
    nullable: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One member of an object.

    Attributes:
        name: Under which name the object holds it.
        shape: Its shape.
        waits: Whether it shows only when it is complete.
    """

    name: str
    shape: Shape
    waits: bool = False


@dataclass(slots=True, eq=False)
class Object:
    """An object that shows the members so far.

    Attributes:
        fields: The members by their names in JSON. Members with other names are passed over.
        others: The shape of all other members; None where there are none.
        make: Makes the value of what has come; `ABSENT` where the object shouldn't be shown yet. It may keep the
            dict, which is a copy.
        nullable: Whether null fits too.
    """

    fields: Mapping[str, Field]
    make: Callable[[dict[str, Value]], Value]
    others: Shape | None = None
    nullable: bool = False


Shape = Closed | Text | List | Object

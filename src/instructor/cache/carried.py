"""What an answer carries of its completion, for programs of 1.x: ``user._raw_response`` and ``user._total_usage``.

A pydantic model has a place for attributes that aren't fields, ``__pydantic_extra__``, which stays empty unless the model
allows extra fields. A `Carried` in that place answers to its two names and holds nothing otherwise, so that it changes
neither equality nor what is printed, dumped, iterated or pickled. One write puts it there: that is all a cache hit pays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from pydantic import BaseModel

from instructor.messages import Completion, Part, Value
from instructor.received import object_of
from instructor.usage import Usage

if TYPE_CHECKING:
    from instructor.cache.entry import Origin

RAW_RESPONSE: Final = "_raw_response"
TOTAL_USAGE: Final = "_total_usage"

Load: TypeAlias = Callable[[str], Completion]


class Saved(tuple[float, Usage, "Origin | None", tuple[str, ...]]):
    """What a hit notes: the seconds and the tokens that its answer took, where that comes from, and its tags.

    It's known by its address, so that many hits are counted without comparing what they saved. The origin is None for
    an answer that is no entry's.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Carried(dict[str, object]):
    """The completion behind an answer, and what the answer cost. It is an empty dict in all other respects.

    It is shared by all answers that are made of one entry, and never changed. `load` makes the completion of
    the text in `stored`, which an entry with these `parts` keeps; None where `stored` is the completion.

    Attributes:
        load: Makes the completion; see above.
        saved: What a hit notes.
        text: The first part's. A hit reads it here, because among many entries each object on the way has to be fetched
            from the machine's memory.
    """

    __slots__ = ("_parts", "_stored", "load", "saved", "text")

    def __init__(self, load: Load | None, stored: Completion, parts: tuple[Part, ...], saved: Saved) -> None:
        self.load = load
        self._stored = stored
        self._parts: tuple[Part, ...] | str = parts
        self.text = parts[0].text if parts else ""
        self.saved = saved

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the answer. A `Kept` holds the name of the only part's tool in place of them."""
        parts = self._parts
        # As `Part(parts, self.text)`, in a third of the time: lists, unions and completions are made of it on each hit.
        if type(parts) is not str:
            return cast("tuple[Part, ...]", parts)
        return (tuple.__new__(Part, (parts, self.text)),)  # pyright: ignore[reportUnknownMemberType] - of any tuple

    def __bool__(self) -> bool:
        return True  # pydantic asks an extra that is false for nothing

    def __contains__(self, name: object) -> bool:
        return name in (RAW_RESPONSE, TOTAL_USAGE)

    def __getitem__(self, name: str) -> Completion:
        if name == RAW_RESPONSE:
            if self.load is None:
                return object_of(self._stored)
            from instructor.cache.entry import unpack_completion  # which knows this file

            return self.load(unpack_completion(self._stored, self.parts))
        if name == TOTAL_USAGE:
            return self.saved[1]
        raise KeyError(name)

    def __setitem__(self, name: str, value: object) -> None:
        raise TypeError("The response model does not allow extra fields.")

    def __eq__(self, other: object) -> bool:
        return other is None or (isinstance(other, dict) and len(other) == 0)  # pyright: ignore[reportUnknownArgumentType] - any dict

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as any dict

    def __copy__(self) -> Carried:
        return self

    def __deepcopy__(self, memo: object) -> Carried:
        return self

    def copy(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - as pydantic has it elsewhere
        """What pydantic's deprecated ``model.copy()`` puts in its place: nothing, as in any other model."""

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return type(None), ()  # an answer that was pickled is without it


class ListResponse(list[Value]):
    """A list of answers that carries its completion. Copied and pickled it is a plain list.

    ``async for`` takes it too, as programs for 1.x do.
    """

    __slots__ = ("carried",)

    carried: Carried

    @property
    def _raw_response(self) -> Completion:
        return self.carried[RAW_RESPONSE]

    @property
    def _total_usage(self) -> Usage:
        return self.carried.saved[1]

    def get_raw_response(self) -> Completion:
        """Return the SDK's completion; from the cache, a new copy each time."""
        return self._raw_response

    def get_total_usage(self) -> Usage:
        """Return the tokens that the list cost, all attempts together."""
        return self._total_usage

    async def __aiter__(self) -> AsyncIterator[Value]:
        for item in self:
            yield item

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return list, (list(self),)


put_carried: Callable[[BaseModel, Carried], None] = BaseModel.__dict__["__pydantic_extra__"].__set__
"""Write a `Carried` to a model that doesn't allow extra fields. The slot's own method takes half as long as ``setattr``.

A `RootModel` hides the slot behind an attribute of its class.
"""


def attach(value: object, carried: Carried) -> None:
    """Let an answer carry its completion, in place of one that it carries, if it is of a kind that can."""
    if isinstance(value, ListResponse):
        value.carried = carried
    elif isinstance(value, BaseModel) and (
        value.__pydantic_extra__ is None or type(value.__pydantic_extra__) is Carried
    ):
        object.__setattr__(value, "__pydantic_extra__", carried)


def without_carried(value: object) -> object:
    """What keys and comparisons see of an answer that is passed on: its data."""
    if type(value) is ListResponse:
        return list(value)
    return None if isinstance(value, Carried) else value


def keep_completion(completion: Completion, usage: Usage) -> Carried:
    """Make the carried of a live answer, whose completion is at hand."""
    return Carried(None, completion, (), Saved((0.0, usage, None, ())))

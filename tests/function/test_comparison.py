"""Two values are the same only if no program could tell them apart; and what is kept comes back the same."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import struct
import threading
import uuid
from decimal import Decimal
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr, TypeAdapter

from instructor.function.codec import MISSING, FunctionCodec
from instructor.function.comparison import is_same


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Items(list[Any]):
    pass


class Pairs(dict[str, Any]):
    pass


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")
    held: Any = None
    _note: str = PrivateAttr("")

    @functools.cached_property
    def shouted(self) -> str:
        return str(self.held).upper()


@dataclasses.dataclass
class Record:
    held: Any
    hidden: Any = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    held: Any


Named = collections.namedtuple("Named", "one other")  # noqa: PYI024 - untyped on purpose


def noted(note: str) -> Model:
    model = Model(held=1)
    model._note = note
    return model


SAME: list[tuple[Any, Any]] = [
    (float("nan"), float("nan")),
    ({"a": [1], "b": 2}, {"b": 2, "a": [1]}),
    ({"a", "b"}, {"b", "a"}),
    (Model(held=[Record(1)]), Model(held=[Record(1)])),
    (Model(held=1, more=2), Model(more=2, held=1)),
    (noted("a"), noted("a")),
    (Slotted(("a",)), Slotted(("a",))),
    (Named(1, "a"), Named(1, "a")),
    (Text("a"), Text("a")),
    (SecretStr("a"), SecretStr("a")),
    (uuid.UUID(int=1), uuid.UUID(int=1)),
    (collections.deque([1], maxlen=2), collections.deque([1], maxlen=2)),
    (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), TypeAdapter(dt.datetime).validate_json('"2024-01-01T00:00:00Z"')),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    ("red", Colour.RED),
    (1, Level.LOW),
    ("a", Text("a")),
    ([1], (1,)),
    ([1], Items([1])),
    ({"a": 1}, Pairs(a=1)),
    ({"a": 1}, collections.OrderedDict(a=1)),
    (collections.defaultdict(int, a=1), collections.defaultdict(float, a=1)),
    ({"a": 1}, {"a": True}),
    ({1: "a"}, {True: "a"}),
    ({1}, {True}),
    ({1}, frozenset({1})),
    ({"a": 1}, {"b": 1}),
    ({"a": None}, {}),
    ([1], [1, 2]),
    (Model(held=1), Model(held=1.0)),
    (Model(held=None), Model()),
    (Model(held=1), Model(held=1, more=2)),
    (noted("a"), noted("b")),
    (Record(1, 1), Record(1, 2)),
    (Slotted(1), Slotted(True)),
    (Named(1, 2), (1, 2)),
    (SecretStr("a"), SecretStr("b")),
    (Decimal("1.0"), Decimal("1.00")),
    (PurePosixPath("a"), PureWindowsPath("a")),
    (collections.deque([1], maxlen=2), collections.deque([1])),
    (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))),
    (dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, fold=1)),  # noqa: DTZ001 - a naive time is a value too
    (b"a", bytearray(b"a")),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_values_that_no_program_tells_apart_are_the_same(one: Any, other: Any) -> None:
    assert is_same([one], [other])


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_differ_anywhere_are_not_the_same(one: Any, other: Any) -> None:
    for wrap in (list, lambda value: value[0], lambda value: {"a": Model(held=Record(value[0]))}):
        assert not is_same(wrap([one]), wrap([other]))
        assert not is_same(wrap([other]), wrap([one]))


def test_what_a_cached_property_has_kept_does_not_matter() -> None:
    one, other = Model(held="a"), Model(held="a")
    assert one.shouted == "A"
    assert is_same(one, other)


def test_what_cannot_be_copied_cannot_be_compared() -> None:
    with pytest.raises(TypeError):
        is_same(threading.Lock(), threading.Lock())


def fingerprint(value: Any) -> Any:  # noqa: PLR0911 - a table would be harder to read
    """Everything that a program can see of a value, found in another way than `is_same` does."""
    kind = type(value).__qualname__
    if isinstance(value, BaseModel):
        parts = (vars(value), value.__pydantic_extra__, value.__pydantic_private__, value.model_fields_set)
        return kind, [fingerprint(part) for part in parts]
    if dataclasses.is_dataclass(value):
        return kind, [(field.name, fingerprint(getattr(value, field.name))) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        pairs = [(fingerprint(name), fingerprint(item)) for name, item in value.items()]
        return kind, sorted(pairs, key=repr), repr(getattr(value, "default_factory", None))
    if isinstance(value, (set, frozenset)):
        return kind, sorted(map(fingerprint, value), key=repr)
    if isinstance(value, (list, tuple)):
        return kind, [fingerprint(item) for item in value]
    if isinstance(value, float):
        return kind, struct.pack("d", value) if value == value else "nan"  # noqa: PLR0124 - not-a-number
    if isinstance(value, dt.datetime):
        return kind, value.isoformat(), value.fold, value.tzname()
    return kind, str(value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, -0.0, 1.0, 1.5, float("nan"), float("inf")])
    | st.sampled_from(["", "a", "red", "1", Text("a"), Colour.RED, Level.LOW, Decimal("1.0"), Decimal(1), b"a"])
    | st.sampled_from([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), uuid.UUID(int=1), SecretStr("a")])
)
KEYS = st.sampled_from(["a", "b", 1, True, 1.0, Colour.RED])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=2).map(Items)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=2).map(collections.OrderedDict)
        | st.dictionaries(KEYS, inner, max_size=2).map(lambda pairs: collections.defaultdict(int, pairs))
        | st.builds(Model, held=inner)
        | st.builds(Record, inner, inner)
        | st.builds(Slotted, inner)
    ),
    max_leaves=6,
)
RETURNED: list[Any] = [
    *(Any, object, dict, list, dict[str, Any], list[Any], tuple[Any, ...], set[Any], list[int], list[float], list[str]),
    *(Model, Record, Slotted, Model | Record | None, Colour | str, Level | int, int | float | bool, bytes, Decimal),
    *(dict[str, Model], dict[int, Any], collections.defaultdict[str, int], collections.OrderedDict[str, Any]),
    *(dt.datetime | dt.date, uuid.UUID, list[tuple[Any, Any]], SecretStr),
]


def make_codec(returned: Any) -> FunctionCodec:
    def extract() -> Any: ...

    extract.__annotations__ = {"return": returned}
    return FunctionCodec(extract, shared=False)


CODECS = [make_codec(returned) for returned in RETURNED]


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydantic's, about values that are not of the return type
@given(VALUES, st.sampled_from(CODECS))
def test_whatever_is_kept_comes_back_the_same(value: Any, codec: FunctionCodec) -> None:
    before = fingerprint(value)
    entry = codec.write("key", value, None, 0.0)
    assert fingerprint(value) == before, "writing changes nothing"
    if entry is not None:
        hit = codec.read(entry)
        assert hit is not MISSING
        assert fingerprint(hit) == before


@given(VALUES, VALUES)
def test_values_are_the_same_if_and_only_if_their_fingerprints_are(one: Any, other: Any) -> None:
    assert is_same(one, other) == (fingerprint(one) == fingerprint(other))

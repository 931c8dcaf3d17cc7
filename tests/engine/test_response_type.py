"""Every kind of response model comes back properly, live and from the store alike."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import gc
import json
import math
import pickle
import typing
import weakref
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union, cast

import pydantic.dataclasses
import pytest
import typing_extensions
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    WithJsonSchema,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
)

from instructor.cache.carried import ListResponse
from instructor.cache.memory import AutoCache
from instructor.cache.sqlite import DiskCache
from instructor.client import Instructor
from instructor.engine.plan import MOST_ANNOTATIONS, Plans
from instructor.engine.response_type import make_response_type
from instructor.exceptions import ConfigurationError
from instructor.messages import Part
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO

T = TypeVar("T")


class Plain(BaseModel):
    name: str


class Aliased(BaseModel):
    full_name: str = Field(alias="fullName")
    other: int = Field(validation_alias=AliasChoices("a", "b"))


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2


class Excluded(BaseModel):
    shown: int
    hidden: int = Field(exclude=True)
    hidden_default: int = Field(default=0, exclude=True)


class Serialized(BaseModel):
    when: dt.date

    @field_serializer("when")
    def shorten(self, when: dt.date) -> int:
        return when.year


class Changing(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def add(cls, number: int) -> int:
        return number + 1


class Normalised(BaseModel):
    code: str

    @field_validator("code")
    @classmethod
    def strip(cls, code: str) -> str:
        if not code.startswith("#"):
            raise ValueError("a code begins with #")
        return code[1:]


class Secret(BaseModel):
    key: SecretStr


class Numbers(BaseModel):
    ratio: float
    price: Decimal
    data: bytes


class Private(BaseModel):
    name: str
    _note: str = PrivateAttr(default="n")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class Box(BaseModel, Generic[T]):
    content: T


class Names(RootModel[list[str]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pet(RootModel[Annotated[Cat | Dog, Field(discriminator="kind")]]):
    pass


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Movie(typing_extensions.TypedDict):
    title: str
    year: typing_extensions.NotRequired[int]


class OldMovie(typing.TypedDict, total=False):
    title: typing.Required[str]
    year: int


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


CAT = {"kind": "cat", "lives": 9}

KINDS: list[tuple[Any, Any, Any]] = [
    (Plain, {"name": "x"}, Plain(name="x")),
    (Aliased, {"fullName": "x", "b": 2}, Aliased(fullName="x", b=2)),
    (Computed, {"side": 3}, Computed(side=3)),
    (Excluded, {"shown": 1, "hidden": 2, "hidden_default": 3}, Excluded(shown=1, hidden=2, hidden_default=3)),
    (Serialized, {"when": "2026-01-02"}, Serialized(when=dt.date(2026, 1, 2))),
    (Changing, {"number": 1}, Changing(number=1)),
    (Normalised, {"code": "#x"}, Normalised(code="#x")),
    (Secret, {"key": "s3cret"}, Secret(key=SecretStr("s3cret"))),
    (
        Numbers,
        '{"ratio": Infinity, "price": "1.10", "data": "abc"}',
        Numbers(ratio=math.inf, price="1.10", data=b"abc"),
    ),
    (Private, {"name": "x"}, Private(name="x")),
    (Open, {"name": "x", "more": [1]}, Open(name="x", more=[1])),
    (Box[int], {"content": 1}, Box[int](content=1)),
    (Box[Plain], {"content": {"name": "x"}}, Box[Plain](content=Plain(name="x"))),
    (Names, {"content": ["a"]}, Names(["a"])),
    (Pet, {"content": CAT}, Pet(Cat(**CAT))),
    (Owner, {"pet": CAT}, Owner(pet=Cat(**CAT))),
    (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
    (Cat | Dog, {"content": CAT}, Cat(**CAT)),
    (Union[Cat, Dog], {"content": {"kind": "dog", "tricks": []}}, Dog(kind="dog", tricks=[])),
    (Optional[Plain], {"content": None}, None),
    (Plain | None, {"content": {"name": "x"}}, Plain(name="x")),
    (list[Plain], {"content": [{"name": "x"}]}, ListResponse([Plain(name="x")])),
    (list[Plain], {"content": []}, ListResponse()),
    (Iterable[Plain], {"content": [{"name": "x"}]}, ListResponse([Plain(name="x")])),
    (dict[str, int], {"content": {"a": 1}}, {"a": 1}),
    (tuple[int, str], {"content": [1, "a"]}, (1, "a")),
    (set[int], {"content": [1, 2]}, {1, 2}),
    (Movie, {"title": "x"}, {"title": "x"}),
    (OldMovie, {"title": "x"}, {"title": "x"}),
    (list[OldMovie], {"content": [{"title": "x", "year": 1}]}, [{"title": "x", "year": 1}]),
    (Point, {"x": 1}, Point(1)),
    (Colour, {"content": "red"}, Colour.RED),
    (Literal["a", "b"], {"content": "b"}, "b"),
    (int, {"content": 5}, 5),
    (float, {"content": 5}, 5.0),
    (bool, {"content": False}, False),
    (str, {"content": "5"}, "5"),
    (str, {"content": ""}, ""),
    (Decimal, {"content": "1.10"}, Decimal("1.10")),
    (dt.datetime, {"content": "2026-01-02T03:04:05Z"}, dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
    (Annotated[int, Field(gt=0)], {"content": 5}, 5),
    (list[Annotated[str, Field(max_length=3)]], {"content": ["abc"]}, ["abc"]),
    (type(None), {"content": None}, None),
]


def make(replies: Any, cache: Any) -> tuple[Instructor, ScriptedAdapter]:
    port = ScriptedAdapter(replies)
    return Instructor(port, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache), port


@pytest.mark.parametrize(
    ("kind", "answer", "expected"), KINDS, ids=[str(kind[0]).replace(f"{__name__}.", "") for kind in KINDS]
)
@pytest.mark.parametrize("store", ["memory", "disk"])
def test_a_hit_is_exactly_what_the_live_call_returned(
    kind: Any, answer: Any, expected: Any, store: str, tmp_path
) -> None:
    cache = AutoCache() if store == "memory" else DiskCache(directory=tmp_path)
    client, port = make([answer], cache)
    live = client.create(response_model=kind, messages=HELLO)
    hits = [client.create(response_model=kind, messages=HELLO) for _ in range(3)]
    again, completion = client.create_with_completion(response_model=kind, messages=HELLO)
    assert live == expected
    assert type(live) is type(expected)
    assert [*hits, again] == [live] * 4
    assert all(type(hit) is type(live) for hit in hits)
    assert type(completion).__name__ == "ChatCompletion"
    assert len(port.requests) == 1
    assert client.cache_stats().hits == 4
    if isinstance(live, BaseModel):
        assert hits[0].model_fields_set == live.model_fields_set
        assert pickle.loads(pickle.dumps(hits[0])) == live
    if store == "disk":
        cache.close()


def test_a_secret_is_the_secret_on_a_hit() -> None:
    client, _ = make([{"key": "s3cret"}], AutoCache())
    assert [client.create(Secret, HELLO).key.get_secret_value() for _ in range(2)] == ["s3cret"] * 2


def test_changing_a_returned_object_changes_no_other() -> None:
    client, _ = make([{"content": [{"name": "x"}]}], AutoCache())
    first = client.create(list[Plain], HELLO)
    first[0].name = "changed"
    first.append(Plain(name="more"))
    assert client.create(list[Plain], HELLO) == [Plain(name="x")]


def test_two_models_with_one_schema_share_an_answer_and_each_validates_it() -> None:
    def model(limit: int) -> type[BaseModel]:
        class Same(BaseModel):
            number: int

            @field_validator("number")
            @classmethod
            def check(cls, number: int) -> int:
                if number > limit:
                    raise ValueError("too large")
                return number

        return Same

    loose, tight = model(10), model(1)
    client, port = make([{"number": 5}, {"number": 1}], AutoCache())
    assert client.create(loose, HELLO).number == 5
    assert client.create(tight, HELLO).number == 1, "a stored answer that today's validators refuse is asked for again"
    assert type(client.create(loose, HELLO)) is loose
    assert client.create(loose, HELLO).number == 1, "and overwritten"
    assert len(port.requests) == 2


@pytest.mark.parametrize(
    "kind",
    [5, "User", object(), lambda: 0, Plain(name="x"), [Plain], {"a": int}, ..., typing.Union, Literal, BaseModel],
    ids=["int", "str", "object", "function", "instance", "list", "dict", "ellipsis", "union", "literal", "base"],
)
def test_what_is_no_type_is_refused_with_advice(kind: Any) -> None:
    client, port = make([], AutoCache())
    with pytest.raises(ConfigurationError, match="response_model"):
        client.create(response_model=kind, messages=HELLO)
    assert not port.requests


def test_what_is_refused_is_not_shown() -> None:
    """It may be what a config file names, such as the environment with its keys."""
    client, _ = make([], AutoCache())
    with pytest.raises(ConfigurationError) as raised:
        client.create(response_model=cast("Any", {"KEY": "sk-secret"}), messages=HELLO)
    assert "sk-secret" not in str(raised.value)


def test_a_class_that_pydantic_cannot_read_is_refused_with_advice() -> None:
    class Opaque:
        pass

    client, _ = make([], AutoCache())
    with pytest.raises(ConfigurationError, match="Pass a pydantic model"):
        client.create(response_model=list[Opaque], messages=HELLO)


def annotated(metadata: Any) -> Any:
    """An annotation of its own: `typing` hands out an older one again that it finds equal, unless its memory is full."""
    for clear in typing._cleanups:
        clear()
    return Annotated[int, metadata]


def test_annotations_that_python_calls_equal_have_plans_of_their_own() -> None:
    plans = Plans()
    for one, other in [
        (Cat | Dog, Dog | Cat),
        (Literal["a", "b"], Literal["b", "a"]),
        (Literal[1], Literal[True]),
        (Annotated[int, Field(examples=[1])], Annotated[int, Field(examples=[1.0])]),
        (annotated(WithJsonSchema({"const": 1})), annotated(WithJsonSchema({"const": True}))),
    ]:
        assert plans.make(one) is not plans.make(other)
    assert plans.make(list[Cat]) is plans.make(list[Cat])
    assert plans.make(Annotated[int, Field(gt=0)]) is not plans.make(Annotated[int, Field(gt=1)])


def test_metadata_that_is_equal_only_by_a_users_word_has_a_plan_of_its_own() -> None:
    @dataclasses.dataclass
    class Hint:
        text: str = dataclasses.field(repr=False, compare=False)

    plans = Plans()
    one = Annotated[int, Hint("cats")]
    assert plans.make(one) is plans.make(one)
    assert plans.make(one) is not plans.make(Annotated[int, Hint("dogs")])


@pytest.mark.parametrize(
    "wrap",
    [AfterValidator, lambda limit: Field(default=limit), lambda limit: Field(examples=[limit])],
    ids=["validator", "default", "example"],
)
def test_so_is_metadata_of_pydantics_that_holds_such_an_object(wrap: Any) -> None:
    @dataclasses.dataclass(frozen=True)
    class Limit:
        most: int = dataclasses.field(repr=False, compare=False)

        def __call__(self, number: int) -> int:
            return min(number, self.most)

    plans = Plans()
    one, other = annotated(wrap(Limit(1))), annotated(wrap(Limit(2)))
    assert plans.make(one) is plans.make(one)
    assert plans.make(one) is not plans.make(other)
    client, _ = make([{"content": 5}], AutoCache())
    if wrap is AfterValidator:
        assert [client.create(kind, HELLO) for kind in (one, other)] == [1, 2]


@pytest.mark.usefixtures("clean_heap")
def test_a_plan_does_not_keep_a_model_alive() -> None:
    plans = Plans()
    model = create_model("Fleeting", name=(str, ...))
    plans.make(model)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
    assert not plans.by_class


def test_annotations_are_kept_up_to_a_number() -> None:
    plans = Plans()
    for number in range(MOST_ANNOTATIONS + 5):
        plans.make(Literal[number])
    assert len(plans._by_annotation) == MOST_ANNOTATIONS


def test_a_model_with_an_open_forward_reference_is_completed() -> None:
    class Later(BaseModel):
        node: Node

    client, _ = make([{"node": {"value": 1}}], AutoCache())
    assert client.create(Later, HELLO) == Later(node=Node(value=1))


def test_the_shape_of_every_kind_is_an_object_without_a_reference_at_its_top() -> None:
    plans = Plans()
    for kind, _, _ in KINDS:
        (shape,) = plans.make(kind).type.specs
        assert shape.schema["type"] == "object"
        assert "$ref" not in shape.schema
        assert shape.name.replace("_", "").replace("-", "").isalnum()
        assert shape.description


@pytest.mark.parametrize(
    "decorate", [dataclasses.dataclass, pydantic.dataclasses.dataclass], ids=["python", "pydantic"]
)
def test_the_signature_that_python_gives_a_dataclass_as_docstring_describes_nothing(decorate: Any) -> None:
    @decorate
    class Bare:
        name: str
        tags: frozenset[str] = frozenset({"a"})

    @decorate
    class Described:
        """A person."""

        name: str

    plans = Plans()
    assert plans.make(Bare).type.specs[0].description == "The answer, as a correct Bare."
    assert "frozenset" not in str(plans.make(Bare).type.specs)
    assert plans.make(Described).type.specs[0].description == "A person."


@pytest.mark.parametrize(("kind", "answer", "expected"), [KINDS[0], KINDS[-3], (Movie, {"title": "x"}, {"title": "x"})])
def test_a_single_value_is_made_of_the_first_part(kind: Any, answer: Any, expected: Any) -> None:
    parts = (Part("Response", json.dumps(answer)), Part("Response", "not JSON"))
    assert make_response_type(kind).parse(parts, strict=True, context=None) == expected

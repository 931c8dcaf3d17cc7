"""Random response models, and answers that fit them: a hit has to be the very value that the live call returned."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import json
import random
import typing
import uuid
from collections.abc import Callable
from dataclasses import field, make_dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union

import typing_extensions
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    create_model,
    model_validator,
)

from instructor import AsyncInstructor, BaseCache, Instructor, Mode
from instructor.exceptions import InstructorRetryException
from instructor.function.comparison import is_same
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Tagged(typing_extensions.TypedDict, total=False):
    tag: typing_extensions.Required[str]
    weight: float


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []


class Box(BaseModel, Generic[T]):
    content: T


class Names(RootModel[list[str]]):
    pass


class Counted(BaseModel):
    """Has data that no answer holds."""

    text: str
    _length: int = PrivateAttr(0)

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order
    @property
    def shout(self) -> str:
        return self.text.upper()

    @model_validator(mode="after")
    def count(self) -> Counted:
        self._length = len(self.text)
        return self


class UsersStore(BaseCache):
    """A user's store of texts."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.data.get(key)

    def set(self, key: str, value: Any, ttl: int | None = None) -> None:
        self.data[key] = value


def text(chance: random.Random) -> str:
    return "".join(chance.choice('ab é\n"\\😀{}\u2028') for _ in range(chance.randint(0, 6)))


Make = Callable[[random.Random], Any]

SCALARS: list[tuple[Any, Make]] = [
    (int, lambda chance: chance.choice([0, -1, 7, 2**53, 10**20])),
    (float, lambda chance: chance.choice([0.0, -0.0, 1.5, 1e-9, 1e300, 3])),
    (str, text),
    (bool, lambda chance: chance.random() < 0.5),
    (type(None), lambda chance: None),
    (Decimal, lambda chance: chance.choice(["1.10", "1.1", "0", "-0.00", "1E+3"])),
    (dt.datetime, lambda chance: chance.choice(["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+02:00"])),
    (dt.date, lambda chance: "2026-01-02"),
    (dt.time, lambda chance: chance.choice(["03:04:05", "03:04:05Z"])),
    (dt.timedelta, lambda chance: chance.choice(["P1D", "PT1.5S"])),
    (uuid.UUID, lambda chance: str(uuid.UUID(int=chance.getrandbits(128)))),
    (bytes, text),
    (SecretStr, text),
    (Color, lambda chance: chance.choice(["red", "blue"])),
    (Level, lambda chance: chance.choice([1, 2])),
    (Literal["x", 1, True], lambda chance: chance.choice(["x", 1, True])),
    (Json[list[int]], lambda chance: "[1, 2]"),
    (Annotated[str, AfterValidator(str.title)], text),
    (Any, lambda chance: chance.choice([None, 1, 1.0, True, "x", [1, {"a": None}], {"b": [2.0]}])),
    (Counted, lambda chance: {"text": text(chance)}),
    (Names, lambda chance: [text(chance)]),
    (Point, lambda chance: [1, 2.5]),
    (Tagged, lambda chance: chance.choice([{"tag": "t"}, {"tag": "t", "weight": 1.0}])),
    (Tree, lambda chance: {"name": "a", "branches": [{"name": "b"}]}),
    (
        Annotated[Union[Cat, Dog], Field(discriminator="kind")],
        lambda chance: chance.choice([{"kind": "cat"}, {"kind": "dog", "good": True}]),
    ),
    (Union[int, str], lambda chance: chance.choice([1, "1"])),
    (Union[float, int], lambda chance: chance.choice([1, 1.0])),
]


def make_type(chance: random.Random, depth: int = 2) -> tuple[Any, Make]:
    """A random type, and what makes JSON data that fit it."""
    if depth == 0 or chance.random() < 0.5:
        return chance.choice(SCALARS)
    inner, make = make_type(chance, depth - 1)

    def make_list(chance: random.Random) -> list[Any]:
        return [make(chance) for _ in range(chance.randint(0, 3))]

    def make_one(chance: random.Random) -> list[Any]:
        return [make(chance)]

    def make_dict(chance: random.Random) -> dict[str, Any]:
        return {text(chance): make(chance) for _ in range(chance.randint(0, 3))}

    def make_optional(chance: random.Random) -> Any:
        return chance.choice([None, make(chance)])

    def make_box(chance: random.Random) -> dict[str, Any]:
        return {"content": make(chance)}

    containers: list[tuple[Any, Make]] = [
        (list[inner], make_list),
        (tuple[inner, ...], make_list),
        (tuple[inner], make_one),
        (dict[str, inner], make_dict),
        (Optional[inner], make_optional),
        (Box[inner], make_box),
        (set[str], lambda chance: [text(chance), text(chance)]),
        (frozenset[int], lambda chance: [3, 1, 2]),
        make_model(chance, depth - 1),
    ]
    return chance.choice(containers)


def make_model(chance: random.Random, depth: int) -> tuple[type[BaseModel], Make]:
    """A random pydantic model."""
    fields: dict[str, Any] = {}
    makers: list[tuple[str, bool, Make]] = []
    for number in range(chance.randint(1, 4)):
        kind, make = make_type(chance, depth)
        name = alias = f"field_{number}"
        options: dict[str, Any] = {}
        if chance.random() < 0.3:
            alias = f"alias {number}"
            ways = {"alias": alias, "validation_alias": AliasChoices(alias, name)}
            way = chance.choice(list(ways))
            options[way] = ways[way]
        if chance.random() < 0.2:
            options["exclude"] = True
        if chance.random() < 0.2:
            options["description"] = "what it is"
        is_optional = chance.random() < 0.3
        if is_optional:
            options["default"] = None
        fields[name] = (kind, Field(**options))
        makers.append((alias, is_optional, make))
    extra = chance.choice(["allow", "ignore", "ignore"])
    config = ConfigDict(extra=typing.cast("Any", extra), frozen=chance.random() < 0.2)
    model: Any = create_model("Random", __config__=config, **fields)

    def make(chance: random.Random) -> dict[str, Any]:
        data = {name: make(chance) for name, optional, make in makers if not (optional and chance.random() < 0.5)}
        if chance.random() < 0.2:
            data["surplus"] = [1, {"a": 1.0}]
        return data

    return model, make


def make_question(chance: random.Random) -> tuple[Any, Any]:
    """A random response model, and an answer to it."""
    model, make = make_model(chance, 2)
    kind = chance.randrange(8)
    if kind == 0:
        inner, make_inner = make_type(chance)
        shape = make_dataclass("Random", [("value", inner), ("number", int, field(default=3))])
        return shape, {"value": make_inner(chance)}
    if kind == 1:
        return list[model], {"content": [make(chance), make(chance)]}  # type: ignore[valid-type] # made at run time
    if kind == 2:
        inner, make_inner = make_type(chance)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return Box[inner], {"content": make_inner(chance)}  # type: ignore[valid-type] # as above
    return model, make(chance)


def compare(seeds: range, store: BaseCache) -> int:
    """Ask random questions, and again by clients of every kind; return how many hits were compared."""
    hits = 0
    for seed in seeds:
        hits += compare_one(seed, store)
    return hits


def compare_one(seed: int, store: BaseCache) -> int:
    chance = random.Random(seed)
    model, answer = make_question(chance)
    strict = chance.random() < 0.5
    options: dict[str, Any] = {"wires": {Mode.TOOLS: OPENAI_CHAT}, "mode": Mode.TOOLS, "model": "m", "cache": store}
    messages = [{"role": "user", "content": f"question {seed}"}]
    keywords = {"strict": strict, "max_retries": 0}
    adapter = ScriptedAdapter([json.dumps(answer)] * 2)
    client, other = Instructor(adapter, **options), Instructor(ScriptedAdapter([]), **options)
    awaited = AsyncInstructor(ScriptedAdapter([], asynchronous=True), **options)
    try:
        live, completion = client.create_with_completion(model, messages, **keywords)
    except InstructorRetryException:  # the answer isn't valid, such as text for an int where validation is strict
        return 0

    async def ask() -> tuple[Any, Any]:
        return await awaited.create(model, messages, **keywords), await awaited.create(model, messages, **keywords)

    again = client.create_with_completion(model, messages, **keywords)
    values = [client.create(model, messages, **keywords), again[0], other.create(model, messages, **keywords)]
    values += [other.create(model, messages, **keywords), *asyncio.run(ask())]
    for value in values:
        assert value is not live, seed
        assert is_same(value, live), (seed, value, live)
        assert repr(value) == repr(live), seed
    assert again[1].model_dump_json() == completion.model_dump_json(), seed
    assert len(adapter.requests) == 1, seed
    return len(values)

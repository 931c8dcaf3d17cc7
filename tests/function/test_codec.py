"""What makes two calls of a cached function the same, and that a stored result comes back as it was."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
import functools
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    Field,
    GetPydanticSchema,
    PrivateAttr,
    SecretStr,
    computed_field,
)
from pydantic.errors import PydanticUserError
from pydantic_core import core_schema
from typing_extensions import TypedDict

from instructor.cache import AutoCache, DiskCache, instructor_cache
from instructor.client import Instructor
from instructor.exceptions import ConfigurationError
from instructor.function.codec import FunctionCodec
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

CHILDREN = Path(__file__).parent / "children"


class User(BaseModel):
    name: str
    age: int = 3


class Aliased(BaseModel):
    first: str = Field(alias="firstName")
    second: int = Field(validation_alias=AliasChoices("b", "B"), serialization_alias="bee")
    third: str = Field(default="x", alias="Third")

    @computed_field
    @property
    def both(self) -> str:
        return f"{self.first}{self.second}"


class Made(BaseModel):
    serial: int = Field(default_factory=iter(range(1000)).__next__)


class Guarded(BaseModel):
    password: SecretStr


class Hidden(BaseModel):
    name: str
    hidden: str = Field(default="", exclude=True)


class Noted(BaseModel):
    name: str
    _note: str = PrivateAttr("")


@dataclasses.dataclass
class Point:
    x: int
    y: tuple[int, ...] = ()


class Row(TypedDict):
    name: str
    price: Decimal


class Opaque:
    """Has no canonical form."""

    def method(self) -> int:
        return 1

    def other(self) -> int:
        return 2


class Colour(enum.StrEnum):
    RED = "red"


class Holder(BaseModel):
    held: Any


@dataclasses.dataclass
class Timed:
    name: str
    at: float = dataclasses.field(init=False, compare=False, default=0.0)

    def __post_init__(self) -> None:
        self.at = next(TICKS)


TICKS = iter(map(float, range(10_000)))

HELD: dict[str, Any] = {}
"""What the functions of these tests return: were it closed over, it would have to have a canonical form."""


class Keyed:
    """Says itself what it contributes to a key."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __cache_key__(self) -> Any:
        return {"name": self.name}


def test_arguments_are_compared_by_name_and_with_defaults(calls: list[Any]) -> None:
    @instructor_cache
    def extract(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> int:
        calls.append((a, b, rest, c, more))
        return len(calls)

    assert {extract(1), extract(1, 2), extract(1, b=2), extract(1, c=3, b=2)} == {1}
    assert {extract(1, 2, 5, d=6, e=7), extract(1, 2, 5, e=7, d=6)} == {2}
    different = [extract(2), extract(1, 3), extract(1, c=4), extract(1, 2, 3), extract(1, d=3), extract(True)]
    assert different == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (None, "None"),
        (date(2024, 1, 1), "2024-01-01"),
        (b"a", "a"),
        (User(name="a"), {"name": "a", "age": 3}),
        (Point(1), {"x": 1, "y": []}),
        ({"a": 1}, {"a": 2}),
        ([1, [2]], [[1], 2]),
        (Decimal(1), 1),
        (1, 1.0),
        (0.0, -0.0),
        ((1, 2), [1, 2]),
        ({1}, frozenset({1})),
        ({1: "a"}, {True: "a"}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, collections.OrderedDict(a=1)),
        ({"a": 1}, collections.defaultdict(int, a=1)),
        ("red", Colour.RED),
        (User(name="a", age=1), User(name="a", age=True)),
        (User, Point),
        (Opaque.method, Opaque.other),
    ],
)
def test_arguments_that_differ_are_never_taken_for_each_other(one: Any, other: Any) -> None:
    @instructor_cache
    def show(value: object) -> str:
        return repr(value)

    assert show(one) == repr(one)
    assert show(other) == repr(other)


def test_a_call_that_does_not_fit_the_function_fails_as_without_the_decorator() -> None:
    @instructor_cache
    def extract(text: str) -> str:
        return text

    with pytest.raises(TypeError, match=r"extract\(\) got an unexpected keyword argument 'nope'"):
        extract("a", nope=1)


def test_an_argument_without_a_canonical_form_is_not_cached_and_named_once(
    calls: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @instructor_cache
    def extract(text: str, tool: Any) -> str:
        calls.append(text)
        return text

    for _ in range(3):
        assert extract("a", Opaque()) == "a"
    assert len(calls) == 3
    assert [record.name for record in caplog.records] == ["instructor.cache"]
    assert "tool" in caplog.text


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (User, User(name="é", age=5)),
        (User, User(name="unset")),
        (Aliased, Aliased(firstName="a", b=1)),
        (list[Aliased], [Aliased(firstName="a", b=1), Aliased(firstName="b", B=2, Third="3")]),
        (dict[str, User], {"a": User(name="a")}),
        (Made, Made(serial=5)),
        (User | None, User(name="a")),
        (User | None, None),
        (User | Point, Point(1, (2, 3))),
        (Point, Point(1, (2,))),
        (Row, {"name": "a", "price": Decimal("1.10")}),
        (int, 5),
        (float, 1.5),
        (str, 'with "quotes"\n'),
        (bool, False),
        (date, date(2024, 2, 29)),
        (Literal["a", "b"], "b"),
        (list[tuple[int, str]], [(1, "a")]),
        (typing.Annotated[int, Field(gt=0)], 5),
        (dict[str, Colour], {"a": Colour.RED}),
        (datetime, datetime(2024, 2, 29, tzinfo=UTC)),
        (collections.OrderedDict[str, int], collections.OrderedDict(a=1)),
    ],
)
def test_a_hit_is_equal_to_what_the_function_returned(disk: DiskCache, returned: Any, result: Any) -> None:
    calls = []
    HELD["result"] = result

    def extract() -> Any:
        calls.append(1)
        return HELD["result"]

    extract.__annotations__ = {"return": returned}
    cached = instructor_cache(cache=disk)(extract)
    live, hit = cached(), cached()
    assert len(calls) == 1
    assert live is result
    assert hit == result
    assert type(hit) is type(result)
    if isinstance(result, BaseModel):
        assert hit.model_fields_set == result.model_fields_set


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (Guarded, Guarded(password="hunter2")),
        (Hidden, Hidden(name="a", hidden="b")),
        (float, float("nan")),
        (Any, (1, 2)),
        (int, "not an int"),
        (int, True),
        (Any, Opaque()),
        (Made, Made()),
        (dict, {"a": Colour.RED}),
        (dict, {"a": collections.defaultdict(int, a=1)}),
        (list[int], [1, True]),
        (list[float], [3, 4]),
        (Holder, Holder(held=Colour.RED)),
        (Holder, Holder(held=(1,))),
        (Timed, Timed("x")),
        (datetime, datetime(2024, 2, 29, tzinfo=ZoneInfo("Europe/Berlin"))),
    ],
)
def test_a_result_that_would_come_back_different_is_not_stored_and_the_log_says_so_once(
    disk: DiskCache, returned: Any, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []
    HELD["result"] = result

    def extract() -> Any:
        calls.append(1)
        return HELD["result"]

    extract.__annotations__ = {"return": returned}
    cached = instructor_cache(cache=disk)(extract)
    assert [cached(), cached()] == [result, result] or result != result  # noqa: PLR0124 - not-a-number
    assert len(calls) == 2
    assert len(disk) == 0
    assert caplog.text.count("extract is not cached: written as JSON") == 1
    assert "hunter2" not in caplog.text


def test_private_data_that_would_be_lost_is_not_stored() -> None:
    @instructor_cache
    def extract() -> Noted:
        noted = Noted(name="a")
        noted._note = "kept"
        return noted

    assert [extract()._note, extract()._note] == ["kept", "kept"]


def test_another_return_type_or_function_never_hits(disk: DiskCache) -> None:
    def declare(returned: Any) -> Any:
        def extract() -> Any:
            return None

        extract.__annotations__["return"] = returned
        return instructor_cache(cache=disk)(extract)

    class Old(BaseModel):
        name: str

    class New(BaseModel):
        name: str
        age: int = 3

    New.__qualname__, New.__name__ = Old.__qualname__, Old.__name__
    for returned in (int | None, str | None, Old | None, New | None):
        assert declare(returned)() is None
    assert len(disk) == 4

    @instructor_cache(cache=disk)
    def other() -> int | None:
        return 5

    assert other() == 5


def test_a_result_that_todays_validators_refuse_is_made_anew(disk: DiskCache) -> None:
    strict = False

    def check(value: str) -> str:
        if strict:
            raise ZeroDivisionError("validators may raise anything")
        return value

    returned: list[str] = ["a"]

    def extract() -> Any:
        return returned

    extract.__annotations__["return"] = list[typing.Annotated[str, AfterValidator(check)]]
    cached = instructor_cache(cache=disk)(extract)
    assert cached() == cached() == ["a"]
    strict = True
    assert cached() is returned
    assert disk.stats().errors == 1


def test_functions_made_by_one_function_are_told_apart_by_what_they_close_over(disk: DiskCache) -> None:
    def make(language: Any, helper: Any = None) -> Any:
        @instructor_cache(cache=disk)
        def translate(text: str) -> str:
            return f"{text} in {helper() if helper else language}"

        return translate

    def make_helper(language: str) -> Any:
        return lambda: language

    assert make("fr")("a") == "a in fr"
    assert make("de")("a") == "a in de"
    hits = disk.stats().hits
    assert make("fr")("a") == "a in fr"
    assert disk.stats().hits == hits + 1
    assert make("", make_helper("it"))("a") == "a in it"
    assert make("", make_helper("es"))("a") == "a in es"
    assert make(Keyed("x"))("a") == make(Keyed("x"))("a") != make(Keyed("y"))("a")


def test_a_closed_over_object_without_a_canonical_form_is_named_and_the_call_not_cached_if_it_matters(
    disk: DiskCache, caplog: pytest.LogCaptureFixture
) -> None:
    tool = Opaque()

    def extract() -> str:
        return repr(tool)

    alone = instructor_cache(extract)
    assert alone() == alone() == repr(tool)
    assert alone.cache.stats().hits == 1
    assert caplog.text == "", "no other function uses its store"
    shared = instructor_cache(cache=disk)(extract)
    assert shared() == shared() == repr(tool)
    assert len(disk) == 0
    assert caplog.text.count("'tool'") == 1


def test_a_variable_assigned_after_the_function_is_told_apart_too(disk: DiskCache) -> None:
    def make(language: str) -> Any:
        @instructor_cache(cache=disk)
        def translate(text: str) -> str:
            return speak(text) if text else translate("nothing")

        def speak(text: str) -> str:
            return f"{text} in {language}"

        return translate

    assert [make(language)("a") for language in ("fr", "de", "fr")] == ["a in fr", "a in de", "a in fr"]
    assert make("fr")("") == "nothing in fr"
    assert disk.stats().hits == 1


def test_functions_that_differ_in_their_code_never_share_a_key(disk: DiskCache) -> None:
    def make(choice: int) -> Any:
        if choice == 1:

            def extract(text: str) -> str:
                return f"capital of {text}"

        else:

            def extract(text: str) -> str:
                return f"president of {text}"

        return instructor_cache(cache=disk)(extract)

    assert [make(1)("France"), make(2)("France")] == ["capital of France", "president of France"]


class Reader(BaseModel):
    language: str

    @instructor_cache
    def read(self, text: str) -> str:
        return f"{type(self).__name__} reads {text} in {self.language}"


class FastReader(Reader):
    pass


class Plain:
    made = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @instructor_cache
    def read(self, text: str) -> str:
        Plain.made += 1
        return f"{self.name} reads {text}"

    @classmethod
    @instructor_cache
    def of_class(cls, text: str) -> str:
        Plain.made += 1
        return f"{cls.__name__} {text}"

    @instructor_cache
    @classmethod
    def of_class_too(cls, text: str) -> str:
        return f"{cls.__name__} {text}"

    @staticmethod
    @instructor_cache
    def of_nobody(text: str) -> str:
        Plain.made += 1
        return text

    @instructor_cache
    async def wait(self, text: str) -> str:
        return f"{self.name} waits for {text}"


class Heir(Plain):
    pass


def test_methods_of_models_share_answers_by_data_and_class() -> None:
    assert Reader(language="fr").read("a") == "Reader reads a in fr"
    assert Reader(language="de").read("a") == "Reader reads a in de"
    hits = Reader.read.cache.stats().hits
    assert Reader(language="fr").read("a") == "Reader reads a in fr"
    assert Reader.read.cache.stats().hits == hits + 1
    assert FastReader(language="fr").read("a") == "FastReader reads a in fr"


def test_methods_of_an_instance_without_a_canonical_form_are_not_cached_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = Plain("one")
    assert plain.read("a") == "one reads a"
    plain.name = "two"
    assert plain.read("a") == "two reads a"
    assert asyncio.run(plain.wait("b")) == "two waits for b"
    (message, _) = [record.getMessage() for record in caplog.records]
    assert "Plain.read is not cached: argument self is a " in message
    assert "__cache_key__" in message


def scripted() -> Instructor:
    return Instructor(ScriptedAdapter([]), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m")


@dataclasses.dataclass
class Summary:
    client: Instructor
    prompt: str

    @instructor_cache
    def extract(self, text: str) -> str:
        return f"{self.prompt}/{text}"


class Summarizer(BaseModel, arbitrary_types_allowed=True):
    client: Instructor
    prompt: str

    @instructor_cache
    def extract(self, text: str) -> str:
        return f"{self.prompt}/{text}"


@pytest.mark.parametrize("make", [Summary, Summarizer])
def test_a_receiver_that_holds_a_client_is_keyed_by_its_data(make: Any) -> None:
    made = make(client=scripted(), prompt="summarise")
    assert made.extract("x") == "summarise/x"
    made.prompt = "translate"
    assert made.extract("x") == "translate/x"
    assert make(client=scripted(), prompt="translate").extract("x") == "translate/x"
    assert make.extract.cache.stats().hits == 1


def test_a_client_may_be_an_argument(calls: list[Any]) -> None:
    @instructor_cache
    def extract(client: Instructor, model: type[BaseModel]) -> str:
        calls.append(client)
        return repr(client)

    assert extract(scripted(), User) == extract(scripted(), User)
    extract(scripted(), Point)
    assert len(calls) == 2


def test_class_methods_and_static_methods_are_cached() -> None:
    Plain.made = 0
    assert [Plain.of_class("a"), Heir.of_class("a"), Plain("x").of_class("a")] == ["Plain a", "Heir a", "Plain a"]
    assert [Plain.of_nobody("b"), Heir("x").of_nobody("b")] == ["b", "b"]
    assert [Plain.of_class_too("a"), Heir.of_class_too("a")] == ["Plain a", "Heir a"]
    assert Plain.made == 3


def missing(text: str):
    return text


def returns_nothing(text: str) -> None:
    del text


def generate() -> Iterator[int]:
    yield 1


def opaque() -> Opaque:
    return Opaque()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (
            missing,
            r"cannot cache missing, because it has no return annotation .* Add one: def missing\(\.\.\.\) -> User",
        ),
        (returns_nothing, "cannot cache returns_nothing, because its return annotation is None"),
        (generate, "generator generate"),
        (opaque, r"cannot keep what .*opaque"),
        (functools.partial(missing, "a"), "decorates a function"),
        (DiskCache("unused"), r"@instructor_cache\(cache=\.\.\.\)"),
        (len, "decorates a function"),
    ],
)
def test_a_function_that_cannot_be_cached_is_refused_when_it_is_decorated(function: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        instructor_cache(function)


class Outer:
    class Inner(BaseModel):
        """Known by its name inside the class."""

        name: str

    @staticmethod
    @instructor_cache
    def find() -> Inner:
        return Outer.Inner(name="a")


def test_return_types_in_quotes_are_found_wherever_they_are_defined() -> None:
    class Local(BaseModel):
        name: str

    @instructor_cache
    def local() -> Local:
        return Local(name="a")

    @instructor_cache
    def later() -> list[Later]:  # noqa: F821 - defined below
        return [Later(name="a")]  # noqa: F821 - as above

    assert local() == local() == Local(name="a")
    globals()["Later"] = type("Later", (User,), {"__module__": __name__})
    assert later() == later()
    assert later.cache.stats().hits == 1
    assert Outer.find() == Outer.find()
    assert Outer.find.cache.stats().hits == 1


def test_a_return_type_that_cannot_be_found_is_named_at_the_first_call_before_the_function_runs(
    calls: list[Any],
) -> None:
    @instructor_cache
    def never() -> Nowhere:  # noqa: F821 - what is tested
        calls.append(1)

    with pytest.raises(ConfigurationError, match=r"never names something that is not defined .* top of the module"):
        never()
    assert calls == []


def test_a_decorator_below_counts_with_what_it_closes_over(disk: DiskCache, caplog: pytest.LogCaptureFixture) -> None:
    def repeat(times: Any) -> Any:
        def decorate(function: Any) -> Any:
            @functools.wraps(function)
            def call(text: str) -> str:
                return function(text) * getattr(times, "number", times)

            return call

        return decorate

    def extract(text: str) -> str:
        return text

    def decorated(times: Any) -> Any:
        return instructor_cache(cache=disk)(repeat(times)(extract))

    assert [decorated(times)("a") for times in (1, 2, 2)] == ["a", "aa", "aa"]
    assert disk.stats().hits == 1
    assert caplog.text == ""
    assert decorated(types.SimpleNamespace(number=3))("a") == "aaa"
    assert "variable 'times' of an enclosing function or decorator is a types.SimpleNamespace" in caplog.text


def test_another_process_with_another_hash_seed_hits(tmp_path: Path) -> None:
    outputs = {
        subprocess.run(
            [sys.executable, CHILDREN / "decorated.py", tmp_path],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {"misses 1 hits 0\n", "misses 0 hits 1\n"}


SCRIPT = """
from instructor import DiskCache, instructor_cache
{constant}
@instructor_cache(cache=DiskCache("cache"))
def extract(text: str) -> str:
    {body}
print(extract("France"), extract.cache.stats().hits)
"""


def run_scripts(folder: Path, *scripts: str) -> list[str]:
    """Run scripts one after another in one folder, and return what each printed."""
    printed = []
    for number, script in enumerate(scripts):
        name, _, text = script.partition(":")
        (folder / name).write_text(text, encoding="utf-8")
        printed.append(
            subprocess.run(
                [sys.executable, name],
                cwd=folder,
                env={"PYTHONHASHSEED": str(number), "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout.strip()
        )
    return printed


def test_two_scripts_never_share_a_key(tmp_path: Path) -> None:
    capital = SCRIPT.format(constant="", body='return f"capital of {text}"')
    president = SCRIPT.format(constant="", body='return f"president of {text}"')
    one = SCRIPT.format(constant='PROMPT = "one"', body="return PROMPT")
    two = SCRIPT.format(constant='PROMPT = "two"', body="return PROMPT")
    scripts = (f"a.py:{capital}", f"b.py:{president}", f"a.py:{capital}", f"c.py:{one}", f"d.py:{two}")
    assert run_scripts(tmp_path, *scripts) == [
        "capital of France 0",
        "president of France 0",
        "capital of France 1",
        "one 0",
        "two 0",
    ]


def test_a_script_hits_until_the_function_itself_is_edited(tmp_path: Path) -> None:
    first = SCRIPT.format(constant="", body="return text")
    moved = SCRIPT.format(constant="# a comment\n\n", body="return  text  # the same")
    edited = SCRIPT.format(constant="", body="return text.upper()")
    scripts = [f"a.py:{text}" for text in (first, moved, edited)]
    assert run_scripts(tmp_path, *scripts) == ["France 0", "France 1", "FRANCE 0"]


class Opaque:
    pass


def make_codec(limit: int) -> FunctionCodec:
    """The codec of a function whose return type has no schema, and holds a function of its own."""

    def add(value: int) -> int:
        return value + limit

    answer = Annotated[
        Opaque, GetPydanticSchema(lambda kind, handler: core_schema.no_info_plain_validator_function(add))
    ]

    def extract(text: str) -> Opaque:
        raise AssertionError

    extract.__annotations__["return"] = answer
    return FunctionCodec(extract, shared=False)


def test_a_return_type_without_a_schema_is_known_by_its_code_and_not_by_addresses() -> None:
    codecs = [make_codec(1), make_codec(1), make_codec(2)]
    with pytest.raises(PydanticUserError):
        codecs[0].adapter.json_schema()
    one, same, other = (codec.key_of(("a",), {}) for codec in codecs)
    assert one is not None
    assert one == same != other


def test_a_result_of_none_that_the_type_does_not_allow_is_named(caplog: Any) -> None:
    @instructor_cache(cache=AutoCache())
    def find(text: str) -> User:
        return None

    assert find("a") is None
    assert "find is not cached: the function returned None, which its return type does not allow" in caplog.text
    assert "Return an answer, or write `-> ... | None`" in caplog.text

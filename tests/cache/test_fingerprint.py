"""A function is known by its name and code, and what it uses by its data: the same in every process."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import json
import math
import os
import subprocess
import sys
import threading
import types
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator

from instructor.cache import instructor_cache
from instructor.cache.canonical import CONTEXT, canonical_text
from instructor.cache.fingerprint import code_of, describe, describe_closure, name_of
from instructor.exceptions import NoCanonicalFormError


def test_no_form_is_made_for_a_value_without_classes_or_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most arguments are texts and numbers, and a form takes longer than all else that is done with one."""
    monkeypatch.delattr("instructor.cache.fingerprint._form")
    assert [describe(value, "it") for value in ("text", 1, True, None)] == ["text", 1, True, None]
    with pytest.raises(NameError):
        describe(["text"], "it")


def greet(name: str, *, loudly: bool = False) -> str:
    """Greet someone."""
    words = {"a", "b"} if name is None else [name, ..., 1.5, b"x", f"{name!r:>{10}}"]
    return f"hello {words}" * (2 if loudly else 1)  # a comment


def decorate(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


@decorate
def shout(name: str) -> str:
    return name.upper()


@dataclasses.dataclass
class Point:
    x: int = 0

    def double(self) -> int:
        return 2 * self.x


class Level(enum.IntEnum):
    LOW = 1


class Parent(BaseModel):
    child: Parent | None = None

    def itself(self) -> type[Parent]:
        return __class__


def test_the_code_of_a_module_has_one_digest_in_every_version_of_python() -> None:
    assert code_of(greet) == "f3ca567ff9f5559582e4c37f7351e2e63f31ed12e61d230fd0fd8c62cfe540a8"


def compile_function(source: str) -> types.FunctionType:
    """A function without source."""
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["extract"]


def test_code_without_source_is_known_by_its_bytecode() -> None:
    one = compile_function("def extract(x):\n    return x in {1, 2, (3, 'a')}")
    same = compile_function("\n\n# elsewhere\ndef extract(x):\n    return x in {1, 2, (3, 'a')}")
    assert code_of(one) == code_of(same)
    others = ["return x in {1, 2, (3, 'b')}", "return x not in {1, 2, (3, 'a')}", "return y in {1, 2, (3, 'a')}"]
    others += ["return [x for y in {1, 2, (3, 'a')}]", "return lambda: x in {1, 2, (3, 'a')}"]
    digests = {code_of(compile_function(f"def extract(x):\n    {body}")) for body in others}
    assert len(digests | {code_of(one)}) == len(others) + 1


def run_under_two_seeds(program: str) -> set[str]:
    """What a program prints in new processes that hash texts differently."""
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }


def test_the_bytecode_has_one_digest_whatever_the_hash_seed() -> None:
    program = (
        "from instructor.cache.fingerprint import code_of\n"
        "print(code_of(lambda x: x in {'a', 'b', 'c', 'd', 'e'} or (lambda: x in {'f', 'g', 'h', 'i'})))"
    )
    assert len(run_under_two_seeds(program)) == 1


def test_a_script_is_known_by_its_path_or_by_its_modules_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def extract() -> None: ...

    extract.__module__, extract.__qualname__ = "__main__", "extract"
    script = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert name_of(extract) == [None, "extract"], "a notebook"
    script.__file__ = "/scripts/a.py"
    assert name_of(extract) == ["script /scripts/a.py", "extract"]
    script.__spec__ = types.SimpleNamespace(name="package.a")
    assert name_of(extract) == ["script package.a", "extract"]
    assert name_of(greet) == [__name__, "greet"]


def make(value: Any, other: Any = None) -> Any:
    def use() -> Any:
        return value

    def nest() -> Any:
        return use(), other, nest

    return nest


def written(value: Any) -> str:
    return json.dumps(describe(value, "value"), sort_keys=True)


def test_functions_made_by_one_function_are_told_apart_at_any_depth() -> None:
    assert written(make(1)) == written(make(1))
    assert len({written(make(value)) for value in (1, True, 1.0, "1", None, greet, shout, Point, Level, json)}) == 10
    assert describe_closure(make(1, 2)).keys() == {"use", "other", "nest"}


def test_a_decorated_function_is_known_by_the_function_and_the_decorator() -> None:
    assert written(instructor_cache(greet)) == written(greet)
    assert written(decorate(greet)) != written(greet)
    assert written(decorate(greet)) == written(decorate(greet)) != written(decorate(shout))


def test_local_models_are_told_apart_by_schema_and_by_what_their_methods_close_over() -> None:
    def model(limit: int, kind: Any = int) -> type[BaseModel]:
        class Local(BaseModel):
            number: kind

            @field_validator("number")
            @classmethod
            def check(cls, number: Any) -> Any:
                return min(number, limit)

        return Local

    assert written(model(1)) == written(model(1))
    assert len({written(made) for made in (model(1), model(2), model(1, float))}) == 3


def test_a_class_that_refers_to_itself_has_a_description() -> None:
    assert written(Parent) == written(Parent)
    assert written(Parent) != written(Point)
    assert written([1]) == "[1]"


@pytest.mark.parametrize(
    "value", [make(object()), [make(object())], {"a": object()}, [].append], ids=["closure", "list", "dict", "bound"]
)
def test_what_has_no_form_is_named(value: Any) -> None:
    with pytest.raises(NoCanonicalFormError, match=r"^tool"):
        describe(value, "tool")


def test_functions_that_take_their_arguments_in_other_ways_are_told_apart() -> None:
    functions = [lambda a: a, lambda *a: a, lambda **a: a, lambda a, /: a, lambda *, a: a]
    assert len({json.dumps(describe(function, "value")) for function in functions}) == len(functions)


def class_with(factor: Any, base: type = object) -> type:
    class Local(base):
        size = factor
        lock = threading.Lock()

        def itself(self) -> type:
            return __class__

    return Local


def typed_dict(kind: Any) -> Any:
    return TypedDict("Shape", {"size": kind})


@pytest.mark.parametrize(
    "make_kind",
    [
        class_with,
        lambda number: class_with(class_with(number)),
        lambda number: class_with(0, class_with(number)),
        lambda number: class_with(0, dict if number == 2 else list),
        lambda number: enum.Enum("Labels", ["A", f"B{number}"]),
        lambda number: enum.Enum("Labels", {"A": number}),
        lambda number: dataclasses.make_dataclass("Made", [("x", int if number == 2 else str)]),
        lambda number: dataclasses.make_dataclass("Made", [f"x{number}"]),
        lambda number: typed_dict(int if number == 2 else str),
    ],
)
def test_classes_of_one_name_are_told_apart_by_what_they_hold(make_kind: Any) -> None:
    assert written(make_kind(2)) == written(make_kind(2)) != written(make_kind(3))


def validated(limit: Any) -> Any:
    return Annotated[int, AfterValidator(lambda value: value + limit)]


def local_dataclass(limit: Any) -> Any:
    @dataclasses.dataclass
    class Local:
        x: list[Any] = dataclasses.field(default_factory=lambda: [limit])

        @functools.cached_property
        def most(self) -> Any:
            return limit

    return functools.partial(Local, x=[])


def local_model(limit: Any) -> Any:
    class Local(BaseModel):
        x: list[Any] = Field(default_factory=lambda: [limit])

    return functools.partial(Local, x=[])


def local_adder(limit: Any) -> type:
    class Local(BaseModel):
        x: validated(limit) = 0

    return Local


def local_list(limit: Any) -> type:
    class Local(list[Any]):
        def most(self) -> Any:
            return limit

    return Local


def local_level(limit: Any) -> Any:
    class Local(enum.Enum):
        ONE = 1

        def most(self) -> Any:
            return limit

    return lambda: Local.ONE


def local_keyed(limit: Any) -> type:
    class Local:
        def __cache_key__(self) -> Any:
            return 1

        def most(self) -> Any:
            return limit

    return Local


LOCAL = [local_dataclass, local_model, local_adder, local_list, local_level, local_keyed]


@pytest.mark.parametrize("make_kind", LOCAL)
def test_instances_of_local_classes_are_told_apart_by_what_their_classes_close_over(make_kind: Any) -> None:
    assert written(make_kind(2)()) == written(make_kind(2)()) != written(make_kind(3)())
    assert written([make_kind(2)()]) == written([make_kind(2)()]) != written([make_kind(3)()])


@pytest.mark.parametrize("make_kind", LOCAL)
def test_an_instance_of_a_local_class_whose_code_has_no_form_has_none(make_kind: Any) -> None:
    with pytest.raises(NoCanonicalFormError, match="enclosing function"):
        written(make_kind(object())())


@pytest.mark.parametrize("make_kind", [local_dataclass, local_model])
def test_classes_are_told_apart_by_what_fills_their_fields(make_kind: Any) -> None:
    assert written(make_kind(2).func) == written(make_kind(2).func) != written(make_kind(3).func)


def test_functions_have_a_form_at_any_depth_and_in_every_wrapping() -> None:
    @functools.lru_cache
    def cached(x: int) -> int:
        return x

    values = [
        *([make(1)], [make(2)], {"a": make(1)}, (make(1),)),
        *(functools.partial(make(1), 1), functools.partial(make(1), 2), functools.partial(make(2), 1)),
        *(Point(1).double, Point(2).double, print, len, str.title, str.upper, math.sqrt, cached, Point(make(1))),
        *(collections.defaultdict(make(1)), collections.defaultdict(make(2)), collections.defaultdict(list)),
    ]
    assert len({written(value) for value in values}) == len(values)
    assert all(written(value) == written(value) for value in values)


def test_a_field_that_was_set_counts_though_it_has_its_default() -> None:
    """``model_dump(exclude_unset=True)`` shows it."""
    assert written(Parent()) != written(Parent(child=None))


def test_a_class_in_a_notebook_is_known_by_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def define(number: int) -> Any:
        source = f"class Cell(list):\n    def most(self):\n        return {number}"
        notebook = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", notebook)
        exec(source, vars(notebook))
        return notebook.Cell([1])

    assert written(define(1)) == written(define(1)) != written(define(2))


@pytest.mark.parametrize("describe_it", [written, functools.partial(canonical_text, path="context", form=CONTEXT)])
def test_two_notebooks_classes_of_one_name_are_two(monkeypatch: pytest.MonkeyPatch, describe_it: Any) -> None:
    def define(number: int) -> Any:
        source = (
            "@dataclasses.dataclass\nclass Cell:\n    text: str\n"
            f"    def __str__(self):\n        return self.text * {number}"
        )
        notebook = types.ModuleType("__main__")
        notebook.dataclasses = dataclasses
        monkeypatch.setitem(sys.modules, "__main__", notebook)
        exec(source, vars(notebook))
        return notebook.Cell("a")

    assert describe_it(define(1)) == describe_it(define(1)) != describe_it(define(2))


def test_a_class_has_one_description_whatever_the_hash_seed() -> None:
    program = (
        "import abc, dataclasses, enum, json, typing, pydantic\n"
        "from instructor.cache.fingerprint import describe\n"
        "class Labels(enum.StrEnum):\n    A = 'a'\n    B = 'b'\n"
        "class Base(abc.ABC):\n    names = {'a', 'b', 'c', 'd'}\n    other = object()\n"
        "@dataclasses.dataclass(slots=True)\n"
        "class Point(Base):\n    x: 'int' = 0\n    y: typing.Annotated[int, Base.other] = 1\n"
        "class Shape(typing.TypedDict):\n    a: int\n    b: int\n    c: int\n    d: int\n"
        "class User(pydantic.BaseModel):\n    name: str = 'a'\n    _seen: int = 0\n"
        "print(json.dumps([describe(kind, '') for kind in (Labels, Point, Shape, User)], sort_keys=True))"
    )
    assert len(run_under_two_seeds(program)) == 1

"""Every example in a docstring runs, and prints what it says."""

from __future__ import annotations

import doctest
import enum
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from settings import clear_environment

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NOT_HERE = {"BatchJob", "BatchProcessor", "BatchRequest", "from_anyscale", "from_gemini", "from_vertexai"}
"""Names of 1.x that only say what to use instead."""
MOST_SKIPPED = 0
"""Examples that are skipped because they need a server. Every one runs today; raise this for a good reason only."""


class User(BaseModel):
    name: str
    age: int


def examples() -> Iterator[doctest.DocTest]:
    """The examples of every docstring of the package."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in pkgutil.walk_packages(instructor.__path__, "instructor."):
        if module.name not in {"instructor.__main__", "instructor.v2"}:  # one is a program, the other refuses
            yield from (test for test in finder.find(importlib.import_module(module.name)) if test.examples)
    yield from (test for test in finder.find(instructor) if test.examples)


EXAMPLES = sorted(examples(), key=lambda test: test.name)


def namespace(example: doctest.DocTest) -> dict[str, Any]:
    """What an example may use without importing or defining it: its own module, as in any doctest, and these."""
    return example.globs | {
        "instructor": instructor,
        "User": User,
        "client": instructor.from_provider("offline/demo"),
        "messages": [{"role": "user", "content": "Anna is 25."}],
        "__name__": "__main__",
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
def test_an_example_prints_what_it_says(example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clear_environment(monkeypatch, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    example.globs = namespace(example)
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(example, out=report.append)
    assert not report, "".join(report)


def test_no_example_is_skipped():
    skipped = [test.name for test in EXAMPLES for one in test.examples if one.options.get(doctest.SKIP)]
    assert len(skipped) <= MOST_SKIPPED, skipped


def test_there_are_examples():
    assert len(EXAMPLES) > 50


def users_call(value: object) -> bool:
    """Whether users call a function or make an instance of a class: they only receive errors and records."""
    if isinstance(value, type):
        return not issubclass(value, BaseException | enum.Enum | tuple)
    return callable(value)


@pytest.mark.parametrize("face", ["", ".cache", ".testing", ".factory", ".hooks"])
def test_what_users_call_has_an_example(face: str):
    module = importlib.import_module(f"instructor{face}")
    called = {name: value for name, value in vars_of(module) if users_call(value) and name not in NOT_HERE}
    assert not [name for name, value in called.items() if "Example:" not in (value.__doc__ or "")]


def vars_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What users import from a module, and what is of this package."""
    for name in module.__all__:
        value = getattr(module, name)
        if getattr(value, "__module__", "").startswith("instructor"):
            yield name, value

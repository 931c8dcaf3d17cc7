"""A response model is found wherever it is, and each thing that can be wrong with its name is told."""

from __future__ import annotations

import importlib
import numbers
import sys
from pathlib import Path
from typing import Literal

import pytest

from cli.conftest import MODELS
from instructor.cli.models import load_response_model
from instructor.exceptions import ConfigurationError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "loaded_shapes.py").write_text(MODELS)
    (tmp_path / "broken_shapes.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "failing_shapes.py").write_text("x = 1\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    for name in ("loaded_shapes", "broken_shapes", "failing_shapes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("where", ["loaded_shapes", "loaded_shapes.py", "./loaded_shapes.py"])
def test_a_module_in_the_current_directory_and_a_file_are_imported(where: str):
    assert load_response_model(f"{where}:User")(name="a", age=1).age == 1
    assert load_response_model(f"{where}:Outer.Inner").__name__ == "Inner"
    assert load_response_model(f"{where}:Users").__args__[0].__name__ == "User"


def test_a_type_is_written_as_its_module_could_write_it():
    user = load_response_model("loaded_shapes:User")
    inner = load_response_model("loaded_shapes:Outer.Inner")
    assert load_response_model("loaded_shapes:list[User]") == list[user]
    assert load_response_model("loaded_shapes:User | Outer.Inner") == user | inner
    assert load_response_model('loaded_shapes:Literal["a", "b"]') == Literal["a", "b"]
    assert load_response_model('loaded_shapes.py:Literal["a:b", -1]') == Literal["a:b", -1]
    assert load_response_model("loaded_shapes:int") is int
    assert load_response_model("instructor:Image").__name__ == "Image", "which that package imports on first use"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("User", "does not name a class"),
        (":User", "does not name a class"),
        ("loaded_shapes:", "does not name a class"),
        ("no_such_module:User", "no module 'no_such_module'"),
        ("loaded_shapes.deeper:User", "no module 'loaded_shapes.deeper'"),
        ("missing.py:User", "no file missing.py"),
        ("loaded_shapes:Usr", "Did you mean User"),
        ("loaded_shapes:Zebra", "It has Outer, User"),
        ("broken_shapes:User", "broken_shapes cannot be imported: .*nothing_of_that_name.*line 1"),
        ("failing_shapes.py:User", "ZeroDivisionError.*line 2"),
        ("os:path", "os:path is a module, not a response model"),
        ("os:getcwd", "not a response model"),
        ("os:getcwd()", r"'os:getcwd\(\)' does not name a class"),
        ("loaded_shapes:list[Usr]", "Did you mean User"),
        ("loaded_shapes:Outer.Iner", "Did you mean Inner"),
        ("loaded_shapes:list[User", "is not a type: '\\[' was never closed"),
        ('os:environ["NO_SUCH_VARIABLE"]', "is not a type: 'NO_SUCH_VARIABLE'"),
        ("loaded_shapes:User[int]", "is not a type: .* cannot be parametrized"),
    ],
)
def test_an_error_says_what_is_wrong_with_a_name(name: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        load_response_model(name)


def test_a_file_named_like_a_module_of_python_takes_its_place_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "numbers.py").write_text(
        "from pydantic import BaseModel\nclass Sum(BaseModel):\n    parts: list['Sum'] = []\n"
    )
    model = load_response_model(f"{tmp_path / 'numbers.py'}:Sum")
    assert model.model_validate({"parts": [{}]}).parts == [model()]
    monkeypatch.delitem(sys.modules, "numbers")
    assert importlib.import_module("numbers").__file__ == numbers.__file__

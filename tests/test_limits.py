"""Numbers that may only fall: how long, how untyped and how wordy the package is, and what a new keyword costs."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "instructor"

BOUNDARY = {"wires", "providers", "offline", "prompt_caching", "testing"}
"""Rooms that handle what SDKs return and take, whose honest type is `Any`."""
MOST_ANY = 18.5
"""`Any` in 1,000 lines outside the boundary. It may only fall."""
MOST_PLACES = 5
"""Files outside the engine that name one keyword of a call. It may only fall."""
MOST_ARGUMENT_LISTS = 10
"""Docstrings that list arguments, results or errors of what isn't exported. It may only fall."""
MOST_PRONOUNS = 0
"""How often the package says "said", "told" or "given" instead of naming the thing. It may only fall."""

LINES_OF_CODE = {
    "": 4200,
    "batches": 1000,
    "cache": 9300,
    "cli": 3000,
    "core": 50,
    "dsl": 275,
    "engine": 4700,
    "engines": 300,
    "function": 500,
    "jobs": 2000,
    "limits": 1000,
    "media": 800,
    "observe": 300,
    "offline": 700,
    "processing": 125,
    "prompt_caching": 800,
    "providers": 4300,
    "streaming": 700,
    "testing": 800,
    "wires": 4100,
}
"""Lines of code in each room, rounded up to at most the next hundred: without docstrings, comments and blank lines; "" for the files
in no room. A number may only fall. Where a feature needs more, raise it in the commit that adds the feature."""

FACES = ("", ".cache", ".observe", ".testing", ".exceptions", ".hooks", ".factory")
"""Modules whose ``__all__`` is what users import."""
EXTENDED = {
    "wires.wire",
    "wires.spec",
    "wires.capabilities",
    "providers.adapter",
    "providers.function_adapter",
    "usage",
}
"""Modules that users import to write a wire or an adapter of their own."""


def files_outside_boundary() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in BOUNDARY:
            yield path


@functools.cache
def code_of(path: Path) -> str:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return ast.unparse(tree)


def count_code(path: Path) -> int:
    text = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = (line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in prose)
    return sum(1 for line in lines if line and not line.startswith("#"))


def test_a_room_grows_by_features_only():
    lines: dict[str, int] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parent.parts[:1]
        lines["".join(room)] = lines.get("".join(room), 0) + count_code(path)
    assert {room: count for room, count in lines.items() if count > LINES_OF_CODE.get(room, 0)} == {}
    slack = {room: most for room, most in LINES_OF_CODE.items() if most - lines.get(room, 0) >= 100}
    assert slack == {}, "these rooms have shrunk: lower their numbers"


def test_any_grows_rarer():
    uses, lines = 0, 0
    for path in files_outside_boundary():
        text = path.read_text(encoding="utf-8")
        lines += len(text.splitlines())
        code = re.sub(r"^from typing import .*$", "", code_of(path), flags=re.MULTILINE)
        uses += len(re.findall(r"\bAny\b", code))
    assert 1000 * uses / lines <= MOST_ANY


def test_a_keyword_of_a_call_is_named_in_few_places():
    """`token_budget` stands for any: each file that names it in its code is a place that a new keyword would need.

    The engine isn't counted, because what it says of a keyword is what the keyword means.
    """
    places = [
        path.relative_to(PACKAGE).as_posix()
        for path in files_outside_boundary()
        if path.parent.name != "engine" and re.search(r"\btoken_budget\b", code_of(path))
    ]
    assert len(places) <= MOST_PLACES, places


@functools.cache
def exported() -> set[tuple[str, str]]:
    """Module and name of all that users import, and of the classes that it inherits from."""
    values = [
        getattr(face, name)
        for module in FACES
        for face in [importlib.import_module(f"instructor{module}")]
        for name in getattr(face, "__all__", ())
    ]
    named = [one for value in values for one in getattr(value, "__mro__", [value]) if hasattr(one, "__qualname__")]
    return {(one.__module__, one.__qualname__) for one in named}


def argument_lists(path: Path) -> Iterator[str]:
    """The functions and classes of a file that aren't exported, and whose docstrings list arguments all the same."""
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    if module in EXTENDED:
        return
    for outer in ast.parse(path.read_text(encoding="utf-8")).body:
        if (f"instructor.{module}", getattr(outer, "name", "")) in exported():
            continue
        for node in ast.walk(outer):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if re.search(r"^(Args|Returns|Raises):$", text, re.MULTILINE):
                    yield f"{module}.{node.name}"


def test_what_is_not_exported_lists_no_arguments():
    """Its readers see the code: a line or two say what it is for, and why. Where it is hard, a list may stand."""
    found = [name for path in sorted(PACKAGE.rglob("*.py")) for name in argument_lists(path)]
    assert len(found) <= MOST_ARGUMENT_LISTS, found


def test_texts_name_the_thing():
    found = [
        f"{path.name}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"(?i)\b(said|told|given)\b", line)
    ]
    assert len(found) <= MOST_PRONOUNS, found

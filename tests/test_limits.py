"""Two numbers that may only fall: how much of the package is untyped, and what a new keyword of a call costs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "instructor"

BOUNDARY = {"wires", "providers", "offline", "testing"}
"""Rooms that handle what SDKs return and take, whose honest type is `Any`."""
MOST_ANY = 20.0
"""`Any` in 1,000 lines outside the boundary. It may only fall."""
MOST_PLACES = 6
"""Files outside the engine that name one keyword of a call. It may only fall."""


def files_outside_boundary() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in BOUNDARY:
            yield path


def code_of(path: Path) -> ast.Module:
    """A file without its docstrings and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return tree


def test_any_grows_rarer():
    uses, lines = 0, 0
    for path in files_outside_boundary():
        text = path.read_text(encoding="utf-8")
        lines += len(text.splitlines())
        code = re.sub(r"^from typing import .*$", "", ast.unparse(code_of(path)), flags=re.MULTILINE)
        uses += len(re.findall(r"\bAny\b", code))
    assert 1000 * uses / lines <= MOST_ANY


def test_a_keyword_of_a_call_is_named_in_few_places():
    """`token_budget` stands for any: each file that names it in its code is a place that a new keyword would need.

    The engine isn't counted, because what it says of a keyword is what the keyword means.
    """
    places = [
        path.relative_to(PACKAGE).as_posix()
        for path in files_outside_boundary()
        if path.parent.name != "engine" and re.search(r"\btoken_budget\b", ast.unparse(code_of(path)))
    ]
    assert len(places) <= MOST_PLACES, places

"""Every finding of the reviews names what holds it today, and all of that exists.

It is a test, a row of the benchmark, or, where something is as it is on purpose, the words of a page that say so.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from finding_list import FINDINGS

ROOT = Path(__file__).resolve().parents[1]
LISTS = {"finding_list": "FINDINGS", "user_finding_list": "USER_FINDINGS"}
"""Modules, of which the second may not be there, and the name of the table in each."""
ROWS = "benchmarks/cases.py"


def all_findings() -> dict[str, tuple[str, tuple[str, ...]]]:
    tables = [
        getattr(importlib.import_module(module), table)
        for module, table in LISTS.items()
        if importlib.util.find_spec(module) is not None
    ]
    assert sum(map(len, tables)) == len(set().union(*tables)), "one number stands for one finding"
    return {number: row for table in tables for number, row in table.items()}


ALL = all_findings()


def is_without_gaps(numbers: Iterator[int]) -> bool:
    found = set(numbers)
    return found == set(range(1, max(found) + 1))


@functools.cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file, as pytest names them, or the rows of the benchmark; they are not run."""
    if file == ROWS:
        return frozenset(row.name for row in runpy.run_path(str(ROOT / ROWS), run_name="cases")["CASES"])
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(find_tests(tree.body))


def words_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def find_tests(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from find_tests(node.body, f"{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name


def test_no_number_is_missing() -> None:
    parts = [re.fullmatch(r"([A-Z])(\d+)([a-z]?)", number) for number in ALL]
    groups: dict[str, list[tuple[int, str]]] = {}
    for part in parts:
        assert part is not None
        groups.setdefault(part[1], []).append((int(part[2]), part[3]))
    assert groups.keys() >= {*"TFSDPVAL"}
    for group in groups.values():
        assert is_without_gaps(number for number, _ in group)
        for whole in {number for number, letter in group if letter}:
            letters = [letter for number, letter in group if number == whole]
            assert all(letters), "a finding in several parts has no row of its own"
            assert is_without_gaps(ord(letter) - ord("a") + 1 for letter in letters)


def test_the_groups_are_as_long_as_they_were() -> None:
    groups = Counter(number[0] for number in {re.sub(r"[a-z]", "", number) for number in FINDINGS})
    assert groups == {"T": 7, "F": 7, "S": 11, "D": 6, "P": 10, "V": 7, "A": 10, "L": 2}


@pytest.mark.parametrize("number", ALL)
def test_what_holds_a_finding_exists(number: str) -> None:
    what, holders = ALL[number]
    assert what
    assert holders
    for holder in holders:
        file, _, name = holder.partition("::")
        assert (ROOT / file).is_file(), holder
        assert name, holder
        assert name in (words_of(file) if file.endswith(".md") else names_in(file)), holder

"""Every incident is held against this cache, or has a reason why it can't be."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from incident_list import INCIDENTS, NOT_OURS

HERE = Path(__file__).parent


def tried() -> set[str]:
    """The numbers on the marks of all tests here."""
    numbers: set[str] = set()
    for path in HERE.glob("test_*.py"):
        spec = importlib.util.spec_from_file_location(f"incidents_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            marks = getattr(value, "pytestmark", [])
            numbers.update(number for mark in marks if mark.name == "incident" for number in mark.args)
    return numbers


def test_every_incident_is_tried_or_has_a_reason() -> None:
    assert tried() | set(NOT_OURS) == set(INCIDENTS)
    assert not tried() & set(NOT_OURS)


def test_the_readme_says_how_many() -> None:
    readme = (HERE.parent.parent / "README.md").read_text(encoding="utf-8")
    counted = re.search(r"(\d+) of (\d+) incidents", readme)
    assert counted is not None
    assert [int(number) for number in counted.groups()] == [len(INCIDENTS) - len(NOT_OURS), len(INCIDENTS)]

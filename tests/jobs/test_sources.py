"""The rows of lists, generators and data frames."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from instructor.exceptions import ArgumentError
from instructor.jobs.sources import count_rows, read_rows

COLUMNS = {"id": [7, 8], "text": ["Anna is 25.", None]}
DICTS = [{"id": 7, "text": "Anna is 25."}, {"id": 8, "text": None}]


class Stream:
    """What a library hands over that we know nothing of, but that it speaks Arrow."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return load("pyarrow").table(COLUMNS).__arrow_c_stream__(requested_schema)


def load(name: str) -> Any:
    """Import a package when it is needed: it takes a while."""
    return importlib.import_module(name)


FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: load("pandas").DataFrame(COLUMNS),
    "polars": lambda: load("polars").DataFrame(COLUMNS),
    "pyarrow": lambda: load("pyarrow").table(COLUMNS),
    "arrow": Stream,
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_the_rows_of_a_data_frame_are_dicts_of_plain_values(make: Callable[[], Any]):
    rows: Any = read_rows(make(), asynchronous=False)
    read = list(rows)
    assert read == DICTS
    assert {type(row["id"]) for row in read} == {int}


COLUMN = [1.5, None]
SERIES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: load("pandas").Series(COLUMN),
    "pandas with its own word": lambda: load("pandas").Series(COLUMN, dtype="Float64"),
    "polars": lambda: load("polars").Series(COLUMN),
    "pyarrow": lambda: load("pyarrow").chunked_array([COLUMN]),
}


@pytest.mark.parametrize("make", SERIES.values(), ids=SERIES)
def test_a_column_of_a_data_frame_has_a_row_for_each_value(make: Callable[[], Any]):
    rows: Any = read_rows(make(), asynchronous=False)
    assert list(rows) == COLUMN


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Anna", "rows is a str. .* For a single row pass a list of it"),
        ({"text": "Anna"}, "rows is a dict. .* For a single row pass a list of it"),
        (int, "rows is the class int. .* the response model after it"),
        (5, "rows is 5. Pass an iterable of rows"),
    ],
    ids=["text", "dict", "class", "number"],
)
def test_what_is_more_likely_a_mistake_is_refused(source: Any, message: str):
    with pytest.raises(ArgumentError, match=message):
        read_rows(source, asynchronous=False)


def test_rows_are_counted_where_their_number_is_known():
    assert count_rows(FRAMES["pyarrow"]()) == 2
    assert count_rows(["a"]) == 1
    assert count_rows(iter("a")) is None


def test_arrows_data_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    rows: Any = read_rows(Stream(), asynchronous=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ArgumentError, match="pip install pyarrow"):
        next(rows)


def test_an_asynchronous_source_is_for_the_asynchronous_client():
    async def source() -> Any:
        yield "a"

    rows: Any = source()
    assert read_rows(rows, asynchronous=True) is rows
    with pytest.raises(ArgumentError, match=r"AsyncInstructor\.map takes"):
        read_rows(rows, asynchronous=False)

"""The rows of whatever a job is about: any iterable, or a data frame."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, Protocol, cast, overload

from instructor.describing import refuse
from instructor.exceptions import ArgumentError
from instructor.messages import Value


class ArrowStream(Protocol):
    """What the data frames of pandas, polars, pyarrow, DuckDB and others have in common."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the data over."""
        ...


Source = Iterable[Value] | AsyncIterable[Value] | ArrowStream

_ROWS = "an iterable of rows, such as a list, or a data frame"
_MISSING = frozenset({"NAType", "NaTType"})


@overload
def read_rows(source: Source, *, asynchronous: Literal[False]) -> Iterator[Value]: ...
@overload
def read_rows(source: Source, *, asynchronous: bool) -> Iterator[Value] | AsyncIterable[Value]: ...
def read_rows(source: Source, *, asynchronous: bool) -> Iterator[Value] | AsyncIterable[Value]:
    """Return an iterator over the rows. Those of a data frame are dicts of Python's own values, made one by one.

    Raises ArgumentError for what has no rows, or is more likely a mistake: a dict, a text, bytes, a class.
    """
    if isinstance(source, (str, bytes, bytearray, Mapping)):
        raise refuse("rows", cast("object", source), f"{_ROWS}. For a single row pass a list of it")
    if isinstance(source, type):
        raise refuse("rows", source, f"{_ROWS}, and the response model after it")
    for marks, read in _READERS:
        if all(hasattr(source, name) for name in marks):
            return read(source)
    if isinstance(source, Iterable):
        return iter(source)
    if isinstance(source, AsyncIterable):
        if asynchronous:
            return source
        raise ArgumentError(
            "rows= is an asynchronous iterable, which AsyncInstructor.map takes. Pass a plain one here."
        )
    raise refuse("rows", source, _ROWS)


def is_missing(value: object) -> bool:
    """Whether a value says that there is none: None, NaN, or pandas' own word for it."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in _MISSING


def count_rows(source: Source) -> int | None:
    """How many rows there are; None where that isn't known beforehand."""
    try:
        return len(cast("list[Value]", source))
    except TypeError:
        return None


def _read_polars(frame: Value) -> Iterator[Value]:
    rows: Iterator[Value] = frame.iter_rows(named=True)
    return rows


def _read_pandas(frame: Value) -> Iterator[Value]:
    names = [str(name) for name in frame.columns]
    rows = frame.itertuples(index=False, name=None)
    return (dict(zip(names, _read_column(values), strict=True)) for values in rows)


def _read_column(values: Iterable[Value]) -> Iterator[Value]:
    """The values of a column, or of a row: None where pandas has a value that says that there is none."""
    return (None if is_missing(value) else value for value in values)


def _read_array(array: Value) -> Iterator[Value]:
    return iter(array.to_pylist())


def _read_batches(table: Value) -> Iterator[Value]:
    """A table of pyarrow, some hundred rows at a time."""
    for batch in table.to_batches(max_chunksize=512):
        yield from batch.to_pylist()


def _read_arrow(frame: Value) -> Iterator[Value]:
    """Anything else that hands over Arrow's data."""
    try:
        pyarrow: Value = import_module("pyarrow")
    except ImportError:
        raise ArgumentError(
            f"The rows of a {type(frame).__name__} are read through pyarrow, which isn't installed. "
            "Run `pip install pyarrow`, or pass its rows as dicts."
        ) from None
    for batch in pyarrow.RecordBatchReader.from_stream(frame):
        yield from batch.to_pylist()


_READERS: tuple[tuple[tuple[str, ...], Callable[[Any], Iterator[Value]]], ...] = (
    (("iter_rows", "__arrow_c_stream__"), _read_polars),
    (("itertuples", "columns"), _read_pandas),
    (("to_batches", "schema"), _read_batches),
    (("to_pylist",), _read_array),
    (("to_list", "dtype"), _read_column),
    (("__arrow_c_stream__",), _read_arrow),
)
"""What a data frame of each kind has, or one column of it, and how its rows are read. Looked through in this order."""

"""Parquet and Arrow files: their rows as records, and rows of answers written to them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import pydantic_core

from instructor.cli.columns import Column, Row, Schema
from instructor.exceptions import ConfigurationError

Arrow: TypeAlias = Any
"""An object of pyarrow, which has no types."""
_READ_AT_ONCE = 1024
_WRITTEN_AT_ONCE = 8192
"""Rows of a row group."""
_METADATA: Final = {b"instructor": b"extract"}
"""What says that this command has written a file."""


def load_pyarrow() -> Arrow:
    """Import pyarrow with the parts that read and write files."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise ConfigurationError(
            "Parquet and Arrow files need the package pyarrow. Run: pip install 'instructor[arrow]'"
        ) from error


def read_rows(path: Path, form: str) -> Iterator[Row]:
    """Read the rows of a file one by one; a file of any size takes the memory of one row group."""
    with _open_table(path, form) as file:
        for batch in _BATCHES[form](load_pyarrow(), file):
            yield from batch.to_pylist()


def count_rows(path: Path, form: str) -> int:
    """Count the rows of a file; without reading them where the file itself says how many it has."""
    pa = load_pyarrow()
    with _open_table(path, form) as file:
        if form == "parquet":
            return int(pa.parquet.read_metadata(file).num_rows)
        return sum(batch.num_rows for batch in _BATCHES[form](pa, file))


@contextmanager
def _open_table(path: Path, form: str) -> Generator[Arrow]:
    pa = load_pyarrow()
    try:
        with pa.OSFile(str(path)) as file:
            yield file
    except pa.ArrowInvalid as error:
        reason = _shorten(error)
        message = f"The input {path} cannot be read as {form.capitalize()}: {reason}. Check --format."
        raise ConfigurationError(message) from error


def _read_parquet(pa: Arrow, file: Arrow) -> Iterator[Arrow]:
    yield from pa.parquet.ParquetFile(file).iter_batches(_READ_AT_ONCE)


def _read_arrow(pa: Arrow, file: Arrow) -> Iterator[Arrow]:
    """Read a file of Arrow's IPC format, or else a stream of it."""
    try:
        reader = pa.ipc.open_file(file)
    except pa.ArrowInvalid:
        file.seek(0)
        yield from pa.ipc.open_stream(file)
        return
    for number in range(reader.num_record_batches):
        yield from (reader.get_batch(number).slice(start, _READ_AT_ONCE) for start in _starts(reader, number))


def _starts(reader: Arrow, number: int) -> range:
    return range(0, reader.get_batch(number).num_rows, _READ_AT_ONCE)


_BATCHES: Final[Mapping[str, Callable[[Arrow, Arrow], Iterator[Arrow]]]] = {
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}


def is_own(path: Path, form: str) -> bool:
    """Whether a file was written by this command."""
    pa = load_pyarrow()
    try:
        with pa.OSFile(str(path)) as file:
            schema = pa.parquet.read_schema(file) if form == "parquet" else pa.ipc.open_file(file).schema
    except pa.ArrowInvalid:
        return False
    return bool(_METADATA.items() <= (schema.metadata or {}).items())


class TableFile:
    """Writes rows to a Parquet or an Arrow file, a group at a time. The file can be read once `close` was called."""

    def __init__(self, stream: BinaryIO, columns: tuple[Column, ...], form: str) -> None:
        self._pa = pa = load_pyarrow()
        types = [(column.name, find_type(pa, column)) for column in columns]
        self._schema = pa.schema([(name, kind or pa.string()) for name, kind in types], metadata=_METADATA)
        self._written_as_text = frozenset(name for name, kind in types if kind is None)
        self._row_type = pa.struct(list(self._schema))
        self._rows: list[Row] = []
        make = pa.parquet.ParquetWriter if form == "parquet" else pa.ipc.new_file
        self._writer: Arrow = make(stream, self._schema)

    def write(self, row: Row) -> None:
        """Write a row; raise ValueError if a value doesn't fit its column."""
        for name in self._written_as_text & row.keys():
            if row[name] is not None:
                row[name] = pydantic_core.to_json(row[name]).decode()
        try:
            self._pa.scalar(row, self._row_type)
        except (self._pa.ArrowException, OverflowError, TypeError) as error:
            raise ValueError(_shorten(error)) from error
        self._rows.append(row)
        if len(self._rows) >= _WRITTEN_AT_ONCE:
            self._write_group()

    def flush(self) -> None:
        """Do nothing: a group of rows is written as a whole."""

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._rows:
            self._writer.write_batch(self._pa.RecordBatch.from_pylist(self._rows, self._schema))
            self._rows = []


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


_PLAIN: Final = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool_"}
"""Types of JSON schema, and the functions of pyarrow that make theirs."""


def find_type(pa: Arrow, column: Column) -> Arrow:
    """Find the type of a column by its JSON schema; None where Arrow has none for it, such as for a union."""
    return _find_type(pa, column.schema, column.definitions, ())


def _find_type(pa: Arrow, schema: Schema, definitions: Schema, above: tuple[str, ...]) -> Arrow:
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.rpartition("/")[2]
        return None if name in above else _find_type(pa, definitions[name], definitions, (*above, name))
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return _find_type(pa, options[0], definitions, above)
    kind = schema.get("type")
    if kind in _PLAIN:
        return getattr(pa, _PLAIN[kind])()
    if kind == "array" and "items" in schema:
        item = _find_type(pa, schema["items"], definitions, above)
        return None if item is None else pa.list_(item)
    if kind == "object" and schema.get("properties") and not schema.get("additionalProperties"):
        found = {name: _find_type(pa, part, definitions, above) for name, part in schema["properties"].items()}
        return None if None in found.values() else pa.struct(list(found.items()))
    return None

"""The forms that an output may have. The ending of its name chooses one."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import orjson
import pydantic_core

from instructor.cli.arrow_files import TableFile, is_own
from instructor.cli.columns import ANSWER, Column, Columns, Row
from instructor.cli.run_stats import Outcome
from instructor.exceptions import ConfigurationError


class Writer(Protocol):
    """Writes the outcomes of a run to a stream."""

    def write(self, outcome: Outcome) -> None:
        """Write the outcome of one record."""

    def close(self) -> None:
        """Write what ends the file. The stream stays open."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of an output.

    Attributes:
        name: How the form is called in messages.
        suffixes: The endings of names that choose it.
        beginning: How its files begin.
        make_writer: Makes what writes them.
        is_own: Whether a file was written by this command, by its path and its first line.
    """

    name: str
    suffixes: tuple[str, ...]
    beginning: bytes
    make_writer: Callable[[BinaryIO, Columns], Writer]
    is_own: Callable[[Path, bytes], bool]


class _Lines:
    """Writes JSON lines."""

    def __init__(self, stream: BinaryIO, _: Columns) -> None:
        self._stream = stream

    def write(self, outcome: Outcome) -> None:
        """Write the line of one record."""
        self._stream.write(write_line(outcome))

    def close(self) -> None:
        """Do nothing: nothing ends a file of lines."""


def write_line(outcome: Outcome) -> bytes:
    """Write ``{"line": 2, "answer": ..., "cached": true}``, or ``{"line": 2, "error": "..."}``.

    With several inputs ``"file"`` comes after ``"line"``.
    """
    file = b'"file":%s,' % orjson.dumps(outcome.file) if outcome.file else b""
    if outcome.error:
        return b'{"line":%d,%s"error":%s}\n' % (outcome.line, file, orjson.dumps(outcome.error))
    # The answer is JSON already. It is not parsed again, because its numbers may be longer than orjson's.
    cached = b"true" if outcome.cached else b"false"
    return b'{"line":%d,%s"answer":%s,"cached":%s}\n' % (outcome.line, file, outcome.text.encode(), cached)


class _RowWriter(Protocol):
    """What writes rows."""

    def write(self, row: Row) -> None:
        """Write one row; raise ValueError if a value doesn't fit its column."""

    def close(self) -> None:
        """Write what ends the file."""


class _Table:
    """Writes rows, by `rows`, of what is in an outcome."""

    def __init__(self, rows: _RowWriter, columns: Columns) -> None:
        self._rows = rows
        self._columns = columns

    def write(self, outcome: Outcome) -> None:
        """Write the row of one record. An answer that doesn't fit the columns becomes an error of its record."""
        if not outcome.error:
            answer = pydantic_core.from_json(outcome.text)
            try:
                self._rows.write(self._columns.make_row(outcome.line, outcome.file, answer, cached=outcome.cached))
            except ValueError as error:
                outcome.error = f"the answer doesn't fit the columns of the output: {error}. Write a .jsonl file."
            else:
                return
        self._rows.write(self._columns.make_failed_row(outcome.line, outcome.file, outcome.error))

    def close(self) -> None:
        """Write what ends the file."""
        self._rows.close()


class _Cells:
    """Writes rows of cells."""

    def __init__(self, stream: BinaryIO, columns: Iterable[Column], delimiter: str) -> None:
        self._stream = stream
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text, delimiter=delimiter)
        self._write([column.name for column in columns])

    def write(self, row: Row) -> None:
        """Write one row; nested values are written as JSON."""
        self._write([_write_cell(value) for value in row.values()])

    def _write(self, cells: list[str]) -> None:
        self._csv.writerow(cells)
        self._stream.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def close(self) -> None:
        """Do nothing: nothing ends a file of cells."""


def _write_cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else pydantic_core.to_json(value).decode()


def _make_cells(delimiter: str) -> Callable[[BinaryIO, Columns], Writer]:
    return lambda stream, columns: _Table(_Cells(stream, columns.all, delimiter), columns)


def _make_table(form: str) -> Callable[[BinaryIO, Columns], Writer]:
    return lambda stream, columns: _Table(TableFile(stream, columns.all, form), columns)


def _has_own_header(delimiter: str) -> Callable[[Path, bytes], bool]:
    end = f"{delimiter}cached{delimiter}error\r\n".encode()
    return lambda _, first: first.endswith(end)


LINES: Final = Form("JSON lines", (".jsonl", ".ndjson"), b'{"line":', _Lines, lambda _, __: True)
FORMS: Final = (
    LINES,
    Form("CSV", (".csv",), b"line,", _make_cells(","), _has_own_header(",")),
    Form("TSV", (".tsv",), b"line\t", _make_cells("\t"), _has_own_header("\t")),
    Form("Parquet", (".parquet", ".pq"), b"PAR1", _make_table("parquet"), lambda path, _: is_own(path, "parquet")),
    Form(
        "Arrow", (".arrow", ".feather", ".ipc"), b"ARROW1", _make_table("arrow"), lambda path, _: is_own(path, "arrow")
    ),
)
_BY_SUFFIX: Final = {suffix: form for form in FORMS for suffix in form.suffixes}


def find_form(name: str) -> Form:
    """Find the form of an output by the ending of its name; JSON lines if it has none.

    Raises ConfigurationError for another ending.
    """
    if name.endswith(("/", os.sep)):
        raise ConfigurationError(f"--out {name} is a directory. Name a file in it, such as {name}answers.jsonl.")
    suffix = Path(name).suffix.lower()
    if not suffix or name == "-" or (Path(name).exists() and not Path(name).is_file()):  # a pipe or a device
        return LINES
    if suffix not in _BY_SUFFIX:
        raise ConfigurationError(
            f"--out {name}: no form of output has the ending {suffix}. Write one of {', '.join(_BY_SUFFIX)}, "
            f"such as {Path(name).with_suffix('.jsonl')}."
        )
    return _BY_SUFFIX[suffix]


def is_output(path: Path, forms: Iterable[Form] = FORMS) -> bool:
    """Whether a file was written by this command, in one of the forms."""
    with path.open("rb") as file:
        first = file.readline(_LONGEST_HEADER)
    return any(first.startswith(form.beginning) and form.is_own(path, first) for form in forms)


_LONGEST_HEADER = 1 << 16

NO_COLUMNS: Final = Columns({}, Column(ANSWER, {}), has_file=False)

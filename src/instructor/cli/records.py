"""The records of an input file: CSV, JSON lines, plain text, Parquet or Arrow."""

from __future__ import annotations

import csv
import io
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast, get_args

import orjson

from instructor.exceptions import ConfigurationError

Format = Literal["csv", "jsonl", "text", "parquet", "arrow"]
Data = dict[str, object] | str

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_BEGINNINGS: dict[bytes, Format] = {b"PAR1": "parquet", b"ARROW1": "arrow"}
"""How files begin that aren't text."""
_DOCUMENT = re.compile(r'\s*(\[\s*([\[{"]|$)|\{\s*$)', re.MULTILINE)
"""How JSON begins that isn't JSON lines: with an array, or with an object of several lines."""
FORMATS: tuple[str, ...] = get_args(Format)
_PEEKED = 1 << 16
"""How many bytes are read ahead to detect a format."""
_LONGEST_CELL = (1 << 31) - 1
_CELL_NAME = re.compile(r"[^\W\d][\w .\-]{0,60}")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Record:
    """One record: fields or the text of a line, or else why it can't be used.

    Attributes:
        line: Where it begins, counted from 1; the number of the row in a file that has no lines.
        file: The name of its input where there are several.
    """

    line: int
    data: Data = ""
    error: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """Where records come from: a file, or standard input if `path` is None.

    Without a `form` the format is detected by the name or the content.
    """

    path: Path | None
    form: Format | None = None

    @property
    def countable(self) -> bool:
        """Whether the file can be read twice, so that its records can be counted beforehand."""
        return self.path is not None and stat.S_ISREG(self.path.stat().st_mode)

    def read(self) -> Iterator[Record]:
        """Read the records one by one. A file of any size takes little memory.

        A record that is damaged comes with its error, and the next one follows.
        """
        with closing(self._open()) as stream:
            form, encoding = self._detect(stream)
            if form not in _READERS:
                yield from self._read_rows(form)
                return
            # Bytes that aren't text fail their record only: `surrogateescape` carries them to `_find_broken`.
            lines = io.TextIOWrapper(cast("BinaryIO", stream), encoding, "surrogateescape", newline="")
            yield from _READERS[form](lines)

    def count(self) -> int:
        """Count the records of a file that can be read twice."""
        with closing(self._open()) as stream:
            form, _ = self._detect(stream)
        if form in _READERS or self.path is None:
            return sum(1 for _ in self.read())
        from instructor.cli.arrow_files import count_rows

        return count_rows(self.path, form)

    def _read_rows(self, form: Format) -> Iterator[Record]:
        from instructor.cli.arrow_files import read_rows

        if not self.countable or self.path is None:
            raise ConfigurationError(
                f"An input in the format {form} is read from a regular file. Name one as the input."
            )
        for number, row in enumerate(read_rows(self.path, form), 1):
            yield Record(number, row)

    def _open(self) -> io.BufferedReader:
        # Not sys.stdin: a thread that waits there holds its lock, which Python wants when the process exits.
        try:
            raw = io.FileIO(0 if self.path is None else str(self.path), closefd=self.path is not None)
        except OSError as error:
            raise ConfigurationError(f"The input {self.path} cannot be read: {error.strerror}.") from error
        return io.BufferedReader(raw, _PEEKED)

    def _detect(self, stream: io.BufferedReader) -> tuple[Format, str]:
        """Detect the format and the encoding by what was named and by how the file begins."""
        head = stream.peek(_PEEKED)[:_PEEKED]
        encoding = "utf-16" if head.startswith(_UTF16) else "utf-8-sig"
        known = self.form or (_SUFFIXES.get(self.path.suffix.lower()) if self.path else None)
        for beginning, form in () if known else _BEGINNINGS.items():
            if head.startswith(beginning):
                return form, encoding
        return known or self._sniff(head.decode(encoding, "replace")), encoding

    def _sniff(self, head: str) -> Format:
        """Detect the format of a text; refuse what isn't one, and JSON whose lines are no records: each would be asked."""
        found = _sniff(head)
        if "\0" in head:
            raise ConfigurationError(
                f"The input {self.path or '-'} is neither text nor Parquet nor Arrow. Unpack it, or save it as CSV."
            )
        if found == "text" and _DOCUMENT.match(head):
            raise ConfigurationError(
                f"The input {self.path or '-'} is one JSON document. Write a record on each line, as `jq -c '.[]'` does, "
                "or name another format with --format."
            )
        return found


def open_input(name: str, form: str | None) -> Input:
    """Check the input and the format that the user named; ``-`` is standard input."""
    if form is not None and form.lower() not in FORMATS:
        raise ConfigurationError(f"--format {form}: there is no such format. Write one of {', '.join(FORMATS)}.")
    chosen = cast("Format | None", form and form.lower())
    if name == "-":
        if cast("object", sys.stdin) is None:  # Python's value for a closed descriptor
            raise ConfigurationError("Standard input is closed. Name a file as the input.")
        return Input(None, chosen)
    path = Path(name)
    if not path.exists():
        raise ConfigurationError(f"The input {name} does not exist. Check the name and the current directory.")
    if path.is_dir():
        raise ConfigurationError(f"The input {name} is a directory. Name a file, or - for standard input.")
    return Input(path, chosen)


def _sniff(head: str) -> Format:
    """Detect a format by its first two lines: JSON, or a header with a row of as many cells, or else text."""
    lines = [line for line in head.splitlines() if line.strip()][:2]
    if not lines:
        return "text"
    if lines[0].lstrip().startswith(("{", '"')) and _is_json(lines[0]):
        return "jsonl"
    rows = list(csv.reader(lines, delimiter=_detect_delimiter(lines[0])))
    alike = len(rows) > 1 and len(rows[0]) == len(rows[1]) > 1
    # In prose a comma is followed by a space, with which no column's name begins.
    return "csv" if alike and all(_CELL_NAME.fullmatch(cell) for cell in rows[0]) else "text"


def _is_json(line: str) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _detect_delimiter(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=bare.count)


def _read_csv(lines: io.TextIOWrapper) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_CELL)
    first = lines.readline()
    if not first.strip():
        raise ConfigurationError("The CSV input has no header: its first line is empty. It must name the columns.")
    rows = csv.reader(_chain(first, lines), delimiter=_detect_delimiter(first), strict=True)
    header = _read_header(rows)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, error=f"not valid CSV: {error}")
            continue
        if row:
            yield _make_record(line, header, row)


def _chain(first: str, lines: io.TextIOWrapper) -> Iterator[str]:
    yield first
    yield from lines


def _read_header(rows: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(rows)]
    except csv.Error as error:
        raise ConfigurationError(f"The header of the CSV input cannot be read: {error}.") from error
    double = sorted({name for name in header if header.count(name) > 1})
    if double:
        raise ConfigurationError(f"The CSV input has two columns named {double[0]!r}. Rename one of them.")
    return header


def _make_record(line: int, header: list[str], row: list[str]) -> Record:
    if len(row) != len(header):
        return Record(line, error=f"the row has {len(row)} cells, the header {len(header)}")
    broken = _find_broken("".join(row))
    return Record(line, error=broken) if broken else Record(line, dict(zip(header, row, strict=True)))


def _read_text(lines: io.TextIOWrapper) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text:
            broken = _find_broken(text)
            yield Record(number, error=broken) if broken else Record(number, text)


def _read_jsonl(lines: io.TextIOWrapper) -> Iterator[Record]:
    for record in _read_text(lines):
        yield record if record.error else _parse_line(record.line, str(record.data))


def _parse_line(number: int, line: str) -> Record:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Record(number, error=f"not valid JSON: {error.msg} (column {error.colno})")
    if not isinstance(data, (dict, str)):
        return Record(number, error=f"the line holds a JSON {_JSON_NAMES[type(data)]}; write an object or a string")
    return Record(number, cast("Data", data))


_JSON_NAMES: dict[type, str] = {
    list: "array", int: "number", float: "number", bool: "boolean", type(None): "null",
}  # fmt: skip


def _find_broken(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the line is not valid UTF-8"
    return ""


_READERS: dict[Format, Callable[[io.TextIOWrapper], Iterator[Record]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "text": _read_text,
}

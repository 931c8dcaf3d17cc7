"""What a command of ``instructor cache`` has found, as a table for people or as lines of JSON for programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final, TextIO, cast

import orjson

from instructor.cli.terminal import SafeStream, make_console, print_line
from instructor.prices import show_money

Row = Mapping[str, Any]

_WIDTH = 200
"""Characters of a line where it doesn't go to a terminal, so that no key is cut."""

_KEY_SHOWN = 16

_EMPTY: Final[tuple[object, ...]] = (None, "", [])
"""What people aren't shown where no row has more. A zero is a result."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a command has found.

    Attributes:
        rows: One or many things, each with the same members. They are written as JSON as they are.
        is_single: Whether it is about one thing, so that people read its members below each other.
        note: A sentence for people below the table.
        shown: The members that people see; all if it is empty.
        failed: Whether the command's exit status is 1.
    """

    rows: Sequence[Row]
    is_single: bool = False
    note: str = ""
    failed: bool = False
    shown: tuple[str, ...] = ()


def write_report(report: Report, *, as_json: bool) -> None:
    """Write a report to standard output, and its note for people to standard error."""
    stream = SafeStream(cast("TextIO | None", sys.stdout) or io.StringIO())
    if as_json:
        for row in report.rows:
            stream.write(orjson.dumps(row, default=str).decode() + "\n")
    else:
        _print_table(report, stream)
        if report.note:
            print_line(make_console(), report.note)
    stream.flush()


def _print_table(report: Report, stream: SafeStream) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    known = report.shown or (report.rows[0] if report.rows else ())
    names = [name for name in known if any(row[name] not in _EMPTY for row in report.rows)]
    if not names:
        return
    table = Table(box=SIMPLE_HEAD, show_header=not report.is_single, pad_edge=False)
    console = Console(file=cast("IO[str]", stream), highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    if report.is_single:
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name in names:
            table.add_row(name.replace("_", " "), Text(write_value(name, report.rows[0][name], whole=True)))
    else:
        for name in names:
            is_number = all(isinstance(row[name], int | float) for row in report.rows)
            table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
        for row in report.rows:
            table.add_row(*(Text(write_value(name, row[name])) for name in names))
    console.print(table)


def write_value(name: str, value: object, *, whole: bool = False) -> str:
    r"""Write a member of a row for people. An answer may hold anything: nothing in it reaches the terminal as a command.

    Example:
        >>> write_value("bytes", 1536), write_value("answer", "a\x1b[2J"), write_value("tags", ["a", "b"])
        ('1.5 kB', 'a\\x1b[2J', 'a, b')
    """
    if value is None:
        return ""
    if name in _WRITERS:
        return _WRITERS[name](value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value)):
        value = ", ".join(cast("list[str]", value))
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    if name == "key" and not whole:
        text = text[:_KEY_SHOWN]
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def show_bytes(size: float) -> str:
    """Write a size in bytes."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the next unit
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


_WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "bytes": show_bytes,
    "bytes_before": show_bytes,
    "disk_bytes": show_bytes,
    "dollars": show_money,
    "input_dollars": show_money,
    "hit_rate": lambda rate: f"{100 * rate:.1f} %",
    "seconds": lambda seconds: f"{seconds:,.1f}",
}
"""Members that people read in another form than programs."""


def write_time(seconds: float | None) -> str | None:
    """Write a moment in Unix seconds as in ISO 8601, in UTC; None for none.

    Example:
        >>> write_time(0.0), write_time(1_795_000_000.0)
        (None, '2026-11-18T11:06:40Z')
    """
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

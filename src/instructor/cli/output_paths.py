"""The files that a run writes: none of them may be one that it reads, or the other one that it writes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from instructor.exceptions import ConfigurationError

STANDARD_INPUT = 0
STANDARD_OUTPUT = 1


def find_place(name: str) -> Path:
    """Return where an output named `name` is to be: behind a symbolic link, because a link is no place of its own.

    What is no regular file, such as a pipe or ``/dev/stdout``, stays under the name that it has.
    """
    path = Path(name)
    return path if path.exists() and not path.is_file() else Path(os.path.realpath(path))


def name_part(place: Path) -> Path | None:
    """Return where an output is until it is complete; None for what is no regular file, which is written straight."""
    if place.exists() and not place.is_file():
        return None
    return place.with_name(f"{place.name}.part")


def check_targets(out: str, report: str | None, source: Path | None, cache: Path) -> None:
    """Check that a run harms no file that it reads, by whatever name or link.

    Call it when all has been imported, because what Python runs is read, too, and when the cache has been made.

    Args:
        out: ``--out``; ``-`` for standard output.
        report: ``--report``.
        source: The input's path; None for standard input.
        cache: The cache's directory.

    Raises:
        ConfigurationError: It would.
    """
    read = [(what, status) for what, path in _list_read(source, cache) if (status := _look(path)) is not None]
    for option, path in _list_written(out, report):
        status = _look(path)
        what = next((what for what, other in read if status is not None and os.path.samestat(status, other)), None)
        if what is not None:
            raise ConfigurationError(f"{option} would overwrite {what}. Name another file.")
    if report is not None and out != "-":
        place = find_place(out)
        if find_place(report) in (place, name_part(place)):
            raise ConfigurationError("--report would overwrite what --out writes. Name another file.")


def _list_read(source: Path | None, cache: Path) -> Iterator[tuple[str, Path | int]]:
    yield ("the input itself", source if source is not None else STANDARD_INPUT)
    for name in ("answers.sqlite3", "answers.sqlite3-wal", "answers.sqlite3-shm", "answers.lock"):
        yield (f"the cache, {cache / name}", cache / name)
    for module in list(sys.modules.values()):
        # Not by attribute, because a module may make one that it does not have.
        file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        if isinstance(file, str):
            yield (f"the Python file {file}", Path(file))


def _list_written(out: str, report: str | None) -> Iterator[tuple[str, Path | int]]:
    if out == "-":
        yield ("--out -", STANDARD_OUTPUT)
    else:
        yield (f"--out {out}", Path(out))
        part = name_part(find_place(out))
        if part is not None:
            yield (f"--out {out}, which is {part.name} at first,", part)
    if report is not None:
        yield (f"--report {report}", Path(report))


def _look(path: Path | int) -> os.stat_result | None:
    """Return which regular file a path or a descriptor leads to; None if to none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of a descriptor, too
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None

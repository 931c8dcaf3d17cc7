"""The file of a cassette: sorted lines, replaced as a whole, by one writer at a time."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from instructor.cache.cassette_lines import Line, read_line
from instructor.exceptions import CacheError

Stamp = tuple[int, int, int] | None
"""What tells two states of a file apart; None where there is no file."""


def stamp_of(path: Path) -> Stamp:
    """The present state of a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_lines(path: Path) -> dict[str, Line]:
    """Read the lines of a file, under their keys. CacheError for one that isn't a line of a cassette."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise CacheError(
            f"The cassette {path} isn't UTF-8: {error}. Restore it, or delete it and record again."
        ) from None
    found: dict[str, Line] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                made = read_line(line.rstrip("\r"))
            except ValueError as error:
                raise CacheError(
                    f"Line {number} of the cassette {path} can't be read: {error}. If it is left from a merge, keep the "
                    "lines of both sides; or delete it and record its answer again."
                ) from None
            found[made.key] = made
    return found


def change_lines(
    path: Path, known: dict[str, Line], stamp: Stamp, change: Callable[[dict[str, Line]], object]
) -> tuple[dict[str, Line], Stamp]:
    """Change the lines of a file as it is now; return them, and the file's new state. No other writer comes between.

    `known` are the lines that it had when its state was `stamp`; they may be changed in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.parent):
        lines = known if stamp_of(path) == stamp else read_lines(path)
        change(lines)
        if lines:
            _write(path, sorted(line.text for line in lines.values()))
        else:
            path.unlink(missing_ok=True)
        return lines, stamp_of(path)


def _write(path: Path, lines: Iterable[str]) -> None:
    """Put a file in the place of another, in one step."""
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    new = Path(made)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write("".join(f"{line}\n" for line in lines).encode())
        new.chmod(_MODE)  # a temporary file is for its owner alone, and a cassette is for everybody
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


_MODE = 0o644


@contextlib.contextmanager
def _lock(folder: Path) -> Generator[None]:
    """Keep other writers out of a folder. Windows can't lock one: there, the last writer wins."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""The inputs of a run: files, patterns of file names, and standard input, read one after the other."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from instructor.cli.records import Input, Record, open_input
from instructor.exceptions import ConfigurationError


@dataclass(frozen=True, slots=True)
class Inputs:
    """Where the records of a run come from, in order. A record names its file where there are several."""

    files: tuple[Input, ...]

    @property
    def countable(self) -> bool:
        """Whether all can be read twice, so that their records can be counted beforehand."""
        return all(file.countable for file in self.files)

    @property
    def paths(self) -> list[Path | None]:
        """The files; None for standard input."""
        return [file.path for file in self.files]

    @property
    def are_many(self) -> bool:
        """Whether there is more than one input, so that a line number alone doesn't name a record."""
        return len(self.files) > 1

    def read(self) -> Iterator[Record]:
        """Read the records of one input after the other."""
        for file in self.files:
            if not self.are_many:
                yield from file.read()
                return
            name = str(file.path or "-")
            yield from (replace(record, file=name) for record in file.read())

    def count(self, limit: int | None) -> int | None:
        """Count the records, at most `limit`; None if some input can be read only once."""
        if not self.countable:
            return None
        if limit is None:
            return sum(file.count() for file in self.files)
        return sum(1 for _ in islice(self.read(), limit))


def open_inputs(names: Sequence[str], form: str | None) -> Inputs:
    """Check the inputs and the format that the user named.

    A name that isn't a file's may be a pattern, such as ``logs/*.csv`` or ``**/*.jsonl``, whose files are read in the order of
    their names.
    """
    found = [name for pattern in names for name in _expand(pattern)]
    double = sorted({name for name in found if found.count(name) > 1})
    if double:
        raise ConfigurationError(f"The input {double[0]} is named twice. Name it once.")
    return Inputs(tuple(open_input(name, form) for name in found))


def _expand(name: str) -> list[str]:
    if not glob.has_magic(name) or Path(name).exists():
        return [name]
    found = sorted(path for path in glob.glob(name, recursive=True) if not Path(path).is_dir())  # noqa: PTH207 - pathlib's takes no absolute pattern
    if not found:
        raise ConfigurationError(f"No file matches the input {name}. Check the pattern and the current directory.")
    return found

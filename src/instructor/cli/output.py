"""The output of a run: one line or row for each record, in the order of the input."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from instructor.cli.columns import Columns
from instructor.cli.output_forms import NO_COLUMNS, Form, find_form, is_output
from instructor.cli.output_paths import clear_parts, open_part, resolve_output
from instructor.cli.run_stats import Outcome
from instructor.exceptions import ConfigurationError


class Output:
    """The file that answers are written to.

    A regular file is written as a new file beside it, such as ``NAME.1f0c9a2b.part``, and renamed when it is complete,
    so that a reader of ``NAME`` never sees half a run, nor a mixture of two. What killed runs left behind is removed
    then. A pipe, a device and standard output (``-``) are written directly, as JSON lines.

    Attributes:
        path: The file; None for standard output.
        part: The new file beside it; None where it is written directly.
        may_wait: Whether `write` may have to wait for somebody who reads.
    """

    def __init__(self, name: str, columns: Columns = NO_COLUMNS) -> None:
        self._form = find_form(name)
        self.path = None if name == "-" else resolve_output(name)
        self.part: Path | None = None
        self._stream = self._open(name)
        self.may_wait = self.part is None and _may_wait(self._stream)
        self._is_empty = True
        try:
            self._writer = self._form.make_writer(self._stream, columns)
        except ConfigurationError:  # a package isn't installed
            self._discard()
            raise

    def _open(self, name: str) -> BinaryIO:
        if self.path is None:
            return _find_standard_output()
        try:
            _check_replaceable(self.path, name, self._form)
            opened = open_part(self.path)
            self.part, stream = opened or (None, self.path.open("wb"))
        except OSError as error:
            raise ConfigurationError(f"--out {name} cannot be written: {error.strerror}.") from error
        return stream

    @property
    def unfinished(self) -> str:
        """What holds the lines of a run that was stopped; nothing where there are none."""
        return "" if self._is_empty else str(self.part or self.path or "standard output")

    def write(self, outcome: Outcome) -> None:
        """Write the line or row of one record."""
        self._writer.write(outcome)
        self._is_empty = False
        if self.may_wait:
            self._stream.flush()

    def flush(self) -> None:
        """Write out what is buffered, for those who read along. Never waits for them, unlike `write`: call it from any thread."""
        if not self.may_wait:
            self._stream.flush()

    def leave(self) -> None:
        """Let everything go nowhere that isn't written yet, also what `write` is waiting to write in another thread."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def finish(self) -> None:
        """Make the output complete."""
        self._writer.close()
        self._stream.flush()
        if self.part is not None and self.path is not None:
            os.fsync(self._stream.fileno())
            if os.name == "nt":  # pragma: no cover - there an open file can't be renamed, and none is locked
                self._stream.close()
            self.part.replace(self.path)
            self._stream.close()  # not before, because it unlocks the file, which another run would then remove
            clear_parts(self.path, self._form.beginning)

    def abandon(self) -> None:
        """Close the output of a run that was stopped; remove it if it is empty."""
        # The error that stopped the run has been shown. The file is closed already if only its new name was refused.
        with suppress(OSError, ValueError):
            self._writer.close()
            self._stream.flush()
        self._discard()

    def _discard(self) -> None:
        """Close the file, and remove it if no record was written."""
        if self.path is not None:
            with suppress(OSError):
                self._stream.close()
        if self.part is not None and self._is_empty:
            with suppress(OSError):
                self.part.unlink()


def _check_replaceable(path: Path, name: str, form: Form) -> None:
    """Refuse to replace a file that no run has written. The same command may run any number of times."""
    if path.is_file() and path.stat().st_size and not is_output(path, [form]):
        raise ConfigurationError(f"--out {name} exists and is not an output of this command. Name another file.")


def _may_wait(stream: BinaryIO) -> bool:
    """Whether writing waits for somebody who reads, as with a pipe or a terminal."""
    with suppress(OSError, ValueError):  # no file at all
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    return False


def _find_standard_output() -> BinaryIO:
    if cast("object", sys.stdout) is None:  # Python's value for a closed descriptor
        raise ConfigurationError("--out - cannot be written: standard output is closed. Name a file.")
    return sys.stdout.buffer

"""The terminal that a run reports to, which may go away before the run ends."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, TextIO, cast

from instructor.cli.wording import use_option_names

if TYPE_CHECKING:
    from rich.console import Console


class SafeStream:
    """Writes to a stream for as long as that works: a closed terminal must not end a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or drop it if the stream is closed."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Let what waits in the buffer go nowhere: Python writes it at its end, and fails with a status of its own."""
        if isinstance(error, BlockingIOError):  # there is room again later
            return
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def make_console() -> Console:
    """Make a console on standard error."""
    from rich.console import Console

    # Python has None there where the descriptor is closed.
    stream = cast("TextIO | None", sys.stderr) or io.StringIO()
    return Console(file=cast("IO[str]", SafeStream(stream)))


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print a text as it is, on one line however narrow the terminal."""
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


class _ConsoleHandler(logging.Handler):
    """Prints the package's log, each text once."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of a record."""
        self.show(record.getMessage())

    def show(self, message: str) -> None:
        """Print a message, unless it was printed before."""
        text = use_option_names(" ".join(message.split()))
        if text not in self._shown:
            self._shown.add(text)
            print_line(self._console, f"Warning: {text}", "yellow")


@contextmanager
def show_warnings(console: Console) -> Generator[None, None, None]:
    """Show the package's warnings and log above the progress display, such as that a store evicts young entries."""
    handler = _ConsoleHandler(console)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        handler.show(str(message))

    logger = logging.getLogger("instructor")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)

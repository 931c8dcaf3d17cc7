"""The file of ``--report``: a run's figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from instructor.cli.terminal import print_line
from instructor.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console


def check_report(name: str | None) -> None:
    """Raise `ConfigurationError` if the file can't be written, before a run is made for it."""
    if name is None:
        return
    try:
        Path(name).open("ab").close()
    except OSError as error:
        raise ConfigurationError(f"--report {name} cannot be written: {error.strerror}.") from error


def write_figures(console: Console, name: str | None, figures: Mapping[str, object]) -> bool:
    """Write the figures, if a file was named; return whether that worked."""
    if name is None:
        return True
    try:
        Path(name).write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        print_line(console, f"Error: --report {name} cannot be written: {error.strerror}.", "red")
        return False
    return True

"""The command line: ``instructor extract`` and its parts. The library itself imports nothing from here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from instructor.cli.signals import SIGNALLED


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command ``instructor`` with these words after its name; by default, those of the process.

    Always raises SystemExit. 0: all went well; 1: some record failed; 2: the command can't be run as written; 129, 130,
    143: stopped by a closed terminal, Ctrl-C, or a request to terminate.
    """
    try:
        from instructor.cli.app import make_command

        words = None if arguments is None else list(arguments)
        command = make_command(*(sys.argv[1:] if words is None else words)[:1])
        command(args=words, prog_name="instructor")
    except KeyboardInterrupt:  # Ctrl-C before `run_extract` watches the signals
        raise SystemExit(SIGNALLED + 2) from None

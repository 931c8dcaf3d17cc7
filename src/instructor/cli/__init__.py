"""The command line: ``instructor extract`` and its parts. Nothing of it is imported by the library."""

from __future__ import annotations

from collections.abc import Sequence

INTERRUPTED = 130
"""The exit status of a command that Ctrl-C stopped: 128 and the number of the signal, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command ``instructor``.

    Args:
        arguments: The words after the command's name; those of the process by default.

    Raises:
        SystemExit: Always. 0: all went well; 1: some record failed; 2: the command cannot be run as given;
            130: stopped by Ctrl-C.
    """
    try:
        from instructor.cli.app import make_app

        make_app()(args=None if arguments is None else list(arguments), prog_name="instructor")
    except KeyboardInterrupt:  # before the command itself could take notice of it
        raise SystemExit(INTERRUPTED) from None

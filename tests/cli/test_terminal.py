"""The terminal that goes away before the run ends."""

from __future__ import annotations

import io
import os

from rich.console import Console

from instructor.cli.terminal import SafeStream, print_line


def test_nothing_is_left_to_write_for_a_terminal_that_has_gone():
    """Python writes what is left when it ends, and would end with 120 if that failed."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", 1) as stream:
        os.close(reading)
        safe = SafeStream(stream)
        assert safe.write("first\n") == 6
        assert safe.write("second\n") == 7
        safe.flush()
        stream.flush()


def test_a_stream_that_is_full_for_a_moment_is_not_given_up():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise BlockingIOError

        def fileno(self) -> int:
            raise AssertionError("it is to be written to later")

    assert SafeStream(Full()).write("text") == 4


def test_a_text_is_printed_as_it_is():
    stream = io.StringIO()
    print_line(Console(file=stream, width=10), "[red]models.py:A:B is :not: on a narrow terminal")
    assert stream.getvalue() == "[red]models.py:A:B is :not: on a narrow terminal\n"

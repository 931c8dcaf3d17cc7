"""Ctrl-C at every place of some code, one after the other."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, ModuleType
from typing import Any

_AFTER = ("CALL", "RESUME", "JUMP_BACKWARD")
"""After these instructions Python looks whether Ctrl-C was pressed, and raises `KeyboardInterrupt`. Nowhere else: in between,
a lock may have been taken that is not yet noted anywhere."""


def interrupt_everywhere(operation: Callable[[], object], *modules: ModuleType) -> Iterator[int]:
    """Perform an operation again and again, interrupted at the next place of some modules each time.

    Yields how many times it was interrupted so far, after each time. The last time it comes to its end.
    """
    number, reached = 0, True
    while reached:
        reached = _interrupt_at(number, operation, {module.__file__ for module in modules})
        number += 1
        yield number


def _interrupt_at(number: int, operation: Callable[[], object], files: set[str | None]) -> bool:
    """Interrupt an operation at the n-th place that it comes to; return whether it got there."""
    left = number
    last: dict[FrameType, bool] = {}

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace = trace  # Python 3.13 sees the next line only then
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            was_reached, last[frame] = last.get(frame, False), _is_place(frame.f_code, frame.f_lasti)
            left -= was_reached
            if was_reached and left < 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    gc.disable()  # because Python only reports what is raised while it collects
    sys._getframe().f_trace_opcodes = True  # from Python 3.12 on `settrace` goes by whether any frame has it
    sys.settrace(trace)
    try:
        operation()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
        gc.enable()
    return False


def _is_place(code: CodeType, at: int) -> bool:
    return dis.opname[code.co_code[at]].startswith(_AFTER)

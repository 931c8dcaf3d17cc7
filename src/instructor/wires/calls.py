"""Which of the tool calls in an answer are calls of our tools, and what the model gets as the result of each call.

A caller may offer tools of their own beside ours, and we may offer several tools at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count

from instructor.exceptions import ResponseParsingError
from instructor.messages import Part
from instructor.mode import Mode
from instructor.wires.content import say_call_again
from instructor.wires.reader import read_arguments, read_text_answer
from instructor.wires.spec import Completion, ToolSpec

_CALLING = (Mode.TOOLS, Mode.RESPONSES_TOOLS)
_COUNTER = re.compile(r"[-_:]\d+\Z")
_PREFIX = re.compile(r".*[.:/]", re.DOTALL)
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]+")
"""What the APIs refuse in a tool's name, even where their own model wrote it."""


def select_parts(
    calls: Sequence[Part], text: str, names: Sequence[str], specs: Sequence[ToolSpec] = ()
) -> tuple[Part, ...]:
    """Select the parts of the answer: every call of our tools, or the JSON in the text where no tool was called.

    `calls` have the names that the model wrote, and the parts those of our tools. Local models write a call's arguments in
    the `text` beside the calls. No parts means no answer.

    Example:
        >>> select_parts([Part("weather", "{}"), Part("User", '{"name": "A"}')], "", ["User"])
        (Part(tool='User', text='{"name": "A"}'),)
    """
    if len(calls) == len(specs) == 1 and calls[0].tool == specs[0].name in names:  # as in most answers
        return (Part(specs[0].name, read_arguments(calls[0].text, specs[0])),)  # a name that all entries share
    known = {spec.name: spec for spec in specs}
    if calls:
        ours = zip(match_names([call.tool for call in calls], names), calls, strict=True)
        return tuple([Part(name, read_arguments(call.text, known.get(name))) for name, call in ours if name])
    found = read_text_answer(text, known.get(names[0]) if len(names) == 1 else None)
    return () if found is None else (Part("", found),)


def read_answer(
    completion: Completion,
    found: Sequence[Part],
    text: str,
    mode: Mode,
    names: Sequence[str],
    specs: Sequence[ToolSpec],
    explain: Callable[[], str],
) -> tuple[Part, ...]:
    """Select the parts of an answer, or raise ResponseParsingError; see `select_parts`.

    `found` are all calls in the completion, which count in a mode with tools only. `explain` says what came where there
    is no call either.
    """
    is_called = bool(found) and mode in _CALLING
    parts = select_parts(found if is_called else (), text, names, specs)
    if parts:
        return parts
    called = [call.tool for call in found]
    reason = say_uncalled(called, names if is_called else ()) if called else explain()
    raise ResponseParsingError(reason, mode=mode.name, raw_response=completion)


def match_names(called: Sequence[str], names: Sequence[str]) -> list[str]:
    """Say for each call which of our tools it calls.

    Models change a name at times: ``functions.User``, ``user`` or ``User_1`` for ``User``. That is accepted of a lone
    call only, because among several calls the odd name may well be another tool's. A name that merely ends like ours
    (``find_user``) is another tool's.

    A name in `called` is empty for a call that can't be ours; a name in the result is empty for the call of another
    tool.

    Example:
        >>> match_names(["weather", "User"], ["User"])
        ['', 'User']
        >>> match_names(["functions.User"], ["User"])
        ['User']
    """
    if len(called) != 1 or called[0] in names:
        return [name if name in names else "" for name in called]
    similar = [name for name in names if _resembles(called[0], name)]
    return similar if len(similar) == 1 else [""]


def _resembles(called: str, name: str) -> bool:
    spellings = (called, _COUNTER.sub("", called))
    return any(_PREFIX.sub("", spelling).casefold() == name.casefold() for spelling in spellings)


def correct_names(called: Sequence[str], names: Sequence[str]) -> list[str]:
    """Write the names called so that an API takes them back, and those of our tools as they should have been."""
    ours = match_names(called, names)
    return [name or _REFUSED.sub("_", other) or "unknown" for name, other in zip(ours, called, strict=True)]


def say_uncalled(called: Sequence[str], names: Sequence[str]) -> str:
    """Say that other tools were called, but none of ours; `names` is empty where the answer is JSON in the text."""
    others = ", ".join(repr(name) if name else "a tool of another type" for name in called)
    if not names:
        return (
            f"The model called {others}, but in this mode the answer is JSON in its text. Use mode=Mode.TOOLS "
            'beside tools of your own, or pass tool_choice="none".'
        )
    ours = " or ".join(map(repr, names))
    return f"The model called {others}, but not {ours}, whose arguments are the answer."


def tell_calls(called: Sequence[str], names: Sequence[str], problem: str, *, repeats: bool = False) -> list[str]:
    """Write the result of every call in the model's turn, since the APIs want each call answered.

    `problem` is what was wrong with the answer. It is the result of the first call of ours, or of every call of ours where
    we offered several tools. Where the model called none of ours, it is the result of every call. With `repeats`, where
    the answer is any number of calls, a problem begins with the number of its call.
    """
    ours = match_names(called, names)
    wanted = " or ".join(names)
    if not any(ours):
        way = f"by calling {wanted}{'' if repeats else ', once'}" if names else "in JSON"
        return [f"Not used. {problem}\nGive the answer {way}."] * len(called)
    if repeats:
        numbers = count()
        return [_say_calls_again(problem, next(numbers)) if name else f"Not used. Call {wanted}." for name in ours]
    first = next(index for index, name in enumerate(ours) if name)
    return [
        say_call_again(problem) if name and (index == first or len(names) > 1) else f"Not used. Call {wanted}, once."
        for index, name in enumerate(ours)
    ]


def _say_calls_again(problem: str, number: int) -> str:
    return (
        f"This was call {number}. Not all calls are valid:\n{problem}\n"
        "Make all the calls again in one turn, the valid ones as they were."
    )

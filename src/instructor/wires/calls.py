"""Which of the calls in an answer holds it, and what the model is told of each: a caller may offer other functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instructor.wires.content import say_call_again

_COUNTER = re.compile(r"[-_:]\d+\Z")
_PREFIX = re.compile(r".*[.:/]", re.DOTALL)
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]+")
"""What the APIs refuse in a function's name, even where their own model wrote it."""


def find_call(names: Sequence[str], name: str) -> int | None:
    """Find the call that holds the answer: the first of our function.

    Models change a name at times: ``functions.User``, ``user`` or ``User_1`` for ``User``. That is accepted of a lone
    call only, because among several the odd name may well be right. A name that merely ends like ours
    (``find_user``) is another function's.

    Args:
        names: The names called, in order; empty for a call that cannot be ours, such as one without a name.
        name: Our function's; empty where the answer is text.

    Returns:
        Its index; None if ours was not called.

    Example:
        >>> find_call(["weather", "User"], "User")
        1
        >>> find_call(["functions.User"], "User")
        0
    """
    if not name:
        return None
    if name in names:
        return names.index(name)
    return 0 if len(names) == 1 and _resembles(names[0], name) else None


def _resembles(called: str, name: str) -> bool:
    spellings = (called, _COUNTER.sub("", called))
    return any(_PREFIX.sub("", spelling).casefold() == name.casefold() for spelling in spellings)


def correct_names(names: Sequence[str], name: str) -> list[str]:
    """Write the names called so that an API takes them back, and ours as it should have been."""
    chosen = find_call(names, name)
    return [name if index == chosen else _REFUSED.sub("_", called) or "unknown" for index, called in enumerate(names)]


def say_uncalled(names: Sequence[str], name: str) -> str:
    """Say that other functions were called, but not ours."""
    called = ", ".join(repr(other) if other else "a tool of another kind" for other in names)
    return f"The model called {called}, but not {name!r}, whose arguments are the answer."


def tell_calls(names: Sequence[str], name: str, problem: str) -> list[str]:
    """Write the result of every call in the model's turn, since the APIs want each call answered.

    Args:
        names: The names called, in order.
        name: Our function's; empty where the answer is text.
        problem: What was wrong with the answer; the call that held it is told. If none did, all are.
    """
    chosen = find_call(names, name)
    if chosen is None:
        way = f"by calling {name}, once" if name else "in JSON"
        return [f"Not used. {problem}\nGive the answer {way}."] * len(names)
    results = [f"Not used. Call {name}, once."] * len(names)
    results[chosen] = say_call_again(problem)
    return results

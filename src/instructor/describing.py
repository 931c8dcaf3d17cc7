"""Messages to the caller: the error for a wrong argument, and a warning at the caller's own line."""

from __future__ import annotations

import enum
import os
import re
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from instructor.exceptions import ArgumentError, ConfigurationError

_SKIPPED = (f"{Path(__file__).parent}{os.sep}", enum.__file__)
"""Where a caller's line never is: this package, and `enum`, through which ``Mode("tools")`` comes here."""

_LONGEST_NUMBER = 10**1000
"""Python refuses to write numbers that are much longer."""


def describe_value(value: object) -> str:
    """Say what a value is without quoting it: it may be a prompt, or a credential in the wrong place.

    Numbers, truth values and empty texts are written, because they hold neither.

    Example:
        >>> describe_value("sk-secret"), describe_value(-1), describe_value(dict), describe_value([])
        ('a str', '-1', 'the class dict', 'a list')
    """
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, str) and not value):
        return repr(value)
    if isinstance(value, int) and abs(value) < _LONGEST_NUMBER:
        return f"{value!r:.40}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def name_model(response_model: object) -> str:
    """The name of a response model without its modules; empty for None.

    Example:
        >>> name_model(Path), name_model(list[Path]), name_model(None)
        ('Path', 'list[Path]', '')
    """
    if response_model is None:
        return ""
    if isinstance(response_model, type) and not getattr(response_model, "__args__", None):
        return response_model.__name__
    return re.sub(r"[\w<>]+\.", "", str(response_model))


def refuse(name: str, value: object, advice: str) -> ArgumentError:
    """Make the error for an argument of a wrong type or value.

    `advice` is what to pass in its place, without a full stop.

    Example:
        >>> str(refuse("strict", "yes", "True or False"))
        'strict is a str. Pass True or False.'
    """
    return ArgumentError(f"{name} is {describe_value(value)}. Pass {advice}.")


def refuse_word(name: str, value: object, advice: str) -> ArgumentError:
    """As `refuse`, for an argument that may be one of a few words. A word like them is quoted: it is no credential.

    Example:
        >>> str(refuse_word("prompt_cache", "10m", "5m or 1h"))
        "prompt_cache is '10m'. Pass 5m or 1h."
    """
    is_word = isinstance(value, str) and re.fullmatch("[a-z_]{1,16}|[0-9]{1,4}[a-z]{1,5}", value)
    return ArgumentError(f"{name} is {repr(value) if is_word else describe_value(value)}. Pass {advice}.")


def refuse_choice(name: str, value: object, choices: Iterable[str]) -> ArgumentError:
    """Make the error for an argument that is none of a few words.

    Example:
        >>> str(refuse_choice("schema_match", "loose", ("exact", "compatible")))
        "schema_match is 'loose'. Pass one of 'exact', 'compatible'."
    """
    return refuse_word(name, value, f"one of {', '.join(map(repr, choices))}")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this package that led here; Python shows a warning once for each line."""
    frame, level = sys._getframe(), 1  # noqa: SLF001 - `inspect` reads source files, which takes milliseconds
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def cannot_leave(client: object, verb: str) -> ConfigurationError:
    """The error for a client that is to go where its connections can't: into another process, or a copy of its own."""
    return ConfigurationError(
        f"{type(client).__name__} cannot be {verb}: it holds connections, locks and perhaps a key. Threads and tasks can "
        "share it as it is. For another process, make the client there: in the function that runs there, or in the "
        "initializer= of a ProcessPoolExecutor."
    )

"""Options in a TOML file: what the command line leaves out is taken from there."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, cast

import orjson
import typer


def read_config(context: typer.Context, name: str | None) -> str | None:
    """Read the file of ``--config`` into the defaults of the command's parameters.

    A key is an option's name without its dashes; ``input`` is a name or a list of them, and the table ``option`` has
    arguments of the SDK.
    """
    if name is None or context.resilient_parsing:
        return name
    try:
        members = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise _refuse(name, f"cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refuse(name, f"isn't TOML: {error}.") from None
    parameters = _name_parameters(context)
    defaults: dict[str, Any] = dict(context.default_map or {})
    for key, value in members.items():
        parameter = parameters.get(key.replace("_", "-"))
        if parameter is None:
            near = difflib.get_close_matches(key.replace("_", "-"), parameters, 1)
            raise _refuse(name, f"has {key}, which is no option. " + (f"Did you mean {near[0]}?" if near else _ADVICE))
        defaults[parameter.name] = _read_value(name, key, value, parameter)
    context.default_map = defaults
    return name


_ADVICE = 'Write options without their dashes, such as model = "openai/gpt-6-luna".'


def _refuse(name: str, reason: str) -> typer.BadParameter:
    return typer.BadParameter(f"{name} {reason}", param_hint="--config")


def _name_parameters(context: typer.Context) -> dict[str, Any]:
    """Return the parameters by the names that the file may use."""
    found: dict[str, Any] = {}
    for parameter in context.command.params:
        longest = max(parameter.opts, key=len).removeprefix("--")
        found["input" if parameter.param_type_name == "argument" else longest] = parameter
    for name in ("config", "help"):
        found.pop(name, None)
    return found


def _read_value(name: str, key: str, value: object, parameter: Any) -> object:
    if parameter.param_type_name == "argument":
        values = cast("list[object]", value) if isinstance(value, list) else [value]
        if values and all(isinstance(one, str) for one in values):
            return values
        raise _refuse(name, f"has {key} = {value!r}. Write a file's name, or a list of them.")
    if parameter.multiple:
        if isinstance(value, dict):
            table = cast("dict[str, object]", value)
            return [f"{argument}={orjson.dumps(one, default=str).decode()}" for argument, one in table.items()]
        raise _refuse(name, f"has {key} = {value!r}. Write a table, such as {key} = {{ max_tokens = 500 }}.")
    if isinstance(value, list | dict) or isinstance(value, bool) != bool(parameter.is_flag):
        what = "true or false" if parameter.is_flag else "one text or number"
        raise _refuse(name, f"has {key} = {value!r}. Write {what}.")
    return value if isinstance(value, bool) else str(value)

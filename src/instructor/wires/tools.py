"""Tools in the forms of several providers, and how a model is made to call ours.

A caller may give ``tools=`` in the form of any provider that a wire here speaks, as with messages. A tool that is in
none of these forms, such as a search that the provider runs, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from instructor.messages import Request
from instructor.wires.arguments import read_tools
from instructor.wires.capabilities import Capabilities, ToolChoice
from instructor.wires.content import is_list, is_mapping
from instructor.wires.text import get_path

ToolForm = Literal["chat", "responses", "anthropic", "genai", "converse"]

_WEAKEST_FIRST: tuple[ToolChoice, ...] = ("omitted", "auto", "required", "named")
_CALL_INSTRUCTION = "Give the final answer by calling the tool {name}, exactly once."
_CALLS_INSTRUCTION = "Give the final answer by calling the tool {name}: once for each item, all in one turn."
_DECLARATIONS = ("function_declarations", "functionDeclarations")
_SCHEMAS = ("parameters", "input_schema", "parameters_json_schema", "parametersJsonSchema")
_NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}}


class Function(NamedTuple):
    """A function that a model may call, in nobody's form.

    Attributes:
        description: What it is for; empty where the caller did not say.
        schema: JSON Schema of its arguments.
        extra: Members that two forms share: ``strict`` and ``cache_control``.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    extra: Mapping[str, Any]


def instruct_call(names: Sequence[str], *, repeats: bool = False) -> str:
    """Write the sentence that asks for the call of a tool, or any number, for a model that can't be forced to make it."""
    return (_CALLS_INSTRUCTION if repeats else _CALL_INSTRUCTION).format(name=" or ".join(names))


def find_form(tool: Any) -> ToolForm | None:
    """Find out in whose form a function is; None for anything else, such as an SDK's object."""
    if not is_mapping(tool):
        return None
    kind = tool.get("type", "custom")
    if read_member(tool, *_DECLARATIONS) is not None:
        return "genai"
    if "input_schema" in tool and kind == "custom":
        return "anthropic"
    if kind != "function":
        return None
    return "chat" if is_mapping(tool.get("function")) else "responses"


def translate_tools(
    arguments: Mapping[str, Any], form: ToolForm, write: Callable[[Function], Mapping[str, Any]]
) -> list[Any]:
    """Read the caller's own tools, and write those that are functions in another provider's form anew.

    Example:
        >>> translate_tools({"tools": [{"name": "f", "input_schema": {}}]}, "chat", lambda function: function.name)
        ['f']
    """
    tools: list[Any] = []
    for tool in read_tools(arguments):
        found = find_form(tool)
        is_foreign = found is not None and found != form
        tools.extend(map(write, _read_functions(tool, found)) if is_foreign else [tool])
    return tools


def names_of_tool(tool: Any) -> list[str]:
    """The names of the functions that a tool of any form declares; none for one that the provider runs."""
    if callable(tool):  # google-genai takes Python's functions
        return [getattr(tool, "__name__", "")]
    declared = get_path(tool, _DECLARATIONS[0]) or get_path(tool, _DECLARATIONS[1])
    if declared is not None:
        return [get_path(function, "name") or "" for function in declared]
    name = get_path(tool, "function", "name") or get_path(tool, "name")
    return [name] if name else []


def _read_functions(tool: Mapping[str, Any], form: ToolForm | None) -> list[Function]:
    if form == "genai":
        functions = map(_read_function, read_member(tool, *_DECLARATIONS))
        return [function._replace(schema=_lower_types(function.schema)) for function in functions]
    return [_read_function(tool["function"] if form == "chat" else tool, tool)]


def read_member(holder: Mapping[str, Any], *names: str) -> Any:
    """Read a member that has several names, as Google's have in snake case and camel case; None where it is empty."""
    return next((value for name in names if (value := holder.get(name))), None)


def _lower_types(schema: Any) -> Any:
    """Write the types of one of Google's own schemas as JSON Schema has them: ``STRING`` as ``string``."""
    if is_list(schema):
        return [_lower_types(member) for member in schema]
    if not is_mapping(schema):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _lower_types(value)
        for name, value in schema.items()
    }


def _read_function(function: Mapping[str, Any], tool: Mapping[str, Any] | None = None) -> Function:
    schema = read_member(function, *_SCHEMAS) or _NO_ARGUMENTS
    members = {**(tool or {}), **function}
    extra = {name: members[name] for name in ("strict", "cache_control") if members.get(name) is not None}
    return Function(get_path(function, "name") or "", function.get("description") or "", schema, extra)


def limit_choice(capabilities: Capabilities, tools: Sequence[Any], *, is_hosted: Callable[[Any], bool]) -> ToolChoice:
    """Choose how strongly the model is asked for the call of our tool, where the caller did not say.

    It is forced, as far as the model can be; but where there is a tool that the provider itself runs, such as a web
    search, the model must call *some* tool, so that it can search before it answers. Functions of the caller's own
    are never run here, so that they are not a reason against forcing ours.
    """
    is_mixed = bool(tools) and any(map(is_hosted, tools))
    return weaker_choice("required", capabilities.tool_choice) if is_mixed else capabilities.tool_choice


def weaker_choice(one: ToolChoice, other: ToolChoice) -> ToolChoice:
    """Return the weaker of two ways to ask for a call."""
    return one if one == other else next(choice for choice in _WEAKEST_FIRST if choice in (one, other))


def merge_tools(
    bound: Mapping[str, Any], tools: Sequence[Any], wanted: Any, capabilities: Capabilities
) -> tuple[Request, str]:
    """Offer the caller's tools beside ours, in the form of OpenAI's two APIs.

    `bound` has our ``tools``, and the ``tool_choice`` that forces ours: a name, or ``"required"`` for any number of calls.
    The caller's own choice is kept, if there is one. Returns the request's ``tools`` and ``tool_choice``, and a sentence
    that asks for the call where it isn't forced.
    """
    forced, choice = bound["tool_choice"], wanted
    if choice is None:
        strength = limit_choice(capabilities, tools, is_hosted=_is_hosted)
        choice = {"named": forced, "omitted": None}.get(strength, strength)
    repeats = forced == "required"
    is_sure = (choice == forced and not repeats) or (choice == "required" and not tools)
    chosen = {} if choice is None else {"tool_choice": choice}
    request = {"tools": [*tools, *bound["tools"]], **chosen}
    if is_sure:
        return request, ""
    names = [get_path(tool, "function", "name") or get_path(tool, "name") for tool in bound["tools"]]
    return request, instruct_call(names, repeats=repeats)


def _is_hosted(tool: Any) -> bool:
    return get_path(tool, "type") not in ("function", "custom")

from __future__ import annotations

from types import SimpleNamespace

import pytest

from instructor.exceptions import ConfigurationError
from instructor.wires.capabilities import Capabilities
from instructor.wires.tools import Function, find_form, limit_choice, merge_tools, translate_tools, weaker_choice

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": SCHEMA}}
RESPONSES = {"type": "function", "name": "f", "description": "F.", "parameters": SCHEMA}
ANTHROPIC = {"name": "f", "description": "F.", "input_schema": SCHEMA}
GENAI = {"function_declarations": [{"name": "f", "description": "F.", "parameters_json_schema": SCHEMA}]}
CAMEL = {"functionDeclarations": [{"name": "f", "description": "F.", "parametersJsonSchema": SCHEMA}]}
OWN_TYPES = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
GOOGLES = {"functionDeclarations": [{"name": "f", "description": "F.", "parameters": OWN_TYPES}]}
SEARCH = {"type": "web_search"}
OURS = {"tools": [{"type": "function", "function": {"name": "User"}}], "tool_choice": {"forced": "User"}}


def keep(function: Function) -> Function:
    return function


@pytest.mark.parametrize(
    ("tool", "form"),
    [
        (CHAT, "chat"),
        (RESPONSES, "responses"),
        (ANTHROPIC, "anthropic"),
        (GENAI, "genai"),
        (CAMEL, "genai"),
        (GOOGLES, "genai"),
    ],
)
def test_a_function_is_known_by_its_form_and_read_from_it(tool, form):
    assert find_form(tool) == form
    other = "chat" if form != "chat" else "genai"
    assert translate_tools({"tools": [tool]}, other, keep) == [("f", "F.", SCHEMA, {})]
    assert translate_tools({"tools": [tool]}, form, keep) == [tool]


@pytest.mark.parametrize(
    "tool",
    [SEARCH, {"type": "custom", "custom": {"name": "f"}}, {"type": "bash_20250124", "name": "bash"}, SimpleNamespace()],
)
def test_what_is_not_a_function_of_a_known_form_stays_as_it_is(tool):
    assert find_form(tool) is None
    assert translate_tools({"tools": [tool]}, "chat", keep) == [tool]


def test_a_function_without_arguments_takes_an_empty_object():
    [function] = translate_tools({"tools": [{"type": "function", "function": {"name": "f"}}]}, "anthropic", keep)
    assert function == ("f", "", {"type": "object", "properties": {}}, {})


def test_strictness_and_marks_for_the_providers_cache_are_kept():
    tool = {**CHAT, "cache_control": {"type": "ephemeral"}, "function": {**CHAT["function"], "strict": True}}
    [function] = translate_tools({"tools": [tool]}, "anthropic", keep)
    assert function.extra == {"strict": True, "cache_control": {"type": "ephemeral"}}


def test_tools_that_are_not_a_list_are_named():
    with pytest.raises(ConfigurationError, match="tools is 5"):
        translate_tools({"tools": 5}, "chat", keep)


@pytest.mark.parametrize(("one", "other"), [("named", "required"), ("required", "auto"), ("auto", "omitted")])
def test_of_two_choices_the_weaker_one_is_taken(one, other):
    assert weaker_choice(one, other) == weaker_choice(other, one) == other


def test_a_tool_that_the_provider_runs_is_not_shut_out():
    def is_hosted(tool):
        return tool is SEARCH

    assert limit_choice(Capabilities(), [CHAT], is_hosted=is_hosted) == "named"
    assert limit_choice(Capabilities(), [CHAT, SEARCH], is_hosted=is_hosted) == "required"
    assert limit_choice(Capabilities(tool_choice="auto"), [SEARCH], is_hosted=is_hosted) == "auto"


@pytest.mark.parametrize(
    ("choice", "tools", "sent", "asks"),
    [
        ("named", [], {"forced": "User"}, False),
        ("named", [CHAT], {"forced": "User"}, False),
        ("named", [SEARCH], "required", True),
        ("required", [], "required", False),
        ("required", [CHAT], "required", True),
        ("auto", [], "auto", True),
        ("omitted", [], None, True),
    ],
)
def test_the_call_is_asked_for_wherever_it_is_not_certain(choice, tools, sent, asks):
    request, instruction = merge_tools(OURS, tools, None, Capabilities(tool_choice=choice))
    assert request["tools"] == [*tools, *OURS["tools"]]
    assert request.get("tool_choice") == sent
    assert ("User" in instruction) is asks


def test_the_callers_choice_is_kept_whatever_the_model_can_do():
    request, instruction = merge_tools(OURS, [], "required", Capabilities(tool_choice="omitted"))
    assert request["tool_choice"] == "required"
    assert not instruction

"""A tool choice in any provider's form reaches every other provider in its own."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from instructor.exceptions import ConfigurationError
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.genai import GENAI
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES

WIRES = {"chat": OPENAI_CHAT, "responses": OPENAI_RESPONSES, "anthropic": ANTHROPIC_MESSAGES, "genai": GENAI}
ASKED = [{"role": "user", "content": "Anna is 25."}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
NAMED = {
    "chat": {"type": "function", "function": {"name": "f"}},
    "responses": {"type": "function", "name": "f"},
    "anthropic": {"type": "tool", "name": "f"},
    "genai": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
}
WORDS = {
    "auto": {"chat": "auto", "anthropic": {"type": "auto"}, "genai": {"function_calling_config": {"mode": "AUTO"}}},
    "none": {"chat": "none", "anthropic": {"type": "none"}, "genai": {"function_calling_config": {"mode": "NONE"}}},
    "required": {
        "chat": "required",
        "anthropic": {"type": "any"},
        "genai": {"function_calling_config": {"mode": "ANY"}},
    },
}
CHOICES = [NAMED, *({**forms, "responses": forms["chat"]} for forms in WORDS.values())]
CHAT_ALLOWED = [{"type": "function", "function": {"name": name}} for name in "fg"]
ALLOWED = {
    "chat": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": CHAT_ALLOWED}},
    "responses": {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": name} for name in "fg"],
    },
    "genai": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f", "g"]}},
}


def chosen(form: str, choice: Any) -> Any:
    """What a wire sends for a caller's choice."""
    request = WIRES[form].write(ASKED, None, "m", {"tools": TOOLS, "tool_choice": choice})
    return request["config"]["tool_config"] if form == "genai" else request["tool_choice"]


@pytest.mark.parametrize("forms", [*CHOICES, ALLOWED], ids=["named", *WORDS, "allowed"])
@pytest.mark.parametrize("source", NAMED)
@pytest.mark.parametrize("target", NAMED)
def test_a_choice_is_sent_in_the_form_of_the_api_that_is_asked(forms, source, target):
    if source in forms and target in forms:
        assert chosen(target, forms[source]) == forms[target]


@pytest.mark.parametrize("form", NAMED)
def test_googles_names_may_be_in_camel_case(form):
    camel = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}
    sent = chosen(form, camel)
    assert sent == (NAMED[form] if form != "genai" else {"function_calling_config": camel["functionCallingConfig"]})


@pytest.mark.parametrize("config", [NAMED["genai"], types.ToolConfig(**NAMED["genai"])], ids=["dict", "object"])
@pytest.mark.parametrize("form", NAMED)
def test_googles_keyword_for_a_choice_reaches_every_provider(form, config):
    wire = WIRES[form]
    request = wire.write(ASKED, None, "m", {"tools": TOOLS, "tool_config": config})
    if form == "genai":
        assert request["config"]["tool_config"] == config
    else:
        assert request["tool_choice"] == NAMED[form]
        assert "tool_config" not in request


@pytest.mark.parametrize("form", ["chat", "responses", "anthropic"])
def test_what_only_google_can_configure_of_tools_is_refused_elsewhere(form):
    config = {**NAMED["genai"], "retrieval_config": {"language_code": "de"}}
    with pytest.raises(ConfigurationError, match=r"tool_choice instead: .*with retrieval_config"):
        WIRES[form].write(ASKED, None, "m", {"tools": TOOLS, "tool_config": config})


@pytest.mark.parametrize("form", ["chat", "responses"])
def test_the_word_any_becomes_required(form):
    assert chosen(form, "any") == "required"


def test_an_api_that_cannot_be_held_to_several_tools_is_held_to_some():
    assert chosen("anthropic", ALLOWED["chat"]) == {"type": "any"}


@pytest.mark.parametrize("choice", [{"type": "web_search"}, {"type": "custom", "custom": {"name": "f"}}, "sometimes"])
def test_what_no_form_explains_is_left_to_the_provider(choice):
    assert chosen("chat", choice) == choice
    assert chosen("responses", choice) == choice


@pytest.mark.parametrize("form", NAMED)
def test_what_only_one_provider_knows_is_kept_in_its_own_form(form):
    own = {
        "chat": {"type": "function", "function": {"name": "f"}, "x": 1},
        "responses": {"type": "function", "name": "f", "x": 1},
        "anthropic": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "genai": {"function_calling_config": {"mode": "VALIDATED"}},
    }
    assert chosen(form, own[form]) == own[form]


def test_one_call_at_a_time_is_written_where_each_api_has_it():
    alone = {"type": "auto", "disable_parallel_tool_use": True}
    for wire in (OPENAI_CHAT, OPENAI_RESPONSES):
        request = wire.write(ASKED, None, "m", {"tools": TOOLS, "tool_choice": alone})
        assert (request["tool_choice"], request["parallel_tool_calls"]) == ("auto", False)
    for choice in ({}, {"tool_choice": "auto"}):
        request = ANTHROPIC_MESSAGES.write(ASKED, None, "m", {"tools": TOOLS, "parallel_tool_calls": False, **choice})
        assert request["tool_choice"] == alone
        assert "parallel_tool_calls" not in request

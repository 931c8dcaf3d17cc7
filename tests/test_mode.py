"""The modes, and every name that 1.x had for them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from instructor.exceptions import ModeError
from instructor.mode import Mode, resolve_mode

# The members of `instructor.Mode` in 1.17.0 that are not members today: name, value, what it resolves to.
LEGACY = [
    ("FUNCTIONS", "function_call", Mode.TOOLS),
    ("TOOLS_STRICT", "tools_strict", Mode.TOOLS),
    ("JSON_O1", "json_o1", Mode.JSON_SCHEMA),
    ("RESPONSES_TOOLS_WITH_INBUILT_TOOLS", "responses_tools_with_inbuilt_tools", Mode.RESPONSES_TOOLS),
    ("XAI_JSON", "xai_json", Mode.MD_JSON),
    ("XAI_TOOLS", "xai_tools", Mode.TOOLS),
    ("ANTHROPIC_TOOLS", "anthropic_tools", Mode.TOOLS),
    ("ANTHROPIC_REASONING_TOOLS", "anthropic_reasoning_tools", Mode.TOOLS),
    ("ANTHROPIC_JSON", "anthropic_json", Mode.JSON),
    ("ANTHROPIC_PARALLEL_TOOLS", "anthropic_parallel_tools", Mode.PARALLEL_TOOLS),
    ("MISTRAL_TOOLS", "mistral_tools", Mode.TOOLS),
    ("MISTRAL_STRUCTURED_OUTPUTS", "mistral_structured_outputs", Mode.JSON_SCHEMA),
    ("VERTEXAI_TOOLS", "vertexai_tools", Mode.TOOLS),
    ("VERTEXAI_JSON", "vertexai_json", Mode.JSON),
    ("VERTEXAI_PARALLEL_TOOLS", "vertexai_parallel_tools", Mode.PARALLEL_TOOLS),
    ("GEMINI_JSON", "gemini_json", Mode.JSON),
    ("GEMINI_TOOLS", "gemini_tools", Mode.TOOLS),
    ("GENAI_TOOLS", "genai_tools", Mode.TOOLS),
    ("GENAI_JSON", "genai_json", Mode.JSON),
    ("GENAI_STRUCTURED_OUTPUTS", "genai_structured_outputs", Mode.JSON),
    ("COHERE_TOOLS", "cohere_tools", Mode.TOOLS),
    ("COHERE_JSON_SCHEMA", "json_object", Mode.JSON_SCHEMA),
    ("CEREBRAS_TOOLS", "cerebras_tools", Mode.TOOLS),
    ("CEREBRAS_JSON", "cerebras_json", Mode.MD_JSON),
    ("FIREWORKS_TOOLS", "fireworks_tools", Mode.TOOLS),
    ("FIREWORKS_JSON", "fireworks_json", Mode.MD_JSON),
    ("WRITER_TOOLS", "writer_tools", Mode.TOOLS),
    ("WRITER_JSON", "writer_json", Mode.MD_JSON),
    ("BEDROCK_TOOLS", "bedrock_tools", Mode.TOOLS),
    ("BEDROCK_JSON", "bedrock_json", Mode.MD_JSON),
    ("PERPLEXITY_JSON", "perplexity_json", Mode.MD_JSON),
    ("OPENROUTER_STRUCTURED_OUTPUTS", "openrouter_structured_outputs", Mode.JSON_SCHEMA),
]


@pytest.mark.parametrize(("name", "value", "mode"), LEGACY)
def test_every_name_of_1x_resolves_with_one_warning_that_names_todays(name, value, mode):
    for resolve in (
        lambda: getattr(Mode, name),
        lambda: Mode[name],
        lambda: Mode(value),
        lambda: Mode(name),
        lambda: Mode(name.lower()),
        lambda: resolve_mode(name),
        lambda: resolve_mode(value),
    ):
        with pytest.warns(DeprecationWarning, match=rf"{name} of instructor 1\.x is now {mode.name};") as caught:
            assert resolve() is mode
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("mode", Mode)
def test_a_mode_is_found_by_name_and_value_in_any_case_without_a_warning(mode):
    for text in (mode.name, mode.name.lower(), mode.value, mode.value.upper(), f" {mode.name.title()} "):
        assert Mode(text) is resolve_mode(text) is mode
    assert resolve_mode(mode) is mode


@pytest.mark.parametrize("name", ["TELEPATHY", "", "__wrapped__"])
def test_an_unknown_name_is_an_error(name):
    with pytest.raises(ModeError, match="TOOLS, JSON, JSON_SCHEMA"):
        resolve_mode(name)
    with pytest.raises(ValueError, match=f"There is no mode '{name}'. Use one of TOOLS"):
        Mode(name)
    assert not hasattr(Mode, name)


def test_a_name_in_brackets_is_that_of_a_member_or_of_1x():
    assert [Mode[mode.name] for mode in Mode] == list(Mode)
    with pytest.raises(KeyError, match="TELEPATHY"):
        Mode["TELEPATHY"]


def test_every_mode_is_one_of_tools_or_of_json():
    assert Mode.tool_modes() == {Mode.TOOLS, Mode.RESPONSES_TOOLS, Mode.PARALLEL_TOOLS}
    assert Mode.json_modes() == {Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON}


def test_a_value_that_is_not_text_is_an_error():
    with pytest.raises(ModeError, match="There is no mode '7'"):
        Mode(7)


def test_modes_are_still_an_ordinary_enum():
    assert [mode.name for mode in Mode] == [
        "TOOLS",
        "JSON",
        "JSON_SCHEMA",
        "MD_JSON",
        "RESPONSES_TOOLS",
        "PARALLEL_TOOLS",
    ]
    assert pickle.loads(pickle.dumps(Mode.TOOLS)) is copy.deepcopy(Mode.TOOLS) is Mode.TOOLS


def test_an_attribute_of_1x_works_as_the_first_line_of_a_program():
    code = "import instructor; print(instructor.Mode.ANTHROPIC_TOOLS.name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "TOOLS"

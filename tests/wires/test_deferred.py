"""Wires that are imported on first use."""

from __future__ import annotations

import pickle
from importlib import import_module

import pytest

from instructor.mode import Mode
from instructor.providers.sdks import SDKS
from instructor.wires.deferred import defer_wire
from instructor.wires.wire import Wire, lacks_of

HOMES = {
    "openai_chat": "openai_chat.OPENAI_CHAT",
    "openai_responses": "openai_responses.OPENAI_RESPONSES",
    "anthropic_messages": "anthropic.ANTHROPIC_MESSAGES",
    "genai": "genai.GENAI",
}


OWN = {name: SDKS[name] for name in ("openai", "anthropic", "genai")}
"""Others may be registered by now."""


@pytest.mark.parametrize("name", HOMES)
def test_a_row_says_of_a_wire_what_it_says_of_itself(name: str):
    """Every key holds the name, and what the API lacks is left out of it."""
    [row] = {wire for sdk in OWN.values() for wire in sdk.wires.values() if wire.name == name}
    module, _, constant = HOMES[name].partition(".")
    wire: Wire = getattr(import_module(f"instructor.wires.{module}"), constant)
    assert (row.name, row.modes, lacks_of(row)) == (wire.name, wire.modes, lacks_of(wire))
    assert row.operation == wire.operation
    assert row.streaming is wire.streaming
    assert row.bind == wire.bind


def test_a_wire_lacks_what_its_file_lacks():
    row = defer_wire("instructor.wires.openai_chat.OPENAI_CHAT", "openai_chat", (Mode.TOOLS,))
    assert not hasattr(row, "is_paused")
    assert hasattr(defer_wire("instructor.wires.anthropic.ANTHROPIC_MESSAGES", "any", (Mode.TOOLS,)), "is_paused")


def test_a_wire_can_be_copied_before_it_is_imported():
    row = defer_wire("instructor.wires.nowhere.NOTHING", "any", (Mode.TOOLS,))
    assert pickle.loads(pickle.dumps(row)).name == "any"

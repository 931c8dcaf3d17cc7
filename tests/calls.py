"""Answers that make several calls, in the form of each API, and the models that give them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replies import chat_completion, generated, message, response
from streams import CLAUDE, CUTS, GEMINI, OPENAI, encode

RESPONSES = "openai/gpt-6-luna"
"""A model that calls tools through the Responses API only."""
MODELS = {OPENAI: "openai_chat", RESPONSES: "openai_responses", CLAUDE: "anthropic_messages", GEMINI: "genai"}

both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
models = pytest.mark.parametrize("model", MODELS)


def answer_of(model: str, called: list[tuple[str, Any]]) -> Any:
    """An answer that makes several calls."""
    texts = [json.dumps(value, ensure_ascii=False) for _, value in called]
    ids = [f"call_{number}" for number in range(len(called))]
    if model == RESPONSES:
        items = [
            {"type": "function_call", "call_id": one, "name": name, "arguments": text}
            for one, (name, _), text in zip(ids, called, texts, strict=True)
        ]
        return response({"type": "reasoning", "summary": [], "encrypted_content": "c2ln"}, *items)
    if model == CLAUDE:
        thinking = {"type": "thinking", "thinking": "Three of them.", "signature": "c2ln"}
        blocks = [
            {"type": "tool_use", "id": one, "name": name, "input": value}
            for one, (name, value) in zip(ids, called, strict=True)
        ]
        return message(thinking, *blocks, stop_reason="tool_use")
    if model == GEMINI:
        parts: list[Any] = [{"functionCall": {"name": name, "args": value}} for name, value in called]
        parts[0]["thoughtSignature"] = "c2ln"
        return generated({"text": "Three of them.", "thought": True}, *parts)
    body = chat_completion(tool="x", arguments="{}")
    body["choices"][0]["message"]["tool_calls"] = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": text}}
        for one, (name, _), text in zip(ids, called, texts, strict=True)
    ]
    return body


def events_of(model: str, body: Any) -> list[bytes]:
    events = list(map(encode, CUTS[MODELS[model]](body)))
    return [*events, b"data: [DONE]\n\n"] if model == OPENAI else events

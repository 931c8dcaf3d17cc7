"""Completions of the openai SDK's own class, made here instead of by a server."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_CHARACTERS_PER_TOKEN = 4
"""What English text comes to with most tokenisers, roughly."""


def make_completion(
    maker: str,
    content: str | None,
    *,
    tool: str = "",
    model: str = "",
    finish_reason: str = "",
    refusal: str | None = None,
    fingerprint: str | None = None,
    seed: Any = None,
    input_tokens: int = 0,
    output_tokens: int | None = None,
) -> Any:
    """Make an ``openai.types.chat.ChatCompletion`` (https://platform.openai.com/docs/api-reference/chat/object).

    Args:
        maker: Who answers; the start of the completion's id.
        content: The answer's text, or the arguments of the tool call.
        tool: The function to call with `content`; empty to answer with text.
        model: The model asked.
        finish_reason: Why the answer ends; by default as the provider does (``tool_calls`` or ``stop``).
        refusal: The text of a refusal.
        fingerprint: The completion's ``system_fingerprint``.
        seed: What makes the id: the same seed and content give the same id.
        input_tokens: Tokens read.
        output_tokens: Tokens written; by default counted.
    """
    # Here, not above: the SDK takes half a second to import, and a hit does not need it.
    from openai.types.chat import ChatCompletion

    written = count_tokens(content or refusal or "") if output_tokens is None else output_tokens
    number = hashlib.sha256(f"{_write(seed)}\n{content}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    message: dict[str, Any] = {"role": "assistant", "content": None if tool else content, "refusal": refusal}
    if tool and content is not None:
        call = {"id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": content}}
        message["tool_calls"] = [call]
    return ChatCompletion.model_validate(
        {
            "id": f"{maker}-{number}",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "system_fingerprint": fingerprint,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason or ("tool_calls" if tool else "stop"),
                    "message": message,
                    "logprobs": None,
                }
            ],
            "usage": {
                "prompt_tokens": input_tokens,
                "completion_tokens": written,
                "total_tokens": input_tokens + written,
            },
        }
    )


def count_tokens(value: Any) -> int:
    """Estimate tokens: a quarter of the characters, and at least one where there is anything."""
    text = value if isinstance(value, str) else _write(value)
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)

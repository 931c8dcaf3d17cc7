"""Completions of the openai SDK's own class, made here instead of by a server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from instructor.usage import Usage


def make_completion(
    provider: str,
    request: Mapping[str, Any],
    content: str | None,
    *,
    tool: str = "",
    finish_reason: str = "",
    refusal: str | None = None,
    fingerprint: str | None = None,
    usage: Usage | None = None,
) -> Any:
    """Make an ``openai.types.chat.ChatCompletion`` (https://platform.openai.com/docs/api-reference/chat/object).

    `content` holds the answer's text, or the arguments of `tool` where it is called. The same request and content give
    the same id. The finish reason is ``tool_calls`` or ``stop`` by default, and tokens are estimated by default.
    """
    # Here, not above: importing the SDK takes half a second, and a cache hit doesn't need it.
    from openai.types.chat import ChatCompletion

    prompt = json.dumps([request.get(name) for name in ("messages", "tools", "response_format")], default=str)
    number = hashlib.sha256(f"{prompt}\n{content}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    message: dict[str, Any] = {"role": "assistant", "content": None if tool else content, "refusal": refusal}
    if tool:
        call = {"id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": content}}
        message["tool_calls"] = [call]
    finish_reason = finish_reason or ("tool_calls" if tool else "stop")
    usage = usage or Usage(1 + len(prompt) // 4, 1 + len(content or refusal or "") // 4)  # a rough figure
    tokens: dict[str, Any] = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    tokens["total_tokens"] = usage.total_tokens
    if usage.cached_tokens or usage.cache_write_tokens:
        read, written = usage.cached_tokens, usage.cache_write_tokens
        tokens["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": written}
    return ChatCompletion.model_validate(
        {
            "id": f"{provider}-{number}",
            "object": "chat.completion",
            "created": 0,
            "model": str(request.get("model", "")),
            "system_fingerprint": fingerprint,
            "choices": [{"index": 0, "finish_reason": finish_reason, "message": message, "logprobs": None}],
            "usage": tokens,
        }
    )

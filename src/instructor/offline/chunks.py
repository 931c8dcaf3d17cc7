"""A completion in chunks, as the API streams it: ``chat.completion.chunk``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from instructor.wires.text import get_list, get_path

SIZE = 12
"""Characters of one chunk, about three tokens."""


def stream_completion(completion: Any, size: int = SIZE) -> Iterator[Any]:
    """Cut a ``ChatCompletion`` into chunks: the role, pieces of the answer, the finish reason, the usage."""
    from openai.types.chat import ChatCompletionChunk

    head = {"id": completion.id, "created": completion.created, "model": completion.model}
    head |= {"object": "chat.completion.chunk", "system_fingerprint": completion.system_fingerprint}

    def chunk(choices: list[Any], **more: Any) -> Any:
        return ChatCompletionChunk.construct(**head, choices=choices, **more)

    for choice in completion.choices:
        for delta in _cut(choice.message, size):
            yield chunk([{"index": choice.index, "delta": delta, "finish_reason": None}])
        yield chunk([{"index": choice.index, "delta": {}, "finish_reason": choice.finish_reason}])
    if completion.usage is not None:
        yield chunk([], usage=completion.usage.to_dict())


def _cut(message: Any, size: int) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for name in ("content", "refusal"):
        text = get_path(message, name) or ""
        yield from ({name: text[at : at + size]} for at in range(0, len(text), size))
    for index, call in enumerate(get_list(message, "tool_calls")):
        begun = {"name": call.function.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": begun}]}
        text = call.function.arguments
        for at in range(0, len(text), size):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text[at : at + size]}}]}


async def stream_later(completion: Any, size: int = SIZE) -> AsyncIterator[Any]:
    """As `stream_completion`, for tasks: the loop gets its turn between the chunks."""
    import asyncio

    for chunk in stream_completion(completion, size):
        await asyncio.sleep(0)
        yield chunk

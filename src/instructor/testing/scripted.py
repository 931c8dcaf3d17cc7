"""An adapter that answers with what a test scripted: for testing code that uses a client, without a provider."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pydantic

from instructor.exceptions import ConfigurationError, ProviderError
from instructor.messages import Request
from instructor.offline.adapter import ChatAdapter, find_schema, send_completion
from instructor.offline.completion import make_completion
from instructor.usage import Usage
from instructor.wires.text import dump_json

__all__ = ["ScriptedAdapter", "ScriptedReply"]


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """One reply that is more than its content.

    Attributes:
        content: The answer: text; a dict, a list or a model, which is sent as JSON; None for an empty message.
        finish_reason: Why it ends: ``"length"`` for one that was cut off, ``"content_filter"`` for a filter.
        refusal: The text of a refusal.
        usage: What it costs in tokens; if None, an estimate by its length.
        as_text: Whether it is text even where the request offers a tool.

    Example:
        >>> cut_off = ScriptedReply('{"name": "Ja', finish_reason="length")
        >>> refusal = ScriptedReply(None, refusal="I cannot help with that.")
    """

    content: Any = None
    finish_reason: str = ""
    refusal: str | None = None
    usage: Usage | None = None
    as_text: bool = False


class ScriptedAdapter(ChatAdapter):
    """An `Adapter` that answers each request with the next of your replies and remembers the requests.

    Use it to test your own code with the real client around it, retries and failures included. Requests and completions
    are those of OpenAI's chat API. The answer is a tool call if the request offers a tool (`Mode.TOOLS`), else text.

    Args:
        replies: What to answer, in turn: text, a dict, a list, a model, a `ScriptedReply`, a completion of the SDK;
            an exception, which is raised; or a function, plain or ``async``, that takes the request and returns one
            of these. A single function instead of a list answers every request.
        asynchronous: Whether `send` returns an awaitable. An ``async`` reply needs it.
        provider: The vendor's name in events and cache entries.

    Attributes:
        requests: The keywords of every request so far, oldest first.

    Raises:
        ConfigurationError: ``replies`` is neither a list of replies nor a function.

    Example:
        >>> from instructor import Instructor, Mode
        >>> from instructor.wires.openai_chat import OPENAI_CHAT
        >>> from pydantic import BaseModel
        >>> class User(BaseModel):
        ...     name: str
        ...     age: int
        >>> adapter = ScriptedAdapter([{"name": "Jason", "age": "old"}, {"name": "Jason", "age": 25}])
        >>> client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="any")
        >>> client.create(response_model=User, messages=[{"role": "user", "content": "Jason is 25"}]).age
        25
        >>> len(adapter.requests)
        2
    """

    def __init__(
        self,
        replies: Iterable[Any] | Callable[[Request], Any],
        *,
        asynchronous: bool = False,
        provider: str = "scripted",
    ) -> None:
        if not callable(replies) and not isinstance(replies, (list, tuple, Iterator)):
            raise ConfigurationError(f"Give a list of replies or a function, not a {_name(replies)}.")
        self.provider = provider
        self.asynchronous = asynchronous
        self.requests: list[Request] = []
        self._answer = replies if callable(replies) else None
        self._replies: list[Any] = [] if callable(replies) else list(replies)
        self._lock = threading.Lock()

    def send(self, operation: str, request: Request) -> Any:
        """Take the next reply.

        Raises:
            ProviderError: There are no more replies.
            Exception: The reply is one.
        """
        del operation  # all are answered alike
        if self.asynchronous:
            return self._send_later(request)
        reply = self._next(request)
        if inspect.isawaitable(reply):
            if inspect.iscoroutine(reply):
                reply.close()
            raise ConfigurationError("An async reply needs ScriptedAdapter(..., asynchronous=True).")
        return send_completion(_complete(self.provider, request, reply), request, asynchronous=False)

    async def _send_later(self, request: Request) -> Any:
        await asyncio.sleep(0)  # as with a real provider, other tasks run before the answer
        reply = self._next(request)
        if inspect.isawaitable(reply):
            reply = await reply
        return send_completion(_complete(self.provider, request, reply), request, asynchronous=True)

    def _next(self, request: Request) -> Any:
        with self._lock:
            at = len(self.requests)
            self.requests.append(request)
        if self._answer is not None:
            return self._answer(request)
        if at >= len(self._replies):
            raise ProviderError(
                self.provider, f"Request {at + 1} came, but the script ends after {len(self._replies)}."
            )
        reply = self._replies[at]
        return reply(request) if callable(reply) else reply


def _complete(provider: str, request: Request, reply: Any) -> Any:
    if isinstance(reply, BaseException):
        raise reply
    if _name(reply) == "ChatCompletion":
        return reply
    script = reply if isinstance(reply, ScriptedReply) else ScriptedReply(reply)
    is_text = script.as_text or script.refusal or script.content is None
    return make_completion(
        provider,
        request,
        _write(script.content),
        tool="" if is_text else find_schema(request)[0],
        finish_reason=script.finish_reason,
        refusal=script.refusal,
        usage=script.usage,
    )


def _name(value: Any) -> str:
    return type(value).__name__


def _write(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, pydantic.BaseModel):
        return content.model_dump_json(by_alias=True)
    return dump_json(content)

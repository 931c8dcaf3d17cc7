"""Folding: how the chunks of a streamed answer become text to show at once, and the completion in the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, cast

from instructor.exceptions import ProviderError
from instructor.messages import Request
from instructor.wires.spec import ToolSpec
from instructor.wires.text import get_path, get_text

TEXT = -1
"""The number of an answer that comes as text and not as a tool call."""


@dataclass(slots=True)
class Delta:
    """A piece of an answer. It isn't changed once it is made; a stream makes one for each chunk, so it isn't frozen.

    Attributes:
        number: Which answer it belongs to: the number of the tool call, or `TEXT`.
        tool: The name of the tool called; empty for text.
        text: The piece: of the JSON of the arguments, or of the text.
    """

    number: int
    tool: str
    text: str


class Assembled(NamedTuple):
    """A completion that was put together.

    Attributes:
        kind: The name of the SDK's class.
        body: Its data, as the API would have sent it in one piece.
    """

    kind: str
    body: dict[str, Any]


class Fold(Protocol):
    """Takes the chunks of one answer, in order."""

    def add(self, chunk: Any) -> Iterable[Delta]:
        """Take the next chunk; return what it adds to the answer."""
        ...

    def finish(self) -> Assembled:
        """Put the completion together, after the last chunk."""
        ...


class Streaming(NamedTuple):
    """How a wire asks for a streamed answer, and reads it.

    Attributes:
        operation: The SDK method, as `Wire.operation`.
        arguments: What the request shows besides, such as ``{"stream": True}``.
        fold: Makes what takes the chunks of one answer, of the request and of what our tools take.
        tool_arguments: What each of our tools shows besides, where tool calls are streamed only on demand.
    """

    operation: str
    arguments: Mapping[str, Any]
    fold: Callable[[Request, Sequence[ToolSpec]], Fold]
    tool_arguments: Mapping[str, Any] = MappingProxyType({})

    def write(self, request: Request, names: Collection[str], refused: Collection[str] = ()) -> Request:
        """Ask for the answer to a request as a stream. What the caller set in a member of ours stays."""
        asked = {name: _add(value, request.get(name)) for name, value in self.arguments.items() if name not in refused}
        shown = {name: value for name, value in self.tool_arguments.items() if name not in refused}
        if shown and "tools" in request:
            asked["tools"] = [
                {**tool, **shown} if get_text(tool, "name") in names else tool for tool in request["tools"]
            ]
        return {**request, **asked}


def _add(ours: Any, theirs: Any) -> Any:
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        return cast("Any", ours)
    return {**cast("Mapping[str, Any]", ours), **cast("Mapping[str, Any]", theirs)}


def ended_early(wire: str, reason: str = "", code: str = "") -> ProviderError:
    """The error of a stream that ended, or went wrong, before the answer was whole.

    `code` is the provider's word for the reason, where it sent one.
    """
    why = reason or "the provider did not say that the answer is complete"
    return ProviderError(wire, f"The stream ended early: {why}. Ask again.", code=code or "ended_early")


class _Pieces(list[str]):
    """A text that is still growing: adding to a str copies it."""


_WHOLE = frozenset({"id", "type", "role", "object", "name", "model", "format", "status", "mime_type"})
"""Members that come whole with each chunk, or once, and never piece by piece."""


def members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of a chunk that were sent, whether it is data or an object of an SDK."""
    return ((name, member) for name, member in look_into(value).items() if member is not None)


def look_into(value: Any) -> Mapping[str, Any]:
    """As `members_of`, but with members that are None, and not to be changed. This runs for every chunk."""
    data: dict[str, Any] = value  # and not a cast, which is a call
    if isinstance(value, dict):
        return data
    extra: dict[str, Any] | None = getattr(value, "__pydantic_extra__", None)
    members: dict[str, Any] = value.__dict__
    return {**members, **extra} if extra else members


def merge(whole: dict[str, Any], delta: Any) -> None:
    """Add a delta to what has come: texts grow, lists grow or are merged by their items' ``index``, objects merge.

    This is the rule that OpenAI's own SDK follows for its deltas.
    """
    for name, value in members_of(delta):
        if isinstance(value, str) and name not in _WHOLE:
            grow(whole, name, value)
        elif isinstance(value, str):
            whole[name] = value or whole.get(name, value)
        elif isinstance(value, list):
            _merge_list(whole.setdefault(name, []), cast("list[Any]", value))
        elif isinstance(value, Mapping) or hasattr(value, "__dict__"):
            merge(whole.setdefault(name, {}), cast("Any", value))
        else:
            whole[name] = value


def grow(whole: dict[str, Any], name: str, text: str) -> None:
    """Add to a text."""
    pieces: _Pieces = whole.setdefault(name, _Pieces())
    pieces.append(text)


def _merge_list(whole: list[Any], items: list[Any]) -> None:
    for item in items:
        index = None if isinstance(item, (str, int, float)) else dict(members_of(item)).get("index")
        if index is None:
            whole.append(plain(item))
            continue
        known: dict[str, Any] | None = next((one for one in whole if get_path(one, "index") == index), None)
        if known is None:
            whole.append(known := {})
        merge(known, item)


def plain(value: Any) -> Any:
    """Write a chunk's member as plain data, without members that are None."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, list):
        return [plain(item) for item in cast("list[Any]", value)]
    return {name: plain(member) for name, member in members_of(value)}


def settle(whole: Any) -> Any:
    """Turn what `merge` has built into plain data."""
    if isinstance(whole, _Pieces):
        return "".join(whole)
    if isinstance(whole, dict):
        return {name: settle(value) for name, value in cast("dict[str, Any]", whole).items()}
    return [settle(item) for item in cast("list[Any]", whole)] if isinstance(whole, list) else whole

"""Folding: how the chunks of a streamed answer become text to show at once, and the completion in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, cast

from instructor.wires.text import get_path

TEXT = -1
"""The number of an answer that comes as text and not as a tool call."""


class Delta(NamedTuple):
    """A piece of an answer.

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
        """Put the completion together, after the last chunk.

        Raises:
            ProviderError: The stream ended before the answer did.
        """
        ...


class Streaming(NamedTuple):
    """How a wire asks for a streamed answer, and reads it.

    Attributes:
        operation: The SDK method, as `Wire.operation`.
        arguments: What the request shows besides, such as ``{"stream": True}``.
        fold: Makes what takes the chunks of one answer.
        adapt: Changes the request's tools, where tool calls are streamed only on demand.
    """

    operation: str
    arguments: Mapping[str, Any]
    fold: Callable[[], Fold]
    adapt: Callable[[dict[str, Any]], dict[str, Any]] = dict


class _Pieces(list[str]):
    """A text that is still growing: adding to a str copies it."""


_WHOLE = frozenset({"id", "type", "role", "object", "name", "model", "format", "status", "mime_type"})
"""Members that come whole with each chunk, or once, and never piece by piece."""


def members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of a chunk that were sent, whether it is data or an object of an SDK."""
    if isinstance(value, Mapping):
        items: Iterable[tuple[str, Any]] = cast("Mapping[str, Any]", value).items()
    else:
        extra: dict[str, Any] = getattr(value, "__pydantic_extra__", None) or {}
        items = [*cast("dict[str, Any]", vars(value)).items(), *extra.items()]
    return ((name, member) for name, member in items if member is not None)


def merge(whole: dict[str, Any], delta: Any) -> None:
    """Add a delta to what has come: texts grow, lists grow or are merged by their items' ``index``, objects merge.

    This is the rule that OpenAI's own SDK follows for its deltas.
    """
    for name, value in members_of(delta):
        if isinstance(value, str) and name not in _WHOLE:
            whole.setdefault(name, _Pieces()).append(value)
        elif isinstance(value, str):
            whole[name] = value or whole.get(name, value)
        elif isinstance(value, list):
            _merge_list(whole.setdefault(name, []), cast("list[Any]", value))
        elif isinstance(value, Mapping) or hasattr(value, "__dict__"):
            merge(whole.setdefault(name, {}), cast("Any", value))
        else:
            whole[name] = value


def _merge_list(whole: list[Any], items: list[Any]) -> None:
    for item in items:
        index = None if isinstance(item, (str, int, float)) else dict(members_of(item)).get("index")
        if index is None:
            whole.append(_plain(item))
            continue
        known: dict[str, Any] | None = next((one for one in whole if get_path(one, "index") == index), None)
        if known is None:
            whole.append(known := {})
        merge(known, item)


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return {name: _plain(member) for name, member in members_of(value)}


def settle(whole: Any) -> Any:
    """Turn what `merge` has built into plain data."""
    if isinstance(whole, _Pieces):
        return "".join(whole)
    if isinstance(whole, dict):
        return {name: settle(value) for name, value in cast("dict[str, Any]", whole).items()}
    return [settle(item) for item in cast("list[Any]", whole)] if isinstance(whole, list) else whole

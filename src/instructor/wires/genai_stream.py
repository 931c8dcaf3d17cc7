"""The chunks of Google's Gemini API: each is a ``GenerateContentResponse`` that holds a piece of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from instructor.messages import Request
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, ended_early
from instructor.wires.genai_partial_args import PartialArgs
from instructor.wires.spec import ToolSpec
from instructor.wires.text import dump_json, get_list, get_path, get_text, parse_json

_NAME = "genai"
_LISTS = {"citation_metadata": ("citations",), "logprobs_result": ("chosen_candidates", "top_candidates")}
"""Lists of a candidate that grow; of its other members the last one counts."""
_AT_ONCE = 256


class ResponseFold:
    """A `Fold` of Gemini's answers. Candidates beyond the first are kept, and only the first is the answer."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del specs
        config: Any = get_path(request, "config")
        self._is_parsed = get_path(config, "response_json_schema") is not None
        self._body: dict[str, Any] = {}
        self._candidates: dict[int, _Candidate] = {}
        self._calls = 0
        self._open: PartialArgs | None = None

    def add(self, chunk: Any) -> list[Delta]:
        """Take a chunk."""
        members = _members(chunk)
        candidates: list[dict[str, Any]] = members.pop("candidates", None) or []
        known_usage: dict[str, Any] | None = self._body.get("usage_metadata")
        if known_usage:
            members["usage_metadata"] = known_usage | (members.get("usage_metadata") or {})
        self._body |= members
        deltas: list[Delta] = []
        for piece in candidates:
            index = piece.get("index") or 0
            known = self._candidates.get(index)
            if known is None:
                known = self._candidates[index] = _Candidate()
            known.add(piece)
            if index == 0:
                deltas += (delta for part in get_list(piece, "content", "parts") for delta in self._read_part(part))
        return deltas

    def _read_part(self, part: Any) -> Iterator[Delta]:
        call, text = get_path(part, "function_call"), get_text(part, "text")
        if call is not None:
            yield from self._read_call(call)
        elif text and not get_path(part, "thought"):
            yield Delta(TEXT, "", text)

    def _read_call(self, call: Any) -> Iterator[Delta]:
        """Read a call, which comes whole, or on Vertex AI in pieces on demand."""
        name, is_begun = get_text(call, "name"), self._open is not None
        if self._open is None:
            if not get_path(call, "will_continue") and not get_list(call, "partial_args"):
                yield Delta(self._calls, name, dump_json(get_path(call, "args") or {}))
                self._calls += 1
                return
            self._open = PartialArgs(name)
        text = "".join(map(self._open.add, get_list(call, "partial_args")))
        is_over = not get_path(call, "will_continue")
        if text or is_over or not is_begun:
            yield Delta(self._calls, self._open.name, text + (self._open.close() if is_over else ""))
        if is_over:
            self._open, self._calls = None, self._calls + 1

    def finish(self) -> Assembled:
        """Put the ``GenerateContentResponse`` together."""
        candidates = [candidate.join() for _, candidate in sorted(self._candidates.items())]
        if not (candidates and candidates[0].get("finish_reason")) and not self._body.get("prompt_feedback"):
            raise ended_early(_NAME)
        return Assembled("GenerateContentResponse", self._body | self._describe(candidates))

    def _describe(self, candidates: list[dict[str, Any]]) -> dict[str, Any]:
        parts = get_list(candidates[0], "content", "parts") if candidates else []
        text = "".join(get_text(part, "text") for part in parts if not get_path(part, "thought"))
        parsed = parse_json(text) if self._is_parsed else None  # as the SDK does for an answer in one piece
        return ({"candidates": candidates} if candidates else {}) | ({} if parsed is None else {"parsed": parsed})


class _Candidate:
    """The pieces of one candidate. Some hundred are joined at a time, because each takes far more memory than its text."""

    def __init__(self) -> None:
        self._joined: list[dict[str, Any]] = []
        self._latest: list[dict[str, Any]] = []

    def add(self, piece: dict[str, Any]) -> None:
        """Take a piece."""
        self._latest.append(piece)
        if len(self._latest) % _AT_ONCE == 0 and not _ends_open(self._latest):
            self._joined.append(_join_candidates(self._latest))
            self._latest = []

    def join(self) -> dict[str, Any]:
        """Put the candidate together."""
        return _join_candidates([*self._joined, *self._latest])


def _members(chunk: Any) -> dict[str, Any]:
    """The members of a chunk that were sent; ``parsed`` is what the SDK made of a piece of the text."""
    if isinstance(chunk, BaseModel):
        return chunk.model_dump(mode="json", exclude_unset=True, exclude={"parsed"}, warnings=False)
    return {**cast("Mapping[str, Any]", chunk)}


def _join_candidates(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    contents: list[Mapping[str, Any]] = [piece["content"] for piece in pieces if piece.get("content")]
    for piece in pieces:
        for name, value in piece.items():
            if value is not None:
                whole[name] = _add_lists(whole.get(name), value, _LISTS.get(name, ()))
    if contents:
        content = {name: value for piece in contents for name, value in piece.items()}
        parts = [part for piece in contents for part in piece.get("parts") or ()]
        whole["content"] = {**content, "parts": _join_parts(parts)} if parts else content
    return whole


def _add_lists(before: Any, value: Any, names: Sequence[str]) -> Any:
    lists = {name: [*get_list(before, name), *get_list(value, name)] for name in names}
    return {**value, **{name: items for name, items in lists.items() if items}} if lists else value


def _join_parts(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the pieces of each text and of each call."""
    runs: list[list[dict[str, Any]]] = []
    for part in parts:
        if runs and (_goes_on(runs[-1][-1], part) or (_is_open(runs[-1][-1]) and "function_call" in part)):
            runs[-1].append(part)
        else:
            runs.append([part])
    return [_join_run(run) for run in runs]


def _goes_on(before: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether a part is the next piece of a text. A signature ends one."""
    if not (_is_text(before) and _is_text(part)) or "thought_signature" in before:
        return False
    return bool(before.get("thought")) == bool(part.get("thought"))


def _is_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= {"text", "thought", "thought_signature"}


def _ends_open(pieces: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last part is a piece of a call that goes on, so that it can't be joined yet."""
    parts = [part for piece in pieces for part in get_list(piece, "content", "parts")]
    return bool(parts) and _is_open(parts[-1])


def _is_open(part: Mapping[str, Any]) -> bool:
    return bool(get_path(part.get("function_call"), "will_continue"))


def _join_run(run: Sequence[dict[str, Any]]) -> dict[str, Any]:
    whole = {name: value for part in run for name, value in part.items()}
    if "text" in whole:
        return {**whole, "text": "".join(part["text"] for part in run)}
    calls: list[dict[str, Any]] = [part["function_call"] for part in run if part.get("function_call") is not None]
    pieces = [piece for call in calls for piece in call.get("partial_args") or ()]
    if len(run) == 1 and not pieces:
        return whole
    args = PartialArgs("")
    text = "".join([*map(args.add, pieces), args.close()])
    members = {name: value for call in calls for name, value in call.items() if value is not None}
    others = {name: value for name, value in members.items() if name not in ("partial_args", "will_continue")}
    return {**whole, "function_call": {**others, "args": parse_json(text)}}


GENAI_STREAMING = Streaming("models.generate_content_stream", {}, ResponseFold)

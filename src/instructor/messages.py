"""The conversation and the answer as plain data: what every room passes on."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias, TypeGuard, cast

Messages = list[dict[str, Any]]
"""A conversation in the form of OpenAI's chat API: dicts with ``role`` and ``content``."""

Conversation: TypeAlias = Any
"""What a caller passes as ``messages``, before it is checked: a list of dicts or of an SDK's own objects."""

Value: TypeAlias = Any
"""What a response model makes of an answer. Its type is the caller's, and not known in here."""

Request = dict[str, Any]
"""Keyword arguments of one call of a provider's SDK. A new one is made for each attempt; none is changed."""

Completion: TypeAlias = Any
"""A provider's answer: an object of its SDK's own class, or a `Received`, of which that is made once somebody wants it."""

ResponseModel: TypeAlias = Any
"""What a caller passes as ``response_model=``: a class, ``list[User]``, ``A | B``, a ``Literal``, None."""


class Part(NamedTuple):
    """One part of an answer: a tool call, or JSON that the model wrote as text.

    An answer is a tuple of parts, in the order in which the model gave them. Most have one; parallel tool calls have
    one for each call.

    Attributes:
        tool: The name of the tool called, as we offered it; empty where the answer came as text.
        text: The tool's arguments, or the JSON found in the text, character by character as it came.
    """

    tool: str
    text: str


class ToolCall(NamedTuple):
    """A call of one of the caller's own tools.

    Attributes:
        id: What its result is known by. Where the provider names none, it is made up.
        name: The tool's name.
        arguments: Its arguments, which nobody has validated.
    """

    id: str
    name: str
    arguments: dict[str, Any]


def copy_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy keywords as deep as they can be copied: an SDK's own objects in them may not be."""
    return {name: copy_value(value) for name, value in values.items()}


def copy_value(value: Any) -> Any:
    """Copy what is needed later, as deep as it can be copied: its owner may change it meanwhile."""
    copied = _copy_texts(value)
    if copied is not None:
        return copied
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - an object that refuses to be copied is handed over as it is
        return value


def _copy_texts(value: object) -> list[dict[str, str]] | None:
    """Copy a conversation of nothing but texts; None for anything else, which takes ten times as long."""
    return [message.copy() for message in value] if holds_texts(value) else None


def holds_texts(value: object) -> TypeGuard[list[dict[str, str]]]:
    """Whether it is a conversation of nothing but texts, as most are."""
    if type(value) is not list:
        return False
    messages = cast("list[dict[object, object]]", value)
    return all(type(message) is dict and {str}.issuperset(map(type, message.values())) for message in messages)


_SURROGATES = re.compile("[\ud800-\udfff]")


def replace_surrogates(value: Any) -> Any:
    """Copy plain data with U+FFFD in place of halves of surrogate pairs, which no request can carry.

    A model's answer may hold them, and asking again quotes that answer.
    """
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {replace_surrogates(name): replace_surrogates(member) for name, member in members.items()}
    if isinstance(value, list):
        return [replace_surrogates(member) for member in cast("list[Any]", value)]
    return value

"""Media in a conversation: frozen when the key is made, fetched where that is needed, written for the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeGuard, cast

from instructor.media.frozen import FrozenMedium
from instructor.media.policy import FetchPolicy
from instructor.media.routes import needs_load, write_medium
from instructor.messages import Conversation, Messages, Value

_MOST_AT_ONCE = 8


def freeze_media(messages: Conversation, *, detect: bool = False) -> tuple[Messages, bool]:
    """Put what a request needs in place of each medium in the messages.

    A message's content may be text, a medium, or a list of texts, media and parts in any provider's form.
    """
    frozen = [_freeze_message(message, detect) for message in messages]
    return frozen, bool(_list_media(frozen))


def list_media_to_load(messages: Messages, wire: str, vendor: str) -> list[FrozenMedium]:
    """List the media that have to be fetched before the messages can be sent."""
    return [medium for medium in _list_media(messages) if needs_load(medium, wire, vendor)]


def load_media(media: Sequence[FrozenMedium], policy: FetchPolicy, deadline: float | None = None) -> list[FrozenMedium]:
    """Fetch media, several at once, until `deadline` by ``time.monotonic``. Blocks until all are there or one failed."""
    turns = threading.Semaphore(_MOST_AT_ONCE)

    def load(medium: FrozenMedium) -> FrozenMedium:
        with turns:
            return medium.load(policy if deadline is None else policy.within(deadline - time.monotonic()))

    if len(media) == 1:
        return [load(media[0])]
    from instructor.daemon import start_daemon

    loading = [start_daemon(partial(load, medium)) for medium in media]
    return [loaded.result() for loaded in loading]


def replace_media(messages: Messages, old: Sequence[FrozenMedium], new: Sequence[FrozenMedium]) -> Messages:
    """Put loaded media in place of those that were not."""
    loaded = {id(before): after for before, after in zip(old, new, strict=True)}
    return [_map_content(message, lambda item: loaded.get(id(item), item)) for message in messages]


def write_media(messages: Messages, wire: str, vendor: str) -> Messages:
    """Write each medium in the wire's own form, and each text beside parts as a part."""

    def write(item: Value) -> Value:
        if isinstance(item, str):
            return {"type": "text", "text": item}
        return write_medium(item, wire, vendor) if isinstance(item, FrozenMedium) else item

    return [_map_content(message, write) for message in messages]


def _is_mapping(value: Value) -> TypeGuard[Mapping[str, Value]]:
    return type(value) is dict or isinstance(value, Mapping)  # the second is slow


def _freeze_message(message: Value, detect: bool) -> Value:
    content = message.get("content") if _is_mapping(message) else None
    if isinstance(content, list | tuple):
        return {**message, "content": [_freeze_item(item, detect) for item in cast("Conversation", content)]}
    frozen = _freeze_item(content, detect)
    return message if frozen is content else {**message, "content": [frozen]}


def _freeze_item(item: Value, detect: bool) -> Value:
    if item is None or isinstance(item, str) or _is_mapping(item):
        found = _detect(item) if detect and item else None
        return found.frozen() if found else item
    from instructor.media.medium import Medium  # with pydantic, which a plain conversation doesn't need here

    return item.frozen() if isinstance(item, Medium) else item


def _detect(item: str | Mapping[str, Value]) -> Value:
    from instructor.media.detection import detect, detect_params

    return detect(item) if isinstance(item, str) else detect_params(item)


def _media_in(message: Value) -> list[FrozenMedium]:
    content = message.get("content") if _is_mapping(message) else None
    items = cast("list[Value]", content) if isinstance(content, list) else []
    return [item for item in items if isinstance(item, FrozenMedium)]


def _list_media(messages: Messages) -> list[FrozenMedium]:
    return [medium for message in messages for medium in _media_in(message)]


def _map_content(message: Value, change: Callable[[Value], Value]) -> Value:
    """Change the members of a message's content, where it is more than text."""
    content = message.get("content") if _is_mapping(message) else None
    if type(content) is str:  # as most are
        return message
    if _is_mapping(content):
        return {**message, "content": [content]}
    if not isinstance(content, list):
        return message
    return {**message, "content": [change(item) for item in cast("list[Value]", content)]}

"""How each wire takes each kind of medium: one table for each wire.

What is written is the wire's own form, which wires leave as it is.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from instructor.exceptions import MultimodalError
from instructor.media.frozen import FrozenMedium
from instructor.media.policy import FetchPolicy

Written = dict[str, Any]

_WEB = ("https://", "http://")
_ANY = (*_WEB, "gs://")
_GOOGLE_FILES = "https://generativelanguage.googleapis.com/"
_CONVERSE_NAME = "document"
_FILE_NAME = "document.pdf"
"""OpenAI wants a name, and shows it to the model. The file's own would make a renamed file another question."""


@dataclass(frozen=True, slots=True)
class Route:
    """How a wire takes one kind of medium.

    Attributes:
        write: Writes one that has been checked.
        urls: How the URLs begin that the provider fetches itself.
        types: The only media types that it takes; empty for those of the kind.
        refused: Media types that it doesn't take.
    """

    write: Callable[[FrozenMedium], Written]
    urls: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()


def _address(medium: FrozenMedium) -> str:
    return medium.data_uri if medium.data else medium.web_url


def _chat_image(medium: FrozenMedium) -> Written:
    return {"type": "image_url", "image_url": {"url": _address(medium)}}


def _chat_audio(medium: FrozenMedium) -> Written:
    name = {"audio/mpeg": "mp3"}.get(medium.media_type, medium.media_type.partition("/")[2])
    return {"type": "input_audio", "input_audio": {"data": medium.data or medium.web_url, "format": name}}


def _chat_pdf(medium: FrozenMedium) -> Written:
    return {"type": "file", "file": {"filename": _FILE_NAME, "file_data": _address(medium)}}


def _responses_image(medium: FrozenMedium) -> Written:
    return {"type": "input_image", "image_url": _address(medium), "detail": "auto"}


def _responses_pdf(medium: FrozenMedium) -> Written:
    if medium.data:
        return {"type": "input_file", "filename": _FILE_NAME, "file_data": medium.data_uri}
    return {"type": "input_file", "file_url": medium.web_url}


def _anthropic_block(kind: str) -> Callable[[FrozenMedium], Written]:
    def write(medium: FrozenMedium) -> Written:
        source = {"type": "base64", "media_type": medium.media_type, "data": medium.data}
        control = {"cache_control": dict(medium.cache_control)} if medium.cache_control else {}
        return {"type": kind, "source": source if medium.data else {"type": "url", "url": medium.web_url}, **control}

    return write


def _genai_part(medium: FrozenMedium) -> Written:
    named = {"mime_type": medium.media_type} if medium.media_type else {}
    if medium.url:
        return {"file_data": {"file_uri": medium.url, **named}}
    return {"inline_data": {**named, "data": medium.data}}


def _mistral_audio(medium: FrozenMedium) -> Written:
    return {"type": "input_audio", "input_audio": medium.data}


def _mistral_pdf(medium: FrozenMedium) -> Written:
    return {"type": "document_url", "document_url": _address(medium)}


def _converse_block(kind: str) -> Callable[[FrozenMedium], Written]:
    def write(medium: FrozenMedium) -> Written:
        name = {"audio/mpeg": "mp3"}.get(medium.media_type, medium.media_type.partition("/")[2])
        named = {"name": _CONVERSE_NAME} if kind == "document" else {}
        return {kind: {"format": name, **named, "source": {"bytes": b64decode(medium.data)}}}

    return write


_APPLE = frozenset({"image/heic", "image/heif"})
_OPENAI_SOUNDS = frozenset({"audio/wav", "audio/mpeg"})

_CHAT: Mapping[str, Route] = {
    "image": Route(_chat_image, urls=_WEB, refused=_APPLE),
    "audio": Route(_chat_audio, types=_OPENAI_SOUNDS),
    "PDF": Route(_chat_pdf),
}
ROUTES: Mapping[str, Mapping[str, Route]] = {
    "openai_chat": _CHAT,
    "openai_responses": {
        "image": Route(_responses_image, urls=_WEB, refused=_APPLE),
        "PDF": Route(_responses_pdf, urls=_WEB),
    },
    "anthropic_messages": {
        "image": Route(_anthropic_block("image"), urls=_WEB, refused=_APPLE),
        "PDF": Route(_anthropic_block("document"), urls=_WEB),
    },
    "genai": dict.fromkeys(("image", "audio", "PDF"), Route(_genai_part, urls=(_GOOGLE_FILES,))),
    "cohere_chat": {"image": Route(_chat_image, urls=_WEB, refused=_APPLE)},
    "mistral_chat": {
        "image": Route(_chat_image, urls=_WEB, refused=_APPLE),
        "audio": Route(_mistral_audio, types=_OPENAI_SOUNDS),
        "PDF": Route(_mistral_pdf, urls=_WEB),
    },
    "bedrock_converse": {
        "image": Route(_converse_block("image"), refused=_APPLE),
        "audio": Route(_converse_block("audio")),
        "PDF": Route(_converse_block("document")),
    },
}
"""The routes of each wire, by its name. A wire of your own takes messages in the chat form."""

_VENDORS: Mapping[str, Mapping[str, Route]] = {
    "vertexai": dict.fromkeys(("image", "audio", "PDF"), Route(_genai_part, urls=("gs://", _GOOGLE_FILES))),
    # It sends nothing, so nothing is fetched for it.
    "offline": {name: Route(route.write, urls=_ANY) for name, route in _CHAT.items()},
}
"""Vendors whose routes differ from those of their wire."""


def find_route(medium: FrozenMedium, wire: str, vendor: str = "") -> Route:
    """Find how a medium is sent."""
    routes = _VENDORS.get(vendor) or ROUTES.get(wire, _CHAT)
    route = routes.get(medium.kind.name)
    if route is None:
        takers = sorted(name for name, others in ROUTES.items() if medium.kind.name in others)
        raise MultimodalError(
            f"The API behind {vendor or wire} ({wire}) doesn't take {medium.kind.name}. Send a transcript or another "
            f"form of it, or use a mode or vendor with one of the wires {', '.join(takers)}.",
            content_type=medium.media_type or None,
        )
    return route


def needs_load(medium: FrozenMedium, wire: str, vendor: str = "") -> bool:
    """Whether a medium has to be fetched before it can be sent, because the provider can't fetch it."""
    route = find_route(medium, wire, vendor)
    return not medium.data and not _is_taken(medium.url, route) and not _is_taken(medium.web_url, route)


def _is_taken(url: str, route: Route) -> bool:
    return url.lower().startswith(route.urls) if route.urls else False


def write_medium(medium: FrozenMedium, wire: str, vendor: str = "", *, load: FetchPolicy | None = None) -> Written:
    """Write a medium for a wire."""
    route = find_route(medium, wire, vendor)
    if load is not None and needs_load(medium, wire, vendor):
        medium = medium.load(load)
    checked = medium.check()
    wanted = route.types or checked.kind.types.keys() - route.refused
    if checked.media_type and checked.media_type not in wanted:
        raise MultimodalError(
            f"The API behind {vendor or wire} ({wire}) doesn't take {checked.media_type}. "
            f"Convert it to one of {', '.join(sorted(wanted))}.",
            content_type=checked.media_type,
        )
    return route.write(checked)

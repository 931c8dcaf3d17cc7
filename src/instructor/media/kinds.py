"""The kinds of media: their types, how each type's bytes begin, and how large they may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from instructor.exceptions import MultimodalError

_HEAD = 1024
"""Bytes at the beginning that tell the type."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of media.

    Attributes:
        name: What errors call it.
        types: The suffixes of each media type's files.
        most_bytes: The size up to which vendors take it.
    """

    name: str
    types: Mapping[str, tuple[str, ...]]
    most_bytes: int


IMAGE = Kind(
    "image",
    {
        "image/png": (".png",),
        "image/jpeg": (".jpg", ".jpeg"),
        "image/gif": (".gif",),
        "image/webp": (".webp",),
        "image/heic": (".heic",),
        "image/heif": (".heif",),
    },
    20 << 20,
)
AUDIO = Kind(
    "audio",
    {
        "audio/wav": (".wav",),
        "audio/mpeg": (".mp3", ".mpga"),
        "audio/aac": (".aac",),
        "audio/flac": (".flac",),
        "audio/ogg": (".ogg", ".oga", ".opus"),
        "audio/aiff": (".aiff", ".aif"),
        "audio/mp4": (".m4a",),
        "audio/webm": (".weba",),
        "audio/pcm": (".pcm",),
    },
    25 << 20,
)
DOCUMENT = Kind("PDF", {"application/pdf": (".pdf",)}, 50 << 20)
KINDS = (IMAGE, AUDIO, DOCUMENT)

_UNMARKED = frozenset({"audio/pcm"})
"""Types whose bytes begin in no particular way, so that what the caller says has to be believed."""

_SAME = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/mpga": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/x-aac": "audio/aac",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/opus": "audio/ogg",
    "audio/l16": "audio/pcm",
    "application/x-pdf": "application/pdf",
}
"""Other names of types."""

_BEGINNINGS = tuple(
    (re.compile(pattern, re.DOTALL), media_type)
    for pattern, media_type in (
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb".{4}ftyphe(?:ic|ix|vc|vx)", "image/heic"),
        (rb".{4}ftyp(?:mif1|msf1|heim|heis)", "image/heif"),
        (rb"RIFF.{4}WAVE", "audio/wav"),
        (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
        (rb"fLaC", "audio/flac"),
        (rb"OggS", "audio/ogg"),
        (rb"FORM.{4}AIF[FC]", "audio/aiff"),
        (rb".{4}ftyp", "audio/mp4"),
        (rb"\x1aE\xdf\xa3", "audio/webm"),
        (rb"[\0\s\xef\xbb\xbf]*%PDF-", "application/pdf"),
    )
)


def sniff(data: bytes) -> str | None:
    """Tell the media type of bytes by how they begin; None for any that isn't known.

    Example:
        >>> sniff(b"%PDF-1.7 ..."), sniff(b"<html>")
        ('application/pdf', None)
    """
    head = data[:_HEAD]
    return next((media_type for pattern, media_type in _BEGINNINGS if pattern.match(head)), None)


def plain_type(media_type: str) -> str:
    """Write a media type as the tables do: in lower case, without parameters, by its usual name.

    Example:
        >>> plain_type("Audio/X-WAV; rate=16000")
        'audio/wav'
    """
    name = media_type.partition(";")[0].strip().lower()
    return _SAME.get(name, name)


def kind_of(media_type: str) -> Kind | None:
    """Find the kind of a media type, in the form of `plain_type`."""
    return next((kind for kind in KINDS if media_type in kind.types), None)


def guess_type(path: str) -> str:
    """Guess the media type of a path or URL by its suffix; empty where the suffix says nothing.

    Example:
        >>> guess_type("https://example.com/a.JPG?size=2"), guess_type("notes")
        ('image/jpeg', '')
    """
    try:
        suffix = PurePosixPath(urlsplit(path).path).suffix.lower()
    except ValueError:  # not a URL that can be taken apart
        return ""
    types = (media_type for kind in KINDS for media_type, suffixes in kind.types.items() if suffix in suffixes)
    return next(types, "") if suffix else ""


def check_size(kind: Kind, size: int, origin: str) -> None:
    """Make sure that a medium isn't empty or too large."""
    if not size:
        raise MultimodalError(f"The {kind.name} {origin} is empty. Pass one that has content.")
    if size > kind.most_bytes:
        raise MultimodalError(
            f"The {kind.name} {origin} is larger than {kind.most_bytes:,} bytes, the most for this kind. "
            "Make it smaller, or upload it to the provider and pass its id."
        )


def check_bytes(kind: Kind, data: bytes, declared: str, origin: str) -> str:
    """Find the type of a medium's bytes."""
    check_size(kind, len(data), origin)
    found, stated = sniff(data), plain_type(declared)
    if found is None and stated in _UNMARKED and stated in kind.types:
        return stated
    if found is None or found not in kind.types:
        raise MultimodalError(
            f"The {kind.name} {origin} is {found or 'of no known type'}, judged by its first bytes. "
            f"Pass one of {', '.join(kind.types)}.",
            content_type=found,
        )
    if stated and stated != found:
        raise MultimodalError(
            f"The {kind.name} {origin} is declared as {stated}, but its first bytes are those of {found}. "
            "Declare what it is.",
            content_type=found,
        )
    return found

"""Finding out which texts are media: on request only, because it reads files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from instructor.media.encoding import decode_base64, is_data_uri
from instructor.media.kinds import AUDIO, guess_type, kind_of, plain_type, sniff
from instructor.media.medium import PDF, Audio, Image, ImageWithCacheControl, Medium, is_file

_CLASSES: Mapping[str, type[Medium]] = {kind.kind.name: kind for kind in (Image, Audio, PDF)}
_URL = re.compile(r"(?:https?|gs)://\S+", re.IGNORECASE)
_OFTEN_VIDEO = frozenset({"audio/mp4", "audio/webm"})
"""Containers that hold videos more often than sounds, so that a file of one needs the suffix of a sound."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{16,}={0,2}\s*")


def autodetect_media(source: str | Path | Medium) -> Medium | str:
    """Find out whether a source is an image, a sound or a PDF.

    Args:
        source: A data URI, a URL whose suffix tells its type, the path of a file, or an image's or a PDF's base64.

    Returns:
        The medium; the source itself where it is none, or can't be used.

    Example:
        >>> autodetect_media("https://example.com/a.mp3"), autodetect_media("What is this?")
        (Audio(source='https://example.com/a.mp3', media_type='audio/mpeg'), 'What is this?')
    """
    if isinstance(source, Medium):
        return source
    try:
        return detect(str(source)) or str(source)
    except ValueError:
        return str(source)


def detect(text: str) -> Medium | None:
    """Find the medium that a text stands for; None where it is just text."""
    chosen = _choose(text)
    return chosen.autodetect(text) if chosen else None


def detect_params(part: Mapping[str, object]) -> Medium | None:
    """Find the image in a part with ``{"type": "image", "source": "..."}``, a form of 1.x."""
    if part.get("type") != "image" or not isinstance(part.get("source"), str | Path | bytes):
        return None
    return ImageWithCacheControl.from_image_params(part)


def _choose(text: str) -> type[Medium] | None:
    if is_data_uri(text):
        return _class_of(text[5:].partition(",")[0])
    if _URL.fullmatch(text):
        return _class_of(guess_type(text))
    if is_file(text):
        with Path(text).open("rb") as file:
            found = sniff(file.read(1024))
        return _class_of(guess_type(text) if found is None or found in _OFTEN_VIDEO else found)
    return _class_of(_sniff_base64(text)) if _BASE64.fullmatch(text) else None


def _class_of(media_type: str) -> type[Medium] | None:
    kind = kind_of(plain_type(media_type))
    return _CLASSES[kind.name] if kind else None


def _sniff_base64(text: str) -> str:
    """The type of base64 by its beginning, which is enough to know whether to decode the rest.

    Sounds aren't looked for: they begin with so few bytes in common that a text such as a path looks like one.
    """
    head = "".join(text[:2048].split())
    found = sniff(decode_base64(head[: len(head) // 4 * 4]))  # whole groups, which always can be decoded
    return "" if found is None or found in AUDIO.types else found

"""Base64 and ``data:`` URIs."""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from instructor.exceptions import MultimodalError

_SPACE = re.compile(r"\s+")
_DATA_URI = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),(.*)", re.DOTALL | re.IGNORECASE)


def encode_base64(data: bytes) -> str:
    """Write bytes as base64."""
    return b64encode(data).decode("ascii")


def decode_base64(text: str, origin: str = "") -> bytes:
    """Read base64. Line breaks and missing padding are tolerated."""
    plain = _SPACE.sub("", text).rstrip("=")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as error:
        raise MultimodalError(
            f"{origin or 'The text'} is not valid base64: {error}. Encode the bytes again."
        ) from error


def is_data_uri(text: str) -> bool:
    """Whether a text begins as a ``data:`` URI does."""
    return text[:5].lower() == "data:"


def read_data_uri(uri: str) -> tuple[str, bytes]:
    """Read a ``data:`` URI (RFC 2397), in base64 or with percent signs.

    Example:
        >>> read_data_uri("data:image/png;base64,aGk=")
        ('image/png', b'hi')
    """
    found = _DATA_URI.fullmatch(uri)
    if found is None:
        raise MultimodalError("The text is not a data URI. Write it as data:image/png;base64,...")
    media_type, parameters, content = found.groups()
    if "base64" not in parameters.lower().split(";"):
        return media_type, unquote_to_bytes(content)
    text = unquote_to_bytes(content).decode("ascii", "replace") if "%" in content else content
    return media_type, decode_base64(text, "The content of the data URI")

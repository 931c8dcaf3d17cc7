"""The smallest bytes that pass for media of each type."""

from __future__ import annotations

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPEG = b"\xff\xd8\xff\xe0" + b"pixels"
GIF = b"GIF89a" + b"pixels"
WEBP = b"RIFF\x08\x00\x00\x00WEBP" + b"pixels"
HEIC = b"\x00\x00\x00\x18ftypheic" + b"pixels"
HEIF = b"\x00\x00\x00\x18ftypmif1" + b"pixels"
WAV = b"RIFF\x08\x00\x00\x00WAVE" + b"samples"
MP3 = b"ID3\x04" + b"samples"
AAC = b"\xff\xf1" + b"samples"
FLAC = b"fLaC" + b"samples"
OGG = b"OggS" + b"samples"
AIFF = b"FORM\x08\x00\x00\x00AIFF" + b"samples"
M4A = b"\x00\x00\x00\x18ftypM4A " + b"samples"
WEBM = b"\x1aE\xdf\xa3" + b"samples"
PDF_BYTES = b"%PDF-1.7\n" + b"pages"

TYPES = {
    "image/png": PNG,
    "image/jpeg": JPEG,
    "image/gif": GIF,
    "image/webp": WEBP,
    "image/heic": HEIC,
    "image/heif": HEIF,
    "audio/wav": WAV,
    "audio/mpeg": MP3,
    "audio/aac": AAC,
    "audio/flac": FLAC,
    "audio/ogg": OGG,
    "audio/aiff": AIFF,
    "audio/mp4": M4A,
    "audio/webm": WEBM,
    "application/pdf": PDF_BYTES,
}

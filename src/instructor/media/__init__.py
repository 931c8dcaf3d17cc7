"""Images, sounds and documents in messages.

Example:
    >>> from instructor.media import Image
    >>> Image.from_base64("data:image/gif;base64,R0lGODlhAQABAAAAACw=").media_type
    'image/gif'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor.media.detection import autodetect_media
    from instructor.media.medium import PDF, Audio, Image, ImageWithCacheControl, Medium, PDFWithCacheControl
    from instructor.media.policy import FetchPolicy
else:
    from instructor.lazy import resolve_names

    __getattr__, __dir__ = resolve_names(
        __name__,
        {
            "Audio": "instructor.media.medium",
            "FetchPolicy": "instructor.media.policy",
            "Image": "instructor.media.medium",
            "ImageWithCacheControl": "instructor.media.medium",
            "Medium": "instructor.media.medium",
            "PDF": "instructor.media.medium",
            "PDFWithCacheControl": "instructor.media.medium",
            "autodetect_media": "instructor.media.detection",
        },
    )

__all__ = [
    "PDF",
    "Audio",
    "FetchPolicy",
    "Image",
    "ImageWithCacheControl",
    "Medium",
    "PDFWithCacheControl",
    "autodetect_media",
]

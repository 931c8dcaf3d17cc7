"""Media under the path that upstream's users import them from, and the conversion of whole messages."""

from __future__ import annotations

from instructor.media.conversation import freeze_media, list_media_to_load, load_media, replace_media, write_media
from instructor.media.detection import autodetect_media
from instructor.media.medium import PDF, Audio, Image, ImageWithCacheControl, PDFWithCacheControl
from instructor.media.policy import DEFAULT_POLICY
from instructor.messages import Conversation, Messages, Value
from instructor.mode import Mode
from instructor.providers.genai_files import PDFWithGenaiFile
from instructor.wires.openai_responses import write_items

__all__ = [
    "PDF",
    "Audio",
    "Image",
    "ImageWithCacheControl",
    "PDFWithCacheControl",
    "PDFWithGenaiFile",
    "autodetect_media",
    "convert_contents",
    "convert_messages",
]


def convert_messages(messages: Conversation, mode: Mode, autodetect_images: bool = False) -> Messages:
    """Write the media in messages in OpenAI's form, as `create` does by itself.

    Use it to send messages with media through an SDK of your own. A client takes messages with media as they are.

    Args:
        messages: The conversation; it isn't changed.
        mode: `Mode.RESPONSES_TOOLS` for the Responses API, any other mode for the chat API.
        autodetect_images: Whether texts that stand for media become media.

    Returns:
        Messages of plain data.

    Raises:
        MultimodalError: A medium can't be used.

    Example:
        >>> convert_messages([{"role": "user", "content": ["Hi", Image.from_url("https://example.com/a.png")]}], Mode.TOOLS)
        [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hi'},
         {'type': 'image_url', 'image_url': {'url': 'https://example.com/a.png'}}]}]
    """
    wire = "openai_responses" if mode is Mode.RESPONSES_TOOLS else "openai_chat"
    frozen, _ = freeze_media(messages, detect=autodetect_images)
    missing = list_media_to_load(frozen, wire, "")
    loaded = replace_media(frozen, missing, load_media(missing, DEFAULT_POLICY)) if missing else frozen
    written = write_media(loaded, wire, "")
    if mode is not Mode.RESPONSES_TOOLS:
        return written
    return [item for message in written for item in write_items(message)]


def convert_contents(contents: Value, mode: Mode) -> Value:
    """Write one message's content as `convert_messages` does.

    Example:
        >>> convert_contents("Hi", Mode.TOOLS)
        'Hi'
    """
    return convert_messages([{"role": "user", "content": contents}], mode)[0]["content"]

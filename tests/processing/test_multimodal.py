"""The names that upstream's users import, under the paths that they import them from."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import instructor
from instructor import Mode
from instructor.processing.multimodal import PDF, Audio, Image, convert_contents, convert_messages
from samples import PDF_BYTES, PNG, WAV

NAMES = [
    "Audio",
    "Image",
    "ImageWithCacheControl",
    "PDF",
    "PDFWithCacheControl",
    "PDFWithGenaiFile",
    "autodetect_media",
    "convert_contents",
    "convert_messages",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("path", ["instructor.processing.multimodal", "instructor.multimodal"])
def test_the_names_are_found_where_upstream_has_them(path: str, name: str) -> None:
    assert getattr(importlib.import_module(path), name) is not None


def test_they_are_one_class_everywhere() -> None:
    old = importlib.import_module("instructor.multimodal")
    assert (
        (old.Image, old.Audio, old.PDF) == (Image, Audio, PDF) == (instructor.Image, instructor.Audio, instructor.PDF)
    )


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON, Mode.RESPONSES_TOOLS])
def test_messages_are_converted_to_plain_data(mode: Mode) -> None:
    content = ["What is this?", Image.from_bytes(PNG), PDF.from_bytes(PDF_BYTES), {"type": "text", "text": "Hm."}]
    messages = [{"role": "system", "content": "Look."}, {"role": "user", "content": content}]
    system, user = convert_messages(messages, mode)
    assert system == {"role": "system", "content": "Look."}
    written: list[Any] = user["content"]
    prefix = "input_" if mode is Mode.RESPONSES_TOOLS else ""
    assert [part["type"] for part in written] == [
        f"{prefix}text",
        f"{prefix}image" if prefix else "image_url",
        f"{prefix}file",
        f"{prefix}text",
    ]
    assert isinstance(content[1], Image), "the caller's messages don't change"


def test_one_medium_may_be_all_of_a_content() -> None:
    assert convert_contents(Audio.from_bytes(WAV), Mode.TOOLS)[0]["type"] == "input_audio"
    assert convert_contents([{"type": "text", "text": "a"}, "b"], Mode.TOOLS)[1] == {"type": "text", "text": "b"}


def test_texts_are_detected_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    messages = [{"role": "user", "content": str(tmp_path / "a.png")}]
    assert convert_messages(messages, Mode.TOOLS) == messages
    (found,) = convert_messages(messages, Mode.TOOLS, autodetect_images=True)
    assert found["content"][0]["type"] == "image_url"

from __future__ import annotations

import pytest

from instructor.exceptions import MultimodalError
from instructor.media import PDF, Audio, Image, Medium
from instructor.media.routes import ROUTES, needs_load, write_medium
from samples import MP3, PDF_BYTES, PNG

MEDIA = [Image.from_bytes(PNG), Audio.from_bytes(MP3), PDF.from_bytes(PDF_BYTES)]
WIRES = [
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "genai",
    "bedrock_converse",
    "cohere_chat",
    "mistral_chat",
]


def test_every_wire_has_its_routes():
    assert sorted(ROUTES) == sorted(WIRES)


@pytest.mark.parametrize("medium", MEDIA, ids=lambda medium: medium.kind.name)
def test_a_wire_of_ones_own_is_sent_the_chat_form(medium: Medium):
    assert write_medium(medium.frozen(), "my_wire", "me") == write_medium(medium.frozen(), "openai_chat")


@pytest.mark.parametrize("kind", [Image, Audio, PDF])
def test_vertex_ai_reads_google_cloud_storage_itself(kind: type[Medium]):
    medium = kind.from_gs_url("gs://bucket/a").frozen()
    assert not needs_load(medium, "genai", "vertexai")
    assert write_medium(medium, "genai", "vertexai")["file_data"]["file_uri"] == "gs://bucket/a"
    assert needs_load(medium, "genai", "google")
    assert needs_load(kind.from_url("https://example.com/a").frozen(), "genai", "vertexai")


@pytest.mark.parametrize("kind", [Image, Audio, PDF])
def test_nothing_is_fetched_for_the_offline_provider(kind: type[Medium]):
    for url in ("https://example.com/a", "gs://bucket/a"):
        assert not needs_load(kind.from_url(url).frozen(), "openai_chat", "offline")


def test_an_error_names_the_wires_that_take_it():
    with pytest.raises(MultimodalError, match=r"anthropic.* genai, .*openai_chat"):
        needs_load(Audio.from_bytes(MP3).frozen(), "anthropic_messages", "anthropic")

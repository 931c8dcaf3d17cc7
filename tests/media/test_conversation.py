from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor import PDF, Audio, Image, Instructor, Mode, from_provider
from instructor.exceptions import MultimodalError
from instructor.media import FetchPolicy
from instructor.media.conversation import freeze_media, list_media_to_load, load_media, replace_media, write_media
from instructor.media.frozen import FrozenMedium
from instructor.testing import ScriptedAdapter
from instructor.wires.capabilities import Capabilities
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.openai_responses import OPENAI_RESPONSES
from samples import MP3, PDF_BYTES, PNG

IMAGE, SOUND, DOCUMENT = Image.from_bytes(PNG), Audio.from_bytes(MP3), PDF.from_bytes(PDF_BYTES)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def message(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


@given(st.lists(st.fixed_dictionaries({"role": st.text(max_size=5), "content": PLAIN}), max_size=4))
def test_a_conversation_without_media_stays_as_it_is(messages: list[dict[str, Any]]):
    assert freeze_media(messages) == (messages, False)


def test_freezing_changes_no_message_of_the_callers():
    content = ["a", IMAGE]
    messages = [message("a"), message(content), {"role": "user"}]
    frozen, has_media = freeze_media(messages)
    assert has_media
    assert content == ["a", IMAGE]
    assert isinstance(frozen[1]["content"][1], FrozenMedium)
    assert [frozen[0], frozen[2]] == [messages[0], messages[2]]


def test_a_medium_may_stand_in_any_role_and_in_a_tuple():
    messages = [message((IMAGE, "a"), "system"), message(SOUND), message([DOCUMENT], "tool")]
    frozen, _ = freeze_media(messages)
    written = write_media(frozen, "openai_chat", "openai")
    assert [[part["type"] for part in one["content"]] for one in written] == [
        ["image_url", "text"],
        ["input_audio"],
        ["file"],
    ]


def test_texts_become_parts_and_a_part_alone_a_list():
    part = {"type": "text", "text": "b"}
    written = write_media([message(["a", part]), message(part), message("c")], "openai_chat", "openai")
    assert [one["content"] for one in written] == [[{"type": "text", "text": "a"}, part], [part], "c"]


def test_each_loaded_medium_takes_its_own_place(monkeypatch: pytest.MonkeyPatch):
    def load(medium: FrozenMedium, policy: FetchPolicy) -> FrozenMedium:
        return replace(medium, data=medium.url)

    monkeypatch.setattr(FrozenMedium, "load", load)
    urls = [f"https://example.com/{number}.pdf" for number in range(20)]
    frozen, _ = freeze_media([message(["a", *map(PDF.from_url, urls[:10])]), message([*map(PDF.from_url, urls[10:])])])
    missing = list_media_to_load(frozen, "openai_chat", "openai")
    loaded = replace_media(frozen, missing, load_media(missing, FetchPolicy()))
    assert [item.data for one in loaded for item in one["content"] if item != "a"] == urls


def test_what_is_left_of_a_call_bounds_each_fetch(monkeypatch: pytest.MonkeyPatch):
    allowed: list[float] = []

    def load(medium: FrozenMedium, policy: FetchPolicy) -> FrozenMedium:
        allowed.append(policy.seconds)
        raise MultimodalError("it is slow")

    monkeypatch.setattr(FrozenMedium, "load", load)
    client = from_provider("google/gemini-2.5-flash", api_key="test")
    for limits in ({"max_seconds": 5}, {"max_seconds": 60}, {}):
        with pytest.raises(MultimodalError):
            client.create(int, [message([PDF.from_url("https://example.com/a.pdf")])], **limits)
    assert 0 < allowed[0] <= 5
    assert allowed[1:] == [30, 30]


@pytest.mark.parametrize("count", [1, 2])
def test_a_cancelled_call_leaves_its_fetch_behind(count: int, monkeypatch: pytest.MonkeyPatch):
    """The end of an event loop waits for the threads of its executor."""
    begun, go = threading.Event(), threading.Event()
    ended: list[FrozenMedium] = []

    def load(medium: FrozenMedium, policy: FetchPolicy) -> FrozenMedium:
        begun.set()
        go.wait(60)
        ended.append(medium)
        return medium

    async def cancel() -> None:
        client = from_provider("google/gemini-2.5-flash", api_key="test", async_client=True)
        urls = [PDF.from_url(f"https://example.com/{number}.pdf") for number in range(count)]
        call = asyncio.create_task(client.create(int, [message(urls)]))
        while not begun.is_set():
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    monkeypatch.setattr(FrozenMedium, "load", load)
    asyncio.run(cancel())
    assert not ended
    go.set()


class Refusing(ScriptedAdapter):
    """An API that refuses the Responses API, as a proxy may, so that the chat API is asked."""

    def published(self, model: str) -> Capabilities:
        return Capabilities((Mode.RESPONSES_TOOLS, Mode.TOOLS))

    def capabilities(self, model: str) -> Capabilities:
        return self.published(model)

    def learn(self, model: str, mode: Mode, error: Exception, sent: Capabilities | None = None) -> Capabilities:
        return Capabilities((Mode.TOOLS,))


def test_a_request_that_is_written_in_another_way_has_its_media_fetched_for_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("instructor.media.fetch.fetch", lambda *_: PDF_BYTES)
    adapter = Refusing([RuntimeError("no such API"), {"content": 5}])
    wires = {Mode.RESPONSES_TOOLS: OPENAI_RESPONSES, Mode.TOOLS: OPENAI_CHAT}
    client = Instructor(adapter, wires=wires, model="m")
    assert client.create(int, [message([PDF.from_url("https://example.com/a.pdf")])]) == 5
    first, second = adapter.requests
    assert first["input"][0]["content"] == [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]
    assert second["messages"][0]["content"] == [DOCUMENT.to_openai()]

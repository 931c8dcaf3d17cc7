"""Media over the real SDKs: what each API is sent, and that a hit is what the live call returned."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel

from instructor import PDF, Audio, AutoCache, DiskCache, Image, Mode, from_provider, instructor_cache
from instructor.exceptions import ArgumentError, ConfigurationError, MultimodalError
from instructor.media import FetchPolicy, ImageWithCacheControl, Medium, PDFWithCacheControl
from internet import Internet
from replies import Reply, ReplyServer, chat_completion
from samples import JPEG, MP3, PDF_BYTES, PNG, WAV

DATA: dict[type[Medium], bytes] = {Image: PNG, Audio: WAV, PDF: PDF_BYTES}


class Seen(BaseModel):
    what: str


ANSWER = {"what": "a cat"}


def message(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def encode(data: bytes) -> str:
    return b64encode(data).decode()


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4.1-mini",
    "status": "completed",
    "output": [
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "Seen",
            "arguments": '{"what": "a cat"}',
            "status": "completed",
        }
    ],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-haiku",
    "content": [{"type": "tool_use", "id": "tu_1", "name": "Seen", "input": ANSWER}],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
GOOGLE = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "Seen", "args": ANSWER}}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}


def plain_names(part: dict[str, Any]) -> dict[str, Any]:
    """A part of Gemini's with one spelling of its members: the API takes both, and the SDKs send either."""
    spelled = {"mimeType": "mime_type", "fileUri": "file_uri"}
    return {
        name: {spelled.get(key, key): member for key, member in value.items()} if isinstance(value, dict) else value
        for name, value in part.items()
    }


APIS: dict[str, tuple[str, Mode, Any, Callable[[Any], Any]]] = {
    "chat": (
        "openai/gpt-4.1-mini",
        Mode.TOOLS,
        chat_completion(tool="Seen", arguments=ANSWER),
        lambda body: body["messages"][-1]["content"],
    ),
    "responses": ("openai/gpt-4.1-mini", Mode.RESPONSES_TOOLS, RESPONSE, lambda body: body["input"][-1]["content"]),
    "anthropic": (
        "anthropic/claude-3-haiku",
        Mode.TOOLS,
        ANTHROPIC,
        lambda body: body["messages"][-1]["content"],
    ),
    "google": (
        "google/gemini-2.5-flash",
        Mode.TOOLS,
        GOOGLE,
        lambda body: [plain_names(part) for part in body["contents"][-1]["parts"]],
    ),
}


class Api:
    """One vendor's API, played by a server of the test, and a client for it."""

    def __init__(self, name: str, server: ReplyServer, cache: Any = None, **options: Any) -> None:
        model, mode, reply, self._parts = APIS[name]
        self.server = server
        server.script(Reply(reply))
        self.client = from_provider(model, mode=mode, cache=cache, **options)

    def sent(self) -> list[Any]:
        """The parts of the last message that the API received."""
        return self._parts(self.server.requests[-1].body)

    async def close(self) -> None:
        self.client._adapter.close()
        await self.client._adapter.aclose()


@pytest.fixture
def server(reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch) -> ReplyServer:
    base = reply_server.url.removesuffix("/v1")
    for name, url in (("OPENAI", f"{base}/v1"), ("ANTHROPIC", base), ("GOOGLE_GEMINI", base)):
        monkeypatch.setenv(f"{name}_BASE_URL", url)
    for name in ("OPENAI", "ANTHROPIC", "GOOGLE"):
        monkeypatch.setenv(f"{name}_API_KEY", "test")
    return reply_server


@pytest.fixture
async def connect(server: ReplyServer):
    made: list[Api] = []

    def make(name: str, cache: Any = None, **options: Any) -> Api:
        made.append(Api(name, server, cache, **options))
        return made[-1]

    yield make
    for api in made:
        await api.close()


@pytest.fixture
def files(internet: Internet) -> Iterator[ReplyServer]:
    """A web server with a public address, for URLs that are fetched."""
    with ReplyServer(Reply(PDF_BYTES)) as server:
        internet.serve(urlsplit(server.url).port or 0, "files.example")
        yield server


PNG_URI, PDF_URI = f"data:image/png;base64,{encode(PNG)}", f"data:application/pdf;base64,{encode(PDF_BYTES)}"
FORMS: list[tuple[str, type[Medium], Any]] = [
    ("chat", Image, {"type": "image_url", "image_url": {"url": PNG_URI}}),
    ("chat", Audio, {"type": "input_audio", "input_audio": {"data": encode(WAV), "format": "wav"}}),
    ("chat", PDF, {"type": "file", "file": {"filename": "document.pdf", "file_data": PDF_URI}}),
    ("responses", Image, {"type": "input_image", "image_url": PNG_URI, "detail": "auto"}),
    ("responses", PDF, {"type": "input_file", "filename": "document.pdf", "file_data": PDF_URI}),
    (
        "anthropic",
        Image,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encode(PNG)}},
    ),
    (
        "anthropic",
        PDF,
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": encode(PDF_BYTES)}},
    ),
    ("google", Image, {"inlineData": {"mime_type": "image/png", "data": encode(PNG)}}),
    ("google", Audio, {"inlineData": {"mime_type": "audio/wav", "data": encode(WAV)}}),
    ("google", PDF, {"inlineData": {"mime_type": "application/pdf", "data": encode(PDF_BYTES)}}),
]
forms = pytest.mark.parametrize(("name", "medium", "form"), FORMS, ids=lambda value: getattr(value, "__name__", ""))


@forms
def test_a_medium_is_sent_in_the_apis_form_and_a_hit_is_the_live_answer(
    connect, name: str, medium: type[Medium], form: Any, tmp_path: Path
) -> None:
    with DiskCache(tmp_path / "cache") as cache:
        api = connect(name, cache)
        content = ["What is this?", medium.from_bytes(DATA[medium])]
        live, completion = api.client.create_with_completion(Seen, message(content))
        text, part = api.sent()
        assert text["text"] == "What is this?"
        assert part == form
        (tmp_path / "a").write_bytes(DATA[medium])
        for again in (medium.from_path(tmp_path / "a"), medium.from_base64(encode(DATA[medium]))):
            hit, kept = api.client.create_with_completion(Seen, message(["What is this?", again]))
            assert hit == live == Seen(what="a cat")
            assert kept.model_dump(mode="json") == completion.model_dump(mode="json")
        assert len(api.server.requests) == 1


@forms
async def test_the_asynchronous_client_sends_and_keys_it_alike(
    connect, name: str, medium: type[Medium], form: Any
) -> None:
    cache = AutoCache()
    api = connect(name, cache, async_client=True)
    content = ["What is this?", medium.from_bytes(DATA[medium])]
    answers = await asyncio.gather(*(api.client.create(Seen, message(content)) for _ in range(5)))
    assert answers == [Seen(what="a cat")] * 5
    assert api.sent()[1] == form
    assert connect(name, cache).client.create(Seen, message(content)) == Seen(what="a cat")
    assert len(api.server.requests) == 1


def test_a_renamed_file_hits_and_a_changed_byte_misses(connect, tmp_path: Path) -> None:
    api = connect("chat", AutoCache())
    path = tmp_path / "a.png"
    path.write_bytes(PNG)

    def ask() -> int:
        api.client.create(Seen, message(["What is this?", Image.from_path(path)]))
        return len(api.server.requests)

    assert [ask(), ask()] == [1, 1]
    path = path.rename(tmp_path / "b.jpg")
    assert ask() == 1
    path.write_bytes(PNG[:-1] + b"!")
    assert [ask(), ask()] == [2, 2]
    path.write_bytes(PNG)
    assert ask() == 2


def test_where_the_medium_stands_is_part_of_the_question(connect) -> None:
    api = connect("chat", AutoCache())
    one, other = Image.from_bytes(PNG), Image.from_bytes(JPEG)
    for content in ([one, other], [other, one], [one], one, ["a", one], [one, "a"]):
        api.client.create(Seen, message(content))
    assert len(api.server.requests) == 5, "a medium alone and a list of it are one question"


def test_a_file_is_read_once_when_the_medium_is_made(connect, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    image = Image.from_path(path)
    path.unlink()
    api = connect("chat", AutoCache())
    assert api.client.create(Seen, message([image])) == Seen(what="a cat")
    assert api.sent() == [{"type": "image_url", "image_url": {"url": PNG_URI}}]


def test_a_retry_shows_the_medium_again(connect) -> None:
    api = connect("chat", AutoCache())
    bad, good = chat_completion(tool="Seen", arguments={}), chat_completion(tool="Seen", arguments=ANSWER)
    api.server.script(Reply(bad), Reply(good))
    api.client.create(Seen, message(["What is this?", Image.from_bytes(PNG)]))
    first, second = api.server.requests
    assert second.body["messages"][:1] == first.body["messages"]


URLS: list[tuple[str, Medium, Any]] = [
    (
        "chat",
        Image.from_url("https://files.example/a.png"),
        {"type": "image_url", "image_url": {"url": "https://files.example/a.png"}},
    ),
    (
        "chat",
        Image.from_url("gs://bucket/a.png"),
        {"type": "image_url", "image_url": {"url": "https://storage.googleapis.com/bucket/a.png"}},
    ),
    (
        "responses",
        Image.from_url("https://files.example/a"),
        {"type": "input_image", "image_url": "https://files.example/a", "detail": "auto"},
    ),
    (
        "responses",
        PDF.from_url("https://files.example/a.pdf"),
        {"type": "input_file", "file_url": "https://files.example/a.pdf"},
    ),
    (
        "anthropic",
        Image.from_url("https://files.example/a.png"),
        {"type": "image", "source": {"type": "url", "url": "https://files.example/a.png"}},
    ),
    (
        "anthropic",
        PDF.from_url("gs://bucket/a.pdf"),
        {"type": "document", "source": {"type": "url", "url": "https://storage.googleapis.com/bucket/a.pdf"}},
    ),
    (
        "google",
        PDF.from_url("https://generativelanguage.googleapis.com/v1beta/files/abc"),
        {
            "fileData": {
                "file_uri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                "mime_type": "application/pdf",
            }
        },
    ),
]


@pytest.mark.parametrize(("name", "medium", "form"), URLS)
def test_a_url_that_the_provider_fetches_itself_is_sent_as_it_is(
    connect, internet: Internet, name: str, medium: Medium, form: Any
) -> None:
    api = connect(name, AutoCache())
    for _ in range(2):
        api.client.create(Seen, message([medium]))
    assert api.sent() == [form]
    assert len(api.server.requests) == 1
    assert not internet.lookups


FETCHED: list[tuple[str, type[Medium], bytes]] = [
    ("chat", PDF, PDF_BYTES),
    ("chat", Audio, MP3),
    ("google", Image, PNG),
    ("google", Audio, WAV),
    ("google", PDF, PDF_BYTES),
]
fetched = pytest.mark.parametrize(("name", "medium", "data"), FETCHED)


@fetched
def test_a_url_that_the_provider_does_not_fetch_is_fetched_on_a_miss_only(
    connect, files: ReplyServer, name: str, medium: type[Medium], data: bytes
) -> None:
    files.script(Reply(data))
    api = connect(name, AutoCache())
    for _ in range(3):
        assert api.client.create(Seen, message([medium.from_url("http://files.example/a")])) == Seen(what="a cat")
    assert encode(data) in str(api.sent())
    assert (len(api.server.requests), len(files.requests)) == (1, 1)


@fetched
async def test_the_asynchronous_client_fetches_without_blocking_the_loop(
    connect, files: ReplyServer, name: str, medium: type[Medium], data: bytes
) -> None:
    files.script(Reply(data))
    files.hold()
    api = connect(name, AutoCache(), async_client=True)
    asked = asyncio.create_task(api.client.create(Seen, message([medium.from_url("http://files.example/a")])))
    await asyncio.to_thread(files.wait_for, 1)
    assert not asked.done(), "the loop runs while the server holds its answer back"
    files.release()
    assert await asked == Seen(what="a cat")
    assert encode(data) in str(api.sent())


def test_several_urls_are_fetched_each_in_its_place(connect, files: ReplyServer) -> None:
    api = connect("google")
    files.script(Reply(PNG), Reply(PNG), Reply(PNG))
    urls = [Image.from_url(f"http://files.example/{number}.png") for number in range(3)]
    api.client.create(Seen, message([urls[0], "and", urls[1], PDF.from_bytes(PDF_BYTES), urls[2]]))
    assert [part.get("text") or part["inlineData"]["mime_type"] for part in api.sent()] == [
        "image/png",
        "and",
        "image/png",
        "application/pdf",
        "image/png",
    ]
    assert {request.path for request in files.requests} == {"/0.png", "/1.png", "/2.png"}


def test_a_url_that_was_fetched_before_is_keyed_by_its_content(connect, files: ReplyServer) -> None:
    api = connect("chat", AutoCache())
    for name in ("a", "b"):
        api.client.create(Seen, message([PDF.from_url(f"http://files.example/{name}.pdf").fetch()]))
    api.client.create(Seen, message([PDF.from_bytes(PDF_BYTES)]))
    assert len(api.server.requests) == 1


BAD: list[tuple[str, Reply, str]] = [
    ("http://files.example/a.pdf", Reply("<html>"), "of no known type"),
    ("http://files.example/a.pdf", Reply(PNG), "image/png"),
    ("http://files.example/a.pdf", Reply(PDF_BYTES + bytes(51 << 20)), "larger than"),
    ("http://files.example/a.pdf", Reply(status=302, headers={"Location": "http://169.254.169.254/"}), "not a public"),
    ("http://127.0.0.1/a.pdf", Reply(PDF_BYTES), "not a public"),
]


@pytest.mark.parametrize(("url", "reply", "reason"), BAD, ids=[reason for *_, reason in BAD])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_url_that_must_not_or_cannot_be_used_is_our_error_and_nothing_is_stored(
    connect, files: ReplyServer, url: str, reply: Reply, reason: str, asynchronous: bool
) -> None:
    files.script(reply)
    cache = AutoCache()
    api = connect("chat", cache, async_client=asynchronous)
    with pytest.raises(MultimodalError, match=reason):
        asked = api.client.create(Seen, message([PDF.from_url(url)]))
        await asked if asynchronous else asked
    assert not api.server.requests
    assert len(cache) == 0


def test_the_policy_of_a_call_wins_over_the_clients(connect, files: ReplyServer) -> None:
    api = connect("chat", AutoCache(), media_policy=FetchPolicy(hosts=frozenset()))
    ask = message([PDF.from_url("http://files.example/a.pdf")])
    with pytest.raises(MultimodalError, match="media_policy allows"):
        api.client.create(Seen, ask)
    assert api.client.create(Seen, ask, media_policy=FetchPolicy()) == Seen(what="a cat")
    assert api.client.create(Seen, ask) == Seen(what="a cat"), "what is stored needs no fetch"
    assert len(api.server.requests) == 1
    with pytest.raises(ArgumentError, match="media_policy"):
        api.client.create(Seen, ask, media_policy={"hosts": ()})


REFUSED: list[tuple[str, Medium]] = [
    ("anthropic", Audio.from_bytes(WAV)),
    ("responses", Audio.from_bytes(WAV)),
    ("responses", Audio.from_url("http://files.example/a.mp3")),
    ("chat", Audio.from_bytes(b"fLaC")),
    ("chat", Image.from_url("https://files.example/a.heic")),
]


@pytest.mark.parametrize(("name", "medium"), REFUSED)
def test_what_an_api_does_not_take_is_our_error(connect, files: ReplyServer, name: str, medium: Medium) -> None:
    cache = AutoCache()
    api = connect(name, cache)
    with pytest.raises(MultimodalError, match=r"doesn't take"):
        api.client.create(Seen, message([medium]))
    assert not api.server.requests
    assert not files.requests
    assert len(cache) == 0


def test_a_medium_that_lies_is_our_error_and_nothing_is_stored(connect) -> None:
    cache = AutoCache()
    api = connect("chat", cache)
    for image in (Image(source="x", media_type="image/png", data=encode(JPEG)), Image(source="x", data="%%%")):
        with pytest.raises(MultimodalError):
            api.client.create(Seen, message([image]))
    assert not api.server.requests
    assert len(cache) == 0


def test_cache_control_reaches_anthropic_alone(connect) -> None:
    control = {"type": "ephemeral"}
    media = [
        ImageWithCacheControl.from_image_params({"source": PNG, "cache_control": control}),
        PDFWithCacheControl.from_bytes(PDF_BYTES),
    ]
    api = connect("anthropic")
    api.client.create(Seen, message(media))
    assert [part["cache_control"] for part in api.sent()] == [control, control]
    other = connect("chat")
    other.client.create(Seen, message(media))
    assert "cache_control" not in str(other.sent())


def test_an_id_that_the_caller_passes_is_in_the_key(connect) -> None:
    api = connect("chat", AutoCache())
    for name in ("file-1", "file-2", "file-1"):
        api.client.create(Seen, message([{"type": "file", "file": {"file_id": name}}, "What is this?"]))
    assert len(api.server.requests) == 2
    assert api.sent()[0] == {"type": "file", "file": {"file_id": "file-2"}}


@pytest.mark.parametrize("name", APIS)
def test_detection_on_request_sends_what_a_text_stands_for(connect, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    api = connect(name, AutoCache())
    ask = message(["What is this?", str(path)])
    api.client.create(Seen, ask)
    assert encode(PNG) not in str(api.sent())
    for _ in range(2):
        api.client.create(Seen, ask, autodetect_images=True)
    assert encode(PNG) in str(api.sent())
    assert len(api.server.requests) == 2
    path.write_bytes(PNG + b"!")
    api.client.create(Seen, ask, autodetect_images=True)
    assert len(api.server.requests) == 3, "keyed by what the file holds, not by its path"
    for off in (False, None):
        api.client.create(Seen, ask, autodetect_images=off)
    assert len(api.server.requests) == 3, "as without the keyword"
    api.client.create(Seen, message(["What is this?", Image.from_path(path)]))
    assert len(api.server.requests) == 3, "as the medium itself"


async def test_detection_reads_files_beside_the_loop(connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    (tmp_path / "a.png").write_bytes(PNG)
    threads: list[threading.Thread] = []
    plain = Image.from_path.__func__

    def from_path(cls: Any, path: Any) -> Any:
        threads.append(threading.current_thread())
        return plain(cls, path)

    monkeypatch.setattr(Image, "from_path", classmethod(from_path))
    api = connect("chat", AutoCache(), async_client=True)
    for _ in range(2):
        await api.client.create(Seen, message(str(tmp_path / "a.png")), autodetect_images=True)
    assert api.sent() == [{"type": "image_url", "image_url": {"url": PNG_URI}}]
    assert len(api.server.requests) == 1
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_detection_leaves_plain_texts_and_parts_alone(connect) -> None:
    api = connect("chat", AutoCache())
    content = ["What is this?", {"type": "text", "text": "https://files.example/a.png"}, ""]
    api.client.create(Seen, message(content), autodetect_images=True)
    assert [part["text"] for part in api.sent()] == ["What is this?", "https://files.example/a.png"]
    part = {"type": "image", "source": PNG_URI}
    api.client.create(Seen, message(part), autodetect_images=True)
    assert api.sent() == [{"type": "image_url", "image_url": {"url": PNG_URI}}]


def test_detection_belongs_to_a_call(connect) -> None:
    with pytest.raises(ConfigurationError, match="autodetect_images"):
        connect("chat", autodetect_images=True)
    with pytest.raises(ArgumentError, match="autodetect_images"):
        connect("chat", autodetect_images=False).client.create(Seen, message("x"), autodetect_images="yes")


def test_templates_are_filled_beside_media_and_before_detection(connect, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    api = connect("chat", AutoCache())
    content = ["What is {{ thing }}?", str(tmp_path / "{{ name }}.png")]
    context = {"thing": "this", "name": "a"}
    api.client.create(Seen, message(content), context=context, autodetect_images=True)
    text, image = api.sent()
    assert (text["text"], image["type"]) == ("What is this?", "image_url")


def test_a_decorated_function_is_keyed_by_the_medium(tmp_path: Path) -> None:
    calls: list[Medium] = []

    @instructor_cache(cache=AutoCache())
    def look(medium: Medium) -> str:
        calls.append(medium)
        return f"{medium.kind.name} {len(calls)}"

    for medium, data in DATA.items():
        path = tmp_path / medium.__name__
        path.write_bytes(data)
        first = look(medium.from_path(path))
        assert look(medium.from_path(path)) == first
        assert look(medium.from_bytes(data)) == look(medium.from_base64(encode(data)))
        path.write_bytes(data + b"!")
        assert look(medium.from_path(path)) != first
    assert len(calls) == 3 * len(DATA)

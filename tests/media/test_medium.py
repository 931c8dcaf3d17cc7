from __future__ import annotations

import copy
import pickle
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import instructor
from instructor.exceptions import MultimodalError
from instructor.media import PDF, Audio, Image, ImageWithCacheControl, Medium, PDFWithCacheControl
from instructor.media.kinds import kind_of
from samples import GIF, HEIC, JPEG, MP3, PDF_BYTES, PNG, TYPES, WAV

CLASSES: dict[str, type[Medium]] = {"image": Image, "audio": Audio, "PDF": PDF}


def class_of(media_type: str) -> type[Medium]:
    kind = kind_of(media_type)
    assert kind is not None
    return CLASSES[kind.name]


def encode(data: bytes) -> str:
    return b64encode(data).decode()


@pytest.mark.parametrize("media_type", TYPES)
def test_each_source_gives_the_same_content(media_type: str, tmp_path: Path):
    data, medium = TYPES[media_type], class_of(media_type)
    (tmp_path / "file").write_bytes(data)
    made = [
        medium.from_path(tmp_path / "file"),
        medium.from_path(str(tmp_path / "file")),
        medium.from_bytes(data),
        medium.from_bytes(data, media_type),
        medium.from_base64(encode(data)),
        medium.from_raw_base64(encode(data)),
        medium.from_base64(f"data:{media_type};base64,{encode(data)}"),
        medium.from_url(f"data:{media_type};base64,{encode(data)}"),
        medium.autodetect(tmp_path / "file"),
        medium.autodetect(str(tmp_path / "file")),
        medium.autodetect(data),
        medium.autodetect(encode(data)),
    ]
    assert {(one.media_type, one.data) for one in made} == {(media_type, encode(data))}
    assert len({repr(one.frozen().__cache_key__()) for one in made}) == 1


def test_the_suffix_of_a_file_does_not_make_its_type(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(JPEG)
    assert Image.from_path(tmp_path / "a.png").media_type == "image/jpeg"


@pytest.mark.parametrize(("medium", "data"), [(Image, PDF_BYTES), (Audio, PNG), (PDF, b"<html>"), (Image, b"")])
def test_a_file_that_is_something_else_is_refused(medium: type[Medium], data: bytes, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(MultimodalError, match=r"a\.png is"):
        medium.from_path(tmp_path / "a.png")


def test_a_data_uri_that_lies_is_refused():
    with pytest.raises(MultimodalError, match=r"declared as image/png, but its first bytes are those of image/jpeg"):
        Image.from_base64(f"data:image/png;base64,{encode(JPEG)}")


def test_a_file_that_is_missing_is_pythons_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Image.from_path(tmp_path / "none.png")


def test_a_source_that_is_too_large_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)  # a sparse file
    with pytest.raises(MultimodalError, match="larger than"):
        Image.from_path(tmp_path / "a.png")
    monkeypatch.setattr("instructor.media.medium.decode_base64", lambda text: pytest.fail("it was decoded"))
    with pytest.raises(MultimodalError, match="larger than"):
        Image.from_base64("A" * (30 << 20))


def test_a_url_is_not_fetched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("a name was resolved"))
    assert Image.from_url("https://example.com/a.png").media_type == "image/png"
    assert Image.from_url("https://example.com/a").media_type == ""
    assert PDF.from_url("https://example.com/a").media_type == "application/pdf"
    assert Audio.from_gs_url("gs://bucket/a.mp3").source == "gs://bucket/a.mp3"


@pytest.mark.parametrize("url", ["ftp://example.com/a.png", "a.png", "file:///etc/passwd", "https://example.com/a.pdf"])
def test_a_url_that_cannot_be_an_image_is_refused(url: str):
    with pytest.raises(MultimodalError):
        Image.from_url(url)


def test_a_gs_url_begins_with_gs():
    with pytest.raises(MultimodalError, match="gs://"):
        Image.from_gs_url("https://example.com/a.png")


def test_autodetect_safely_gives_back_what_is_no_medium(tmp_path: Path):
    assert Image.autodetect_safely("What is this?") == "What is this?"
    assert Image.autodetect_safely(PDF_BYTES) == PDF_BYTES
    (tmp_path / "a.txt").write_text("text")
    assert Image.autodetect_safely(tmp_path / "a.txt") == str(tmp_path / "a.txt")
    assert isinstance(Image.autodetect_safely(PNG), Image)


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: Image.from_bytes("iVBORw0KGgo="), r"A str isn't bytes\. autodetect.. takes a path"),
        (lambda: Image.from_bytes(BytesIO(PNG)), r"A BytesIO isn't bytes\. autodetect.. takes"),
        (lambda: Image.autodetect("./missing/photo.png"), r"no file \./missing/photo\.png\. Correct the path"),
        (lambda: Image.autodetect("no medium!"), "not valid base64"),
    ],
    ids=["text", "file", "path", "base64"],
)
def test_a_source_of_the_wrong_kind_is_answered_with_what_to_write(make: Callable[[], Image], advice: str):
    with pytest.raises(MultimodalError, match=advice):
        make()


def test_autodetect_says_what_it_takes():
    with pytest.raises(MultimodalError, match="A int isn't bytes"):
        Image.autodetect(5)  # type: ignore[arg-type]


@given(st.text())
def test_any_text_can_be_looked_at(text: str):
    assert isinstance(Image.autodetect_safely(text), Image | str)


class Page(BaseModel):
    image: Image


def test_a_medium_can_be_copied_pickled_and_be_a_field():
    page = Page(image=Image.from_bytes(PNG))
    assert copy.deepcopy(page) == page.model_copy() == page
    assert pickle.loads(pickle.dumps(page.image)) == page.image
    assert Page.model_validate_json(page.model_dump_json()).image.frozen() == page.image.frozen()


def test_a_copy_with_other_data_has_a_key_of_its_own():
    image = Image.from_bytes(PNG)
    key = repr(image.frozen().__cache_key__())
    other = image.model_copy(update={"data": encode(PNG + b"!")})
    assert repr(other.frozen().__cache_key__()) != key
    assert repr(image.frozen().__cache_key__()) == key
    assert image == Image.from_bytes(PNG), "what was worked out is no part of it"
    assert image.model_dump() == Image.from_bytes(PNG).model_dump()


def test_a_long_source_is_shown_by_its_beginning():
    image = Image.from_bytes(PNG + bytes(10_000))
    assert len(repr(image)) < 200
    assert len(str(Image.from_base64(f"data:image/png;base64,{encode(PNG + bytes(9999))}"))) < 200


def test_a_medium_made_by_hand_is_read_when_it_is_used(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(PNG)
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), PNG, f"data:image/png;base64,{encode(PNG)}"):
        assert Image(source=source, media_type="image/png").frozen().data == encode(PNG)
    with pytest.raises(MultimodalError, match="not valid base64"):
        Image(source="x", media_type="image/png", data="***").to_openai()
    with pytest.raises(MultimodalError, match="declared as image/png"):
        Image(source="x", media_type="image/png", data=encode(GIF)).to_openai()


def test_the_forms_of_each_provider():
    image, audio, pdf = Image.from_bytes(PNG), Audio.from_bytes(MP3), PDF.from_bytes(PDF_BYTES)
    uri = f"data:image/png;base64,{encode(PNG)}"
    assert image.to_openai() == {"type": "image_url", "image_url": {"url": uri}}
    assert image.to_openai(instructor.Mode.RESPONSES_TOOLS)["image_url"] == uri
    assert image.to_anthropic()["source"] == {"type": "base64", "media_type": "image/png", "data": encode(PNG)}
    assert audio.to_openai()["input_audio"] == {"data": encode(MP3), "format": "mp3"}
    assert Audio.from_bytes(WAV).to_openai()["input_audio"]["format"] == "wav"
    assert pdf.to_genai() == {"inline_data": {"mime_type": "application/pdf", "data": encode(PDF_BYTES)}}
    with pytest.raises(MultimodalError, match="doesn't take audio"):
        audio.to_anthropic()
    with pytest.raises(MultimodalError, match="doesn't take image/heic"):
        Image.from_bytes(HEIC).to_openai()
    with pytest.raises(MultimodalError, match="doesn't take audio/flac"):
        Audio.from_bytes(TYPES["audio/flac"]).to_openai()
    assert Image.from_bytes(HEIC).to_genai()["inline_data"]["mime_type"] == "image/heic"


def test_cache_control_is_for_anthropic_alone():
    control = {"type": "ephemeral", "ttl": "1h"}
    image = ImageWithCacheControl.from_image_params({"source": PNG, "cache_control": control})
    assert image.to_anthropic()["cache_control"] == control
    assert PDFWithCacheControl.from_bytes(PDF_BYTES).to_anthropic()["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in image.to_openai()
    with pytest.raises(MultimodalError, match="no source"):
        ImageWithCacheControl.from_image_params({"type": "image"})


def test_the_public_names_are_the_classes():
    assert (instructor.Image, instructor.Audio, instructor.PDF) == (Image, Audio, PDF)
    assert Image.is_base64(f"data:image/png;base64,{encode(PNG)}")
    assert not PDF.is_base64("data:image/png;base64,")


def test_a_source_may_be_set_later_as_in_1_x(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(PNG)
    image = Image(source="a.png")
    image.source = tmp_path / "a.png"
    assert image.frozen().data == encode(PNG)
    image.data = encode(GIF)
    image.media_type = "image/gif"
    assert (image.frozen().data, image.frozen().digest) == (
        Image.from_bytes(GIF).data,
        Image.from_bytes(GIF).frozen().digest,
    )


def test_a_sound_of_a_file_reads_back_equal_from_its_dump(tmp_path: Path):
    (tmp_path / "a.mp3").write_bytes(MP3)
    audio = Audio.from_path(tmp_path / "a.mp3")
    assert Audio.model_validate_json(audio.model_dump_json()) == audio

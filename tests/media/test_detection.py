from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import MultimodalError
from instructor.media import PDF, Audio, Image, ImageWithCacheControl, autodetect_media
from instructor.media.detection import detect, detect_params
from samples import JPEG, MP3, PDF_BYTES, PNG, TYPES


@pytest.mark.parametrize(("data", "kind"), [(PNG, Image), (MP3, Audio), (PDF_BYTES, PDF)])
def test_a_path_is_detected_by_what_the_file_holds(data: bytes, kind: type, tmp_path: Path):
    (tmp_path / "file").write_bytes(data)
    assert type(autodetect_media(str(tmp_path / "file"))) is kind
    assert type(autodetect_media(tmp_path / "file")) is kind


@pytest.mark.parametrize(("suffix", "kind"), [("png", Image), ("mp3", Audio), ("pdf", PDF)])
def test_a_url_is_detected_by_its_suffix(suffix: str, kind: type):
    for scheme in ("https", "http", "gs"):
        assert type(autodetect_media(f"{scheme}://example.com/a.{suffix}")) is kind


@pytest.mark.parametrize(("data", "kind"), [(PNG, Image), (PDF_BYTES, PDF)])
def test_base64_is_detected_by_its_beginning(data: bytes, kind: type):
    found = detect(b64encode(data + bytes(5000)).decode())
    assert type(found) is kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is this?",
        "https://example.com/page",
        "https://example.com/a.png What is this?",
        "QUJD" * 9,
        "/",
        "a.png",
    ],
)
def test_text_stays_text(text: str):
    assert detect(text) is None
    assert autodetect_media(text) == text


@given(st.text("abcdefgxyzABCXYZ0129+/ \n=", min_size=16) | st.from_regex(r"//[a-z]+(/[a-z]+)+", fullmatch=True))
def test_words_and_paths_that_look_like_base64_stay_text(text: str):
    assert detect(text) is None


def test_a_video_is_not_taken_for_a_sound(tmp_path: Path):
    for suffix, data in ((".mp4", TYPES["audio/mp4"]), (".webm", TYPES["audio/webm"])):
        (tmp_path / f"film{suffix}").write_bytes(data)
        assert detect(str(tmp_path / f"film{suffix}")) is None
        assert detect(f"https://example.com/film{suffix}") is None
    (tmp_path / "song.m4a").write_bytes(TYPES["audio/mp4"])
    assert isinstance(detect(str(tmp_path / "song.m4a")), Audio)


def test_a_file_of_another_type_stays_text(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("secret")
    assert detect(str(tmp_path / "notes.txt")) is None


def test_a_medium_stays_itself():
    image = Image.from_bytes(PNG)
    assert autodetect_media(image) is image


def test_a_lie_is_an_error_in_messages_and_text_for_autodetect_media(tmp_path: Path):
    uri = f"data:image/png;base64,{b64encode(JPEG).decode()}"
    (tmp_path / "a.png").write_text("text")
    for lie in (uri, str(tmp_path / "a.png")):
        with pytest.raises(MultimodalError):
            detect(lie)
        assert autodetect_media(lie) == lie


def test_a_part_of_1_x_becomes_an_image():
    control = {"type": "ephemeral"}
    part = {"type": "image", "source": b64encode(PNG).decode(), "cache_control": control}
    found = detect_params(part)
    assert isinstance(found, ImageWithCacheControl)
    assert found.cache_control == control
    assert detect_params({"type": "image", "source": {"type": "url", "url": "https://example.com"}}) is None


@given(st.text())
def test_any_text_can_be_looked_at(text: str):
    assert autodetect_media(text) is not None

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import MultimodalError
from instructor.media.kinds import (
    AUDIO,
    DOCUMENT,
    IMAGE,
    KINDS,
    Kind,
    check_bytes,
    guess_type,
    kind_of,
    plain_type,
    sniff,
)
from samples import PDF_BYTES, PNG, TYPES

PAIRS = [(one, other) for one in TYPES for other in TYPES if one != other]


@pytest.mark.parametrize("media_type", TYPES)
def test_a_type_is_told_by_its_first_bytes(media_type: str):
    assert sniff(TYPES[media_type]) == media_type


@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=2000))
def test_what_follows_the_first_bytes_makes_no_difference(media_type: str, rest: bytes):
    assert sniff(TYPES[media_type] + rest) == media_type


@given(st.text())
def test_text_is_no_medium(text: str):
    assert sniff(b"<p>" + text.encode("utf-8", "replace")) is None


@given(st.binary())
def test_any_bytes_can_be_asked_about(data: bytes):
    found = sniff(data)
    assert found is None or kind_of(found) in KINDS


def test_every_type_that_has_a_sample_belongs_to_one_kind():
    assert {name for kind in KINDS for name in kind.types} == {*TYPES, "audio/pcm"}


@pytest.mark.parametrize(("declared", "real"), PAIRS)
def test_bytes_that_are_declared_as_another_type_are_refused(declared: str, real: str):
    kind = kind_of(declared)
    assert kind is not None
    with pytest.raises(MultimodalError, match=real):
        check_bytes(kind, TYPES[real], declared, "of a test")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bytes_of_no_known_type_are_refused(kind: Kind):
    with pytest.raises(MultimodalError, match="of no known type"):
        check_bytes(kind, b"<html>", "", "of a test")


def test_another_name_of_a_type_is_no_lie():
    assert check_bytes(AUDIO, TYPES["audio/wav"], "audio/x-wav; rate=16000", "") == "audio/wav"
    assert check_bytes(IMAGE, TYPES["image/jpeg"], "IMAGE/JPG", "") == "image/jpeg"


def test_samples_without_a_header_are_what_the_caller_declares_unless_they_are_something_else():
    assert check_bytes(AUDIO, b"\x00\x01" * 8, "audio/pcm", "") == "audio/pcm"
    with pytest.raises(MultimodalError, match="application/pdf"):
        check_bytes(AUDIO, PDF_BYTES, "audio/pcm", "")


def test_a_medium_is_neither_empty_nor_too_large():
    with pytest.raises(MultimodalError, match="is empty"):
        check_bytes(IMAGE, b"", "", "")
    with pytest.raises(MultimodalError, match=r"larger than 20,971,520 bytes"):
        check_bytes(IMAGE, PNG + bytes(IMAGE.most_bytes), "", "")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [("a.PNG", "image/png"), ("https://x.com/a.pdf?b=c.png", "application/pdf"), ("a", ""), ("http://[", ""), ("", "")],
)
def test_a_suffix_tells_the_type(path: str, media_type: str):
    assert guess_type(path) == media_type


def test_a_plain_type_has_neither_parameters_nor_capitals():
    assert plain_type(" Application/X-PDF ; a=b") == "application/pdf"
    assert kind_of("application/pdf") is DOCUMENT
    assert kind_of("text/plain") is None

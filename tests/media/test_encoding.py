from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import MultimodalError
from instructor.media.encoding import decode_base64, encode_base64, is_data_uri, read_data_uri

TYPE = st.from_regex(r"[a-z]{1,9}/[a-z.+-]{1,20}", fullmatch=True)


@given(TYPE, st.binary(), st.sampled_from(["", ";charset=utf-8", ";a=b;c=d"]), st.sampled_from(["data", "DATA"]))
def test_a_data_uri_gives_back_its_type_and_bytes(media_type: str, data: bytes, parameters: str, scheme: str):
    uri = f"{scheme}:{media_type}{parameters};base64,{encode_base64(data)}"
    assert is_data_uri(uri)
    assert read_data_uri(uri) == (media_type, data)


@given(TYPE, st.binary())
def test_a_data_uri_with_percent_signs_gives_back_its_bytes(media_type: str, data: bytes):
    assert read_data_uri(f"data:{media_type},{quote(data)}") == (media_type, data)
    assert read_data_uri(f"data:{media_type};base64,{quote(encode_base64(data))}") == (media_type, data)


@given(st.binary(), st.integers(1, 80))
def test_base64_may_be_broken_into_lines_and_lack_its_padding(data: bytes, width: int):
    text = encode_base64(data)
    lines = "\r\n".join(text[start : start + width] for start in range(0, len(text), width))
    assert decode_base64(lines) == decode_base64(text.rstrip("=")) == data


@given(st.text())
def test_any_text_is_read_or_refused_with_our_error(text: str):
    for read in (decode_base64, read_data_uri, lambda rest: read_data_uri(f"data:{rest}")):
        with contextlib.suppress(MultimodalError):
            read(text)


@pytest.mark.parametrize(
    "uri", ["data:", "data:image/png;base64", "image/png;base64,aGk=", "data:image/png;base64,a*b"]
)
def test_what_is_not_a_data_uri_is_refused(uri: str):
    with pytest.raises(MultimodalError, match=r"not a data URI|not valid base64"):
        read_data_uri(uri)

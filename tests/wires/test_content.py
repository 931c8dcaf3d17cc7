from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.wires.content import split_data_url


@given(st.from_regex(r"[a-z]{1,9}/[a-z.+-]{1,20}", fullmatch=True), st.binary())
def test_a_data_url_is_taken_apart(media_type: str, data: bytes):
    encoded = b64encode(data).decode()
    assert split_data_url(f"data:{media_type};charset=utf-8;base64,{encoded}") == (media_type, encoded)


@pytest.mark.parametrize("url", ["https://example.com/a;base64,b", "data:text/plain,hello", "data:;base64", "gs://a/b"])
def test_what_is_no_base64_data_url_is_left_alone(url: str):
    assert split_data_url(url) is None


@given(st.text())
def test_any_text_can_be_asked_about(url: str):
    split_data_url(url)

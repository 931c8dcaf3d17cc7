"""What a store returns is read back exactly, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.cache.entry import Entry, decode_entry, encode_entry
from instructor.exceptions import CacheEntryError
from instructor.usage import Usage

TEXT = st.text(st.characters(codec="utf-8"))
ENTRIES = st.builds(
    Entry,
    key=st.text("0123456789abcdef", min_size=64, max_size=64),
    answer=TEXT,
    completion=st.text(st.characters(codec="utf-8", exclude_characters="\n")),
    provider=TEXT,
    model=TEXT,
    created=st.floats(0, 1e10),
    expires=st.none() | st.floats(0, 1e10),
    seconds=st.floats(0, 1e4),
    usage=st.builds(Usage, *[st.integers(0, 10**9)] * 4),
    attempts=st.integers(1, 99),
)


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    text = encode_entry(entry)
    assert decode_entry(text, entry.key) == entry
    assert decode_entry(text.encode(), entry.key) == entry


@given(ENTRIES, st.data())
def test_a_changed_byte_is_always_noticed(entry: Entry, data: st.DataObject) -> None:
    raw = bytearray(encode_entry(entry).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CacheEntryError):
        decode_entry(bytes(raw), entry.key)


@given(ENTRIES, st.data())
def test_an_entry_cut_short_is_always_noticed(entry: Entry, data: st.DataObject) -> None:
    text = encode_entry(entry)
    with pytest.raises(CacheEntryError):
        decode_entry(text[: data.draw(st.integers(0, len(text) - 1))], entry.key)


ENTRY = Entry(key="a" * 64, answer="{}", completion="{}", provider="p", model="m", created=1.0)


def test_another_keys_entry_is_refused() -> None:
    with pytest.raises(CacheEntryError, match="another key"):
        decode_entry(encode_entry(ENTRY), "b" * 64)


@pytest.mark.parametrize(
    "garbage", ["", "garbage", "{}", "[]", "null", '{"name": "x"}', b"\xff\xfe", b"", "00000000 ", "00000000 {}\n{}"]
)
def test_garbage_is_refused(garbage: str | bytes) -> None:
    with pytest.raises(CacheEntryError):
        decode_entry(garbage, ENTRY.key)


def test_an_entry_of_another_format_is_refused() -> None:
    from zlib import crc32

    body = encode_entry(ENTRY).split(" ", 1)[1].replace('"instructor":2', '"instructor":1')
    with pytest.raises(CacheEntryError, match="format 1"):
        decode_entry(f"{crc32(body.encode()):08x} {body}", ENTRY.key)

"""From an encoding to a key: exact, bounded, and without a moment at which all is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.engine.key_memo import KeyMemo, decode, encode, make_memo, name_of, shorten

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_the_memo_is_bounded_in_keys_and_in_bytes() -> None:
    memo = KeyMemo(most_keys=3, most_bytes=100)
    for number in range(50):
        memo.remember(bytes([number]) * 10, str(number))
        assert len(memo.young) + len(memo.old) <= 6
    for number in range(50):
        memo.remember(bytes([number]) * 60, str(number))
        assert sum(map(len, (*memo.young, *memo.old))) <= 200


def test_what_is_used_stays_however_much_else_comes() -> None:
    memo = KeyMemo(most_keys=10, most_bytes=1 << 20)
    memo.remember(b"used", "key")
    for number in range(1000):
        memo.remember(b"%d" % number, "other")
        if number % 5 == 0:
            assert memo.find(b"used") == "key"
    assert memo.find(b"0") is None


@pytest.mark.parametrize(("entries", "keys"), [(None, 65_536), (1, 1_024), (100_000, 100_000)])
def test_the_memo_is_sized_with_the_store(entries: int | None, keys: int) -> None:
    assert make_memo(entries)._most_keys == keys


@given(
    PLAIN, PLAIN, st.dictionaries(st.text(max_size=3), PLAIN, max_size=2), st.dictionaries(st.text(), PLAIN, max_size=2)
)
def test_an_encoding_tells_apart_whatever_differs_in_type_or_value(
    one: Any, other: Any, first: Any, second: Any
) -> None:
    assert (encode(1, one, first) == encode(1, other, second)) == (repr((one, first)) == repr((other, second)))


@given(PLAIN, st.dictionaries(st.text(max_size=3), PLAIN, max_size=2))
def test_an_encoding_is_a_copy_of_messages_and_keywords(messages: Any, keywords: Any) -> None:
    encoding = encode(7, messages, keywords)
    assert encoding is not None
    assert decode(encoding) == (messages, keywords)


def test_what_is_not_plain_data_has_no_encoding() -> None:
    assert encode(1, [object()], {}) is None


def test_a_long_text_stands_in_an_encoding_by_its_hash() -> None:
    def ask(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    long, other = "x" * 400_000, "x" * 399_999 + "y"
    assert shorten(ask("short")) == ask("short")
    assert len(encode(1, shorten(ask(long)), {}) or b"") < 200
    assert shorten(ask(long)) == shorten(ask("x" * 400_000))
    assert shorten(ask(long)) != shorten(ask(other))
    surrogates = "\ud800" * 400_000
    assert shorten([surrogates]) != shorten([surrogates[:-1] + "\ud801"])


def test_a_call_is_named_by_its_encoding_alone_and_shortly() -> None:
    short, long = [{"content": "x"}], [{"content": "x" * 400_000}]
    for messages in (short, long):
        for keywords in ({}, {"temperature": 0}):
            encoding = encode(1, messages, keywords)
            assert encoding is not None
            assert name_of(encoding) == encode(1, shorten(messages), keywords)
            assert len(name_of(encoding)) < 200


def test_messages_nested_as_deep_as_marshal_goes_are_named_by_their_encoding() -> None:
    nested: Any = "x" * 400_000
    for _ in range(1_500):
        nested = [nested]
    encoding = encode(1, nested, {})
    assert encoding is not None
    assert name_of(encoding) is encoding

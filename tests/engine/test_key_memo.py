"""From an encoding to a key: exact, bounded, and without a moment at which all is forgotten."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.cache import AutoCache, MemoryCache, TieredCache
from instructor.engine.key_memo import KeyMemo, decode, encode, make_memo, name_of, shorten
from instructor.paths import entries_of

TEXTS = st.text(st.characters(), max_size=8)  # also halves of surrogate pairs
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
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


@pytest.mark.parametrize(
    ("store", "entries"),
    [
        (AutoCache(maxsize=70_000), 70_000),
        (MemoryCache(max_entries=80_000), 80_000),
        (MemoryCache(), None),
        (TieredCache(AutoCache(maxsize=90_000), AutoCache()), 90_000),
        (None, None),
    ],
)
def test_a_store_says_how_many_entries_it_holds(store: Any, entries: int | None) -> None:
    """Beyond what the memo remembers a hit takes ten times as long."""
    assert entries_of(store) == entries


HARDLY_DIFFERENT: list[Any] = [
    *(None, False, True, 0, 1, -1, 0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, 5e-324),
    *(
        2**15,
        2**30,
        2**31 - 1,
        2**31,
        -(2**31),
        -(2**31) - 1,
        2**53,
        2**53 + 1,
        2.0**53,
        2**63,
        2**64,
        10**22,
        1e22,
        2**300,
    ),
    *(
        "",
        "0",
        "1",
        "1.0",
        "None",
        "True",
        "a",
        "a\0",
        "\0",
        "\\0",
        "'",
        '"',
        "é",
        "e\u0301",
        "ß",
        "ss",
        "\ufeff",
        "\u200b",
    ),
    *("\ud800", "\udc00", "\ud800\udc00", "\U00010000"),
    *(
        [],
        [[]],
        [{}],
        {},
        {"": None},
        {"": {}},
        {"0": 0},
        {"a": []},
        {"a": {}},
        [None],
        [False],
        [0],
        [0.0],
        [-0.0],
        ["0"],
    ),
    *({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2.0}, {"a": 1, "b": True}, {"a": {"b": 2}}),
    *([1, 2], [2, 1], [1, [2]], [[1], 2], [[1, 2]], [12], ["1", "2"], ["12"], [["a"], "b"], ["a", ["b"]]),
]


def exact(value: Any) -> Any:
    """What is equal for equal values of one type alone: without the equality of 0, 0.0 and False, or of 0.0 and -0.0."""
    if type(value) is list:
        return list, tuple(map(exact, value))
    if type(value) is dict:
        return dict, tuple((exact(name), exact(item)) for name, item in value.items())
    if type(value) is float:
        return float, value.hex()
    return type(value), value


@pytest.mark.parametrize("place", [lambda one: (one, {}), lambda one: ([one], {}), lambda one: ([], {"x": one})])
def test_an_encoding_tells_apart_what_is_hardly_different(place: Any) -> None:
    """Each against each. Examples that are drawn by chance are seldom alike."""
    assert len(set(map(exact, HARDLY_DIFFERENT))) == len(HARDLY_DIFFERENT)
    found: dict[bytes | None, Any] = {None: "what has no encoding"}
    for one in HARDLY_DIFFERENT:
        encoding = encode(1, *place(one))
        assert encoding not in found, f"{one!r} and {found[encoding]!r}"
        found[encoding] = one
        assert encode(1, *place(copy.deepcopy(one))) == encoding, f"{one!r} and its copy"


@given(
    PLAIN, PLAIN, st.dictionaries(st.text(max_size=3), PLAIN, max_size=2), st.dictionaries(st.text(), PLAIN, max_size=2)
)
def test_an_encoding_tells_apart_whatever_differs_in_type_or_value(
    one: Any, other: Any, first: Any, second: Any
) -> None:
    are_same = (exact(one), exact(first)) == (exact(other), exact(second))
    assert (encode(1, one, first) == encode(1, other, second)) == are_same


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

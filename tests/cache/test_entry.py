"""What a store returns is read back exactly, or refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any
from zlib import crc32

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.cache.entry import (
    CHECKSUM_SIZE,
    FORMAT,
    Entry,
    Generations,
    Origin,
    Tagged,
    decode_entry,
    encode_entry,
    pack_completion,
    unpack_completion,
)
from instructor.exceptions import CacheEntryError
from instructor.messages import Part
from instructor.usage import Usage

TEXT = st.text(st.characters(codec="utf-8"))
ENTRIES = st.builds(
    Entry,
    key=st.text("0123456789abcdef", min_size=64, max_size=64),
    parts=st.lists(st.builds(Part, TEXT, TEXT), max_size=4).map(tuple),
    completion_data=TEXT.map(pack_completion),
    origin=st.builds(Origin, *[TEXT] * 5),
    created=st.floats(0, 1e10),
    expires=st.none() | st.floats(0, 1e10),
    seconds=st.floats(0, 1e4),
    usage=st.builds(Usage, *[st.integers(0, 10**9)] * 4),
    attempts=st.integers(1, 99),
    steps=TEXT,
    carried=st.none(),
    tagged=st.none()
    | st.builds(
        Tagged, st.lists(st.text("aé:/ 7", min_size=1), min_size=1, max_size=3).map(tuple), st.integers(0, 2**62)
    ),
)
ENTRY = Entry("a" * 64, (Part("User", '{"name": "Zoë"}'),), pack_completion('{"id": "é"}'), Origin("p", "m"), 1.0)


def read_all(data: Any, key: str) -> tuple[Entry, str]:
    """Everything that anybody reads of an entry."""
    entry = decode_entry(data, key)
    return entry, entry.completion


@given(ENTRIES)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    text = encode_entry(entry)
    assert read_all(text, entry.key) == (entry, entry.completion)
    assert read_all(text.encode(), entry.key) == (entry, entry.completion)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(data + b"!")[:-1]])
def test_a_store_may_return_anything_like_bytes(kind: Any) -> None:
    found, completion = read_all(kind(encode_entry(ENTRY).encode()), ENTRY.key)
    assert (found, completion) == (ENTRY, '{"id": "é"}')
    assert type(found.completion_data) is bytes


def test_the_answer_is_the_first_part() -> None:
    assert ENTRY.answer == '{"name": "Zoë"}'
    assert replace(ENTRY, parts=()).answer == ""


def test_numbers_of_any_type_are_written_as_the_type_that_is_read() -> None:
    entry = replace(ENTRY, created=1, expires=2, seconds=3)
    assert decode_entry(encode_entry(entry), ENTRY.key) == entry


@given(ENTRIES, st.data())
def test_a_changed_byte_is_always_noticed(entry: Entry, data: st.DataObject) -> None:
    raw = bytearray(encode_entry(entry).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CacheEntryError):
        read_all(bytes(raw), entry.key)


@given(ENTRIES, st.data())
def test_an_entry_cut_short_is_always_noticed(entry: Entry, data: st.DataObject) -> None:
    raw = encode_entry(entry).encode()
    with pytest.raises(CacheEntryError):
        decode_entry(raw[: data.draw(st.integers(0, len(raw) - 1))], entry.key)


def test_another_keys_entry_is_refused() -> None:
    with pytest.raises(CacheEntryError, match="another key"):
        decode_entry(encode_entry(ENTRY), "b" * 64)


@pytest.mark.parametrize(
    "garbage",
    ["", "garbage", "{}", "[]", "null", '{"name": "x"}', b"\xff\xfe", b"", "00000000 ", "00000000 {}\n{}", "\ud800"],
)
def test_garbage_is_refused(garbage: str | bytes) -> None:
    with pytest.raises(CacheEntryError):
        decode_entry(garbage, ENTRY.key)


@pytest.mark.parametrize("found", [5, ["text"], object(), memoryview(b"").cast("B")])
def test_what_is_neither_text_nor_bytes_is_refused(found: Any) -> None:
    with pytest.raises(CacheEntryError):
        decode_entry(found, ENTRY.key)


def test_an_entry_of_another_format_is_refused() -> None:
    written = encode_entry(ENTRY).replace(f"[{FORMAT},", f"[{FORMAT + 1},")
    with pytest.raises(CacheEntryError, match="format"):
        decode_entry(written, ENTRY.key)


def test_an_entry_of_the_format_before_is_refused() -> None:
    body = b'[4,"' + b"a" * 64 + b'","p","m",1.0,null,0.0,0,0,0,0,1,"",0,"",2]\n{}'
    with pytest.raises(CacheEntryError, match="format"):
        decode_entry(b"%08x %b" % (crc32(body), body), ENTRY.key)


def test_entries_of_one_origin_share_it() -> None:
    """An entry knows more than it did, and takes no more memory."""
    origin = Origin("openai", "gpt", "gpt-2026", "tenant", "User")
    one, other = (decode_entry(encode_entry(replace(ENTRY, origin=origin)), ENTRY.key) for _ in range(2))
    assert one.origin is other.origin
    assert one.usage is other.usage
    assert len(fields(Entry)) == 12


@pytest.mark.parametrize(
    ("generation", "of_tags", "is_covered"),
    [(5, (5, 0), True), (5, (6,), False), (3, (), False), (8, (), False), (7, (0, 7), True)],
)
def test_an_answer_is_stale_once_a_tag_of_it_was_invalidated_or_the_numbers_are_lost(
    generation: int, of_tags: tuple[int, ...], is_covered: bool
) -> None:
    assert Generations(4, 7, of_tags).cover(generation) is is_covered


SEVERAL = replace(ENTRY, parts=(Part("User", "{}"), Part("City", '{"name": "Ulm"}'), Part("", "")))


def test_an_answer_may_have_several_parts() -> None:
    assert decode_entry(encode_entry(SEVERAL), ENTRY.key) == SEVERAL


def rewrite(change: Any) -> str:
    """Change the first line of an entry, and make its checksum fit, as whoever writes the store can."""
    head, rest = encode_entry(ENTRY).split(" ", 1)[1].split("\n", 1)
    members = json.loads(head)
    change(members)
    answer = f"{json.dumps(members)}\n{rest.removesuffix(ENTRY.completion_data.decode())}"
    return f"{crc32(answer.encode()):08x} {answer}{ENTRY.completion_data.decode()}"


def test_a_rewritten_entry_is_read_where_its_types_are_right() -> None:
    assert decode_entry(rewrite(lambda head: None), ENTRY.key) == ENTRY


WRONG = [
    None,
    True,
    "x",
    [],
    {},
    5,
    -5,
    1.5,
    -1.5,
    10**30,
    ["a"],
    [["User", -1]],
    [["User"]],
    [[5, 5]],
    [["User", 10**9]],
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("place", range(20))
def test_a_member_of_the_wrong_type_is_refused(place: int, wrong: Any) -> None:
    """Whatever is let through has the type that everybody after this relies on."""
    try:
        entry = decode_entry(rewrite(lambda head: head.__setitem__(place, wrong)), ENTRY.key)
    except CacheEntryError:
        return
    assert type(entry.created) is type(entry.seconds) is float
    assert type(entry.expires) in {float, type(None)}
    assert all(type(member) is str for member in entry.origin)
    counts = (entry.usage.input_tokens, entry.usage.output_tokens, entry.usage.cached_tokens, entry.attempts)
    assert {type(count) for count in counts} == {int}


@pytest.mark.parametrize("place", range(20))
def test_a_missing_member_is_refused(place: int) -> None:
    with pytest.raises(CacheEntryError):
        decode_entry(rewrite(lambda head: head.pop(place)), ENTRY.key)


def test_no_error_quotes_the_answer() -> None:
    raw = encode_entry(replace(ENTRY, parts=(Part("User", "SECRET"),))).encode()
    for at in range(len(raw)):
        with pytest.raises(CacheEntryError) as caught:
            read_all(raw[:at] + bytes([raw[at] ^ 0x80]) + raw[at + 1 :], ENTRY.key)
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_damaged_completion_is_noticed_when_it_is_read() -> None:
    text = encode_entry(ENTRY).replace('"id"', '"ID"')
    entry = decode_entry(text, ENTRY.key)
    assert entry.answer == ENTRY.answer
    with pytest.raises(CacheEntryError, match="checksum"):
        _ = entry.completion


LONG = orjson.dumps({"text": 'Zoë said "1/2"\n' * 1500}).decode()


def with_long_answer(completion: str) -> Entry:
    """An entry with a long answer, and a completion."""
    parts = (Part("User", LONG), Part("City", "{}"))
    return replace(ENTRY, parts=parts, completion_data=pack_completion(completion, parts))


@pytest.mark.parametrize(
    ("begin", "answer", "end"),
    [
        ('{"arguments":"', orjson.dumps(LONG).decode()[1:-1], '","é":1}'),
        ('{"é":1,"input":', LONG, "}"),
        (f'{{"thoughts":{LONG},"input":', LONG, "}"),
        ("@12e ", LONG, ""),
    ],
    ids=["a text", "JSON", "twice", "a mark before it"],
)
def test_a_long_answer_is_left_out_of_the_completion_and_put_back(begin: str, answer: str, end: str) -> None:
    completion = begin + answer + end
    entry = with_long_answer(completion)
    assert len(entry.completion_data) <= len(completion.encode()) - len(LONG.encode()) + 20
    assert read_all(encode_entry(entry), entry.key) == (entry, completion)


@pytest.mark.parametrize("completion", ['{"arguments":"another text"}', "@", "@12e {}"])
def test_a_completion_without_the_answer_is_kept_whole(completion: str) -> None:
    entry = with_long_answer(completion)
    assert read_all(encode_entry(entry), entry.key) == (entry, completion)


def test_an_answer_that_has_no_utf8_is_left_where_it_is() -> None:
    parts = (Part("", "\ud800" + LONG),)
    assert unpack_completion(pack_completion('{"id":1}', parts), parts) == '{"id":1}'


@pytest.mark.parametrize("body", [b"@", b"@e {}", b"@1e {}", b"@1x {}", b"@1 {}"])
def test_a_completion_that_cannot_be_put_together_is_damaged(body: bytes) -> None:
    data = b"%08x %b" % (crc32(body), body)
    with pytest.raises(CacheEntryError, match="put together"):
        unpack_completion(data, ())


def test_an_entry_of_format_5_is_read() -> None:
    """In it, every completion is whole."""
    written = re_sealed(encode_entry(ENTRY).replace(f"[{FORMAT},", "[5,"))
    assert read_all(written, ENTRY.key) == (ENTRY, '{"id": "é"}')


def re_sealed(text: str) -> str:
    """The text of `ENTRY`, changed, with the checksum that fits."""
    answer = text.encode()[CHECKSUM_SIZE:].removesuffix(ENTRY.completion_data)
    return f"{crc32(answer):08x} {answer.decode()}{ENTRY.completion_data.decode()}"

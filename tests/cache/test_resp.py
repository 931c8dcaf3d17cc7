"""Replies of a Redis server are read as they are, in whatever pieces they come."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.cache.resp import Push, ReplyReader, ServerError, encode_command, read_replies, read_replies_async

SENT = (
    b"+OK\r\n:-7\r\n$5\r\na\r\nbc\r\n$-1\r\n_\r\n*-1\r\n-ERR no\r\n"
    b"%1\r\n+server\r\n*2\r\n:1\r\n#t\r\n"
    b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n"
    b"~1\r\n,1.5\r\n>2\r\n$10\r\ninvalidate\r\n_\r\n=3\r\ntxt\r\n"
)


@given(cuts=st.lists(st.integers(0, len(SENT)), max_size=30))
def test_replies_are_the_same_in_whatever_pieces_they_come(cuts: list[int]) -> None:
    reader = ReplyReader()
    ends = [0, *sorted(cuts), len(SENT)]
    ok, number, text, *nothing, error, table, push, one, flush, verbatim = [
        reply for start, end in itertools.pairwise(ends) for reply in reader.feed(SENT[start:end])
    ]
    assert (ok, number, text, nothing) == (b"OK", -7, b"a\r\nbc", [None, None, None])
    assert isinstance(error, ServerError)
    assert str(error) == "ERR no"
    assert table == [b"server", [1, b"t"]]
    assert isinstance(push, Push)
    assert push == [b"invalidate", [b"a", b""]]
    assert (one, verbatim) == ([b"1.5"], b"txt")
    assert flush == [b"invalidate", None]


@pytest.mark.parametrize("data", [b"HTTP/1.1 200 OK\r\n", b"$99999999999\r\n", b"*x\r\n"])
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        ReplyReader().feed(data)


def test_a_command_is_written_with_the_lengths_of_its_bytes() -> None:
    assert encode_command(("GET", "é")) == b"*2\r\n$3\r\nGET\r\n$2\r\n\xc3\xa9\r\n"
    assert encode_command((b"SET", "é", 5, "x" * 300)) == (
        b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa9\r\n$1\r\n5\r\n$300\r\n" + b"x" * 300 + b"\r\n"
    )


REPLIES = [
    *(b"$5\r\na\r\nbc\r\n", b"$0\r\n\r\n", b"$-1\r\n", b":-7\r\n", b"+OK\r\n"),
    *(
        b"*3\r\n$5\r\na\r\nbc\r\n:12\r\n$0\r\n\r\n",
        b"*2\r\n$1\r\na\r\n$-1\r\n",
        b"*2\r\n*1\r\n:1\r\n+OK\r\n",
        b"*0\r\n",
        b"*-1\r\n",
    ),
]


@pytest.mark.parametrize("sent", REPLIES)
def test_one_reply_is_read_as_the_reader_reads_it_in_whatever_pieces_it_comes(sent: bytes) -> None:
    (expected,) = ReplyReader().feed(sent)
    for cut in range(1, len(sent) + 1):
        pieces = iter([sent[:cut], sent[cut:]])
        assert read_replies(lambda _, pieces=pieces: next(pieces), 1) == [expected]  # type: ignore[misc]


def test_many_replies_are_read_in_whatever_pieces_they_come() -> None:
    sent = b"".join(REPLIES)
    expected = ReplyReader().feed(sent)
    for cut in range(1, len(sent) + 1):
        pieces = iter([sent[:cut], sent[cut:]])
        assert read_replies(lambda _, pieces=pieces: next(pieces), len(REPLIES)) == expected  # type: ignore[misc]


async def test_a_task_reads_replies_in_whatever_pieces_they_come() -> None:
    sent = b"".join(REPLIES)
    for cut in (1, 20, len(sent)):
        pieces = iter([sent[:cut], sent[cut:]])

        async def receive(_: int, pieces: Iterator[bytes] = pieces) -> bytes:
            return next(pieces)

        assert await read_replies_async(receive, len(REPLIES)) == ReplyReader().feed(sent)


@pytest.mark.parametrize("sent", REPLIES)
@pytest.mark.parametrize("more", [b":1\r\n", b"$"])
def test_more_than_one_reply_is_an_error(sent: bytes, more: bytes) -> None:
    with pytest.raises(ValueError, match="more"):
        read_replies(lambda _: sent + more, 1)


def test_an_error_is_a_reply_and_an_end_is_not() -> None:
    assert isinstance(read_replies(lambda _: b"-ERR no\r\n", 1)[0], ServerError)
    pieces = iter([b"$5\r\nab", b""])
    with pytest.raises(ConnectionError):
        read_replies(lambda _: next(pieces), 1)

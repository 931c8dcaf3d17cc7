"""What a stream costs: counted in calls and in objects that are alive, not by the clock."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from instructor import Instructor, Mode
from instructor.engine import response_type
from instructor.offline.chunks import stream_completion
from instructor.streaming.partial import shape_of
from instructor.streaming.scanner import Scanner
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

MESSAGES = [{"role": "user", "content": "Who?"}]


TOOLS = [{"type": "function", "function": {"name": "User", "parameters": {"type": "object"}}}]


class User(BaseModel):
    name: str
    age: int = 18


class Names(BaseModel):
    names: list[str]


def make(answer: Any, size: int = 12) -> tuple[Instructor, list[weakref.ref[Any]]]:
    """Make a client whose provider streams an answer, and the list of the chunks that it has sent."""
    adapter, sent = ScriptedAdapter(lambda _: answer), list[weakref.ref[Any]]()
    send = adapter.send

    def note(chunk: Any) -> Any:
        sent.append(weakref.ref(chunk))
        return chunk

    def stream(operation: str, request: Any) -> Iterator[Any]:
        whole = send(operation, {name: value for name, value in request.items() if name != "stream"})
        return map(note, stream_completion(whole, size))

    adapter.send = stream  # type: ignore[method-assign]
    return Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m"), sent


def count_calls(run: Callable[[], object]) -> int:
    """How many functions are called, those of C included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("text", ['x"\\ \U0001f98a{}', "plain, and long"])
def test_a_stream_in_single_characters_takes_calls_in_proportion_to_its_length(text: str) -> None:
    def count(times: int) -> int:
        client, _ = make({"name": text * times}, 1)
        chunks = list(
            client.client.send("", {"tools": TOOLS, "stream": True})
        )  # made before, because that is the SDK's work
        client.client.send = lambda *_: iter(chunks)
        return count_calls(lambda: [None for _ in client.create_partial(User, MESSAGES)])

    count(1)  # what is done once for each class
    shortest, short, long = count(1), count(21), count(81)
    assert long - shortest < 1.1 * 4 * (short - shortest)


def test_a_chunk_that_is_shown_takes_a_hundred_calls_at_most() -> None:
    client, _ = make({"name": "x"}, 1)
    chunks = [chunk.to_dict() for chunk in client.client.send("", {"tools": TOOLS, "stream": True})]
    middle = next(at for at, chunk in enumerate(chunks) if chunk["choices"] and "'x'" in str(chunk["choices"]))

    def count(times: int) -> int:
        client.client.send = lambda *_: iter([*chunks[:middle], *chunks[middle : middle + 1] * times, *chunks[middle:]])
        return count_calls(lambda: [None for _ in client.create_partial(User, MESSAGES)])

    count(1)  # what is done once for each class
    assert count(101) - count(1) <= 100 * 100


@pytest.mark.parametrize(
    "text", ["<thin <think>no</think>" * 9, '{"name": "\\ud83e\\udd8a\\n", "age": 25, "more": {"a": "\\""}}']
)
def test_no_more_than_a_tag_or_an_escape_is_read_again(text: str) -> None:
    scanner, kept = Scanner(shape_of(User)), 0
    for character in text:
        scanner.feed(character)
        kept = max(kept, len(scanner._rest))
    assert 0 < kept <= 12


def test_ten_thousand_items_leave_nothing_behind_while_they_come() -> None:
    client, chunks = make({"content": [{"name": f"Anna {number}"} for number in range(10_000)]}, 100)
    items: list[weakref.ref[User]] = []
    for item in client.create_iterable(User, MESSAGES):
        items.append(weakref.ref(item))
        if len(items) % 2_500 == 0:
            assert sum(one() is not None for one in items) == 1
            assert sum(one() is not None for one in chunks) <= 2
    assert len(items) == 10_000
    assert len(chunks) > 2_000


@pytest.mark.parametrize("item", [User, User | int])
def test_a_second_stream_compiles_nothing_anew(item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    items, _ = make({"content": [{"name": "Anna"}]})
    whole, _ = make({"name": "Anna"})
    for _ in range(2):
        assert list(items.create_iterable(item, MESSAGES)) == [User(name="Anna")]
        assert list(whole.create_partial(User, MESSAGES))[-1] == User(name="Anna")
        monkeypatch.setattr(response_type, "make_response_type", pytest.fail)
        monkeypatch.setattr(response_type, "TypeAdapter", pytest.fail)


def test_most_chunks_of_a_long_answer_wait_until_a_snapshot_may_be_due(monkeypatch: pytest.MonkeyPatch) -> None:
    client, sent = make({"names": ["Anna"] * 5_000})
    reads, feed = list[int](), Scanner.feed
    monkeypatch.setattr(Scanner, "feed", lambda self, chunk: (reads.append(len(chunk)), feed(self, chunk))[1])
    shown = sum(1 for _ in client.create_partial(messages=MESSAGES, response_model=Names))
    assert len(reads) <= shown + 300 < len(sent) / 2

"""Every prefix of random answers of random models."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, computed_field

from growth import check_stream
from instructor.engine.response_type import make_response_type
from instructor.streaming.partial import shape_of
from instructor.streaming.scanner import Scanner
from instructor.streaming.shapes import ABSENT
from instructor.streams import want_partial
from instructor.wires.folding import Delta
from truth import Color, Tree


class Member(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_a_stream_of_a_random_model_only_grows_and_ends_and_replays_as_the_plain_call(start: int) -> None:
    assert sum(map(check_stream, range(start, start + 20))) > 5


class Loud(BaseModel):
    """Settings and constraints that change a text, and members that no answer holds."""

    model_config = ConfigDict(use_enum_values=True, extra="allow", frozen=True)

    name: Annotated[str, StringConstraints(to_upper=True)] = ""
    color: Color = Color.BLUE
    own: str = Field("", alias="other")
    _seen: list[int] = PrivateAttr(default_factory=list)

    @computed_field  # type: ignore[prop-decorator] # pydantic's documented order
    @property
    def shout(self) -> str:
        return self.name + "!"


def test_what_a_models_settings_change_shows_once_it_is_complete() -> None:
    answer = '{"name": "anna maria", "color": "red", "own": "an extra", "other": "growing text"}'
    showing = want_partial(Loud, {}.get).show(make_response_type(Loud), True, None)
    shown = [*showing.begin()]
    for character in answer:
        shown += showing.add(Delta(0, "", character))
    whole = Loud.model_validate_json(answer)
    assert {one.name for one in shown} == {None, whole.name}
    assert {one.color for one in shown} == {None, "red"}
    assert {one.shout for one in shown} == {None, "ANNA MARIA!"}
    assert all(one.own is None or whole.own.startswith(one.own) for one in shown)
    assert "PartialLoud" in repr(shown[0])
    shown[0]._seen.append(1)
    assert shown[1]._seen == []
    assert shown[0].model_dump()["shout"] is None


def test_a_member_that_comes_twice_ends_the_showing_and_does_not_change_it() -> None:
    scanner = Scanner(shape_of(Member))
    scanner.feed('{"age": 1, "age": 2')
    scanner.feed("}")
    assert scanner.snapshot().age == 1
    assert scanner.is_broken


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"name": "a}{\\"b[", "age": 1}', ('a}{"b[', 1)),
        ('{"name": "a", "age": 1}{"name": "b", "age": 2}', ("a", 1)),
        ('```json\n{"name": "a", "age": 1}\n```', ("a", 1)),
        ('Here it is: {"name": "a", "age": 1}. Done.', ("a", 1)),
        ('<think>{"name": "no"}</think>{"name": "a", "age": 1}', ("a", 1)),
        ('{"name": "\\ud83d\\ude00", "age": 1}', ("😀", 1)),
        ('{"name": "\\ud83d", "age": 1}', (None, None)),
        ('{"name": "a" "age": 1}', ("a", None)),
        ("[1, 2", None),
        ("", None),
        ("{", (None, None)),
        ('{"age": 1', (None, None)),
        ('{"age": 1e999999, "name": "a"}', ("a", None)),
        ('{"age": -, "name": "a"}', ("a", None)),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_bad_and_odd_text_shows_what_is_sure(text: str, shown: Any, size: int) -> None:
    scanner = Scanner(shape_of(Member))
    for at in range(0, len(text), size):
        scanner.feed(text[at : at + size])
        scanner.snapshot()
    last = scanner.snapshot()
    if shown is None:
        assert last is ABSENT
    else:
        assert (last.name or None, last.age) == shown


@given(st.text(alphabet='{}[]",:\\ue0d8 1-.ntf<think>`', max_size=60), st.integers(1, 5))
def test_no_text_at_all_makes_the_scanner_raise(text: str, size: int) -> None:
    for model in (Member, Tree):
        scanner = Scanner(shape_of(model))
        for at in range(0, len(text), size):
            scanner.feed(text[at : at + size])
            if scanner.is_due:
                scanner.snapshot()


def test_20_megabytes_and_5_000_levels_are_read_in_one_pass() -> None:
    scanner = Scanner(shape_of(Member))
    scanner.feed('{"name": "')
    shown = 0
    for _ in range(200):
        scanner.feed("x" * 100_000)
        if scanner.is_due:
            shown += 1
            scanner.snapshot()
    scanner.feed('", "age": 3}')
    assert (len(scanner.snapshot().name), scanner.snapshot().age) == (20_000_000, 3)
    deep = Scanner(shape_of(Tree))
    text = '{"name": "a", "branches": [' * 5_000 + "]}" * 5_000
    for at in range(0, len(text), 1_000):
        deep.feed(text[at : at + 1_000])
        if deep.is_due:
            deep.snapshot()
    assert deep.is_over
    assert deep.snapshot().branches[0].name == "a"


def test_reading_a_text_takes_steps_in_proportion_to_its_length() -> None:
    """Counted in characters that snapshots copy, not by the clock."""

    def copied(length: int) -> int:
        scanner, total = Scanner(shape_of(Member)), 0
        scanner.feed('{"name": "')
        for _ in range(length):
            scanner.feed("x")
            if scanner.is_due:
                total += len(scanner.snapshot().name)
        return total

    assert copied(64_000) < 2 * 4 * copied(16_000)


def read_steps(text: str, size: int) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    """What is shown of a text, and at which lengths, where chunks may wait and where each is read at once."""
    patient, eager = Scanner(shape_of(list[Member])), Scanner(shape_of(list[Member]))
    steps: tuple[list[tuple[int, Any]], list[tuple[int, Any]]] = [], []
    for at in range(0, len(text), size):
        chunk = text[at : at + size]
        if patient.take(chunk):
            steps[0].append((patient.length, patient.snapshot()))
        eager.feed(chunk)
        if eager.is_due:
            steps[1].append((eager.length, eager.snapshot()))
    return steps


@pytest.mark.parametrize("size", [1, 7, 12])
def test_chunks_that_wait_show_the_same_at_the_same_places(size: int) -> None:
    people = ", ".join(
        f'{{"name": "Anna {number}", "age": {number}, "seen": [1, {{"on": true}}]}}' for number in range(150)
    )
    patient, eager = read_steps(f"Here you are: [{people}]", size)
    assert patient == eager
    assert len(eager) > 100


@pytest.mark.parametrize(
    "member",
    ['"name": "Anna"', '"name": null', '"age" : 18 ', '"age": 1.5e3', '"age":"18"', '"name": "a, }b"', '"other": tru'],
)
def test_a_member_that_comes_whole_is_read_as_one_that_is_cut(member: str) -> None:
    whole, cut = Scanner(shape_of(Member)), Scanner(shape_of(Member))
    text = f'{{{member}, "name": "Berta"}}'
    whole.feed(text)
    for character in text:
        cut.feed(character)
    assert (whole.snapshot(), whole.is_broken, whole.length) == (cut.snapshot(), cut.is_broken, cut.length)

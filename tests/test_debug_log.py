"""The debug log: off it costs nothing, on it shows each hit, miss and request, and never what was asked or answered."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from instructor import debug_log
from instructor.cache import AutoCache
from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import InstructorRetryException
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT
from steps import HELLO, User

JASON = {"name": "Jason", "age": 25}
LOGGER = logging.getLogger("instructor")


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    before = LOGGER.level, logging.getLogger().level
    yield
    LOGGER.setLevel(before[0])
    logging.getLogger().setLevel(before[1])


def make(replies: Any) -> Instructor:
    return Instructor(
        ScriptedAdapter(replies), wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache()
    )


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]


def test_it_shows_misses_requests_and_hits_of_a_client_that_was_made_before_it_was_on(caplog: Any) -> None:
    client = make([JASON])
    LOGGER.setLevel(logging.DEBUG)
    client.create(User, HELLO, temperature=0.5)
    client.create(User, HELLO, temperature=0.5)
    events = [line.partition(":")[2].partition(": ") for line in lines_of(caplog)]
    assert [name for name, *_ in events] == ["miss", "kwargs", "response", "usage", "request", "write", "hit"]
    shown = {name: text for name, _, text in events}
    assert shown["miss"].startswith("User from scripted/m in AutoCache, key ")
    assert shown["miss"].endswith(", cold")
    assert shown["kwargs"].startswith("model m, 1 messages, temperature, tool_choice, tools")
    assert "stored 0.0 s ago" in shown["hit"]


async def test_the_asynchronous_client_shows_its_hits_too(caplog: Any) -> None:
    client = AsyncInstructor(
        ScriptedAdapter([JASON], asynchronous=True), wires={Mode.TOOLS: OPENAI_CHAT}, model="m", cache=AutoCache()
    )
    LOGGER.setLevel(logging.DEBUG)
    await client.create(User, HELLO)
    await client.create(User, HELLO)
    assert [line.partition(": ")[0] for line in lines_of(caplog)][-1] == "cache:hit"


def test_it_holds_neither_a_prompt_nor_an_answer_nor_the_text_of_an_error(caplog: Any) -> None:
    client = make([{"name": "Top secret", "age": "ancient"}] * 2)
    LOGGER.setLevel(logging.DEBUG)
    with pytest.raises(InstructorRetryException):
        client.create(User, [{"role": "user", "content": "Whisper"}], max_retries=1, user="anna@example.com")
    assert "parse:error: ValidationError in attempt 1 of 2" in lines_of(caplog)
    for secret in ("secret", "ancient", "Whisper", "anna"):
        assert secret not in caplog.text


@pytest.mark.parametrize("switch", ["instructor", "root", "disable"])
def test_it_is_switched_on_and_off_wherever_a_level_is_set(switch: str, caplog: Any) -> None:
    client = make([JASON])
    client.create(User, HELLO)
    assert not lines_of(caplog)
    (logging.getLogger() if switch == "root" else LOGGER).setLevel(logging.DEBUG)
    client.create(User, HELLO)
    assert len(lines_of(caplog)) == 1
    if switch == "disable":
        logging.disable(logging.DEBUG)
    else:
        (logging.getLogger() if switch == "root" else LOGGER).setLevel(logging.WARNING)
    try:
        assert not debug_log.enabled
        client.create(User, HELLO)
    finally:
        logging.disable(logging.NOTSET)
    assert len(lines_of(caplog)) == 1


def test_handlers_are_called_as_without_it() -> None:
    client, told = make([JASON]), []
    client.on("cache:hit", told.append)
    LOGGER.setLevel(logging.DEBUG)
    for _ in range(3):
        client.create(User, HELLO)
    assert len(told) == 2

"""``instructor extract --batch``: the vendor's half-price batch answers an input, and nothing is submitted twice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from batch_server import BatchServer
from cli.conftest import CommandLine

LINES = '{"text": "row 1"}\n{"text": ""}\n{"text": "row 2"}\n{"text": "row 1"}\n'


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as server:
        server.polls = 0
        yield server


@pytest.fixture
def words(command_line: CommandLine, server: BatchServer) -> list[str]:
    (command_line.folder / "counted.py").write_text(
        "from pydantic import BaseModel\nclass Number(BaseModel):\n    number: int\n"
    )
    command_line.environment |= {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": f"{server.address}/v1"}
    options = ("--batch", "--report", "figures.json")
    source = command_line.write("in.jsonl", LINES)
    return command_line.words(source, *options, model="openai/gpt-4.1-mini", shape="counted:Number")


def test_a_batch_answers_an_input_at_half_the_price(command_line: CommandLine, server: BatchServer, words: list[str]):
    finished = command_line.run(*words)
    assert finished.returncode == 1, "a record has no text"
    assert "line 2: the record has no text" in finished.stderr
    assert "Warning" not in finished.stderr
    answers = [line.get("answer") for line in command_line.read_lines()]
    assert answers == [{"number": 1}, None, {"number": 2}, {"number": 1}]
    assert [len(batch["rows"]) for batch in server.batches] == [2], "equal records are asked once"
    assert not server.live
    figures = command_line.read_report()
    assert (figures["batched"], figures["shared"], figures["failed"], figures["requests"]) == (2, 1, 1, 2)
    live = command_line.run(*(word for word in words if word != "--batch"), "--cache", "elsewhere")
    assert (live.returncode, len(server.live)) == (1, 2)
    assert 0 < figures["money_spent"] == pytest.approx(command_line.read_report()["money_spent"] / 2)


def test_a_batch_that_was_left_is_read_by_the_same_command(
    command_line: CommandLine, server: BatchServer, words: list[str]
):
    server.polls = 1
    process = command_line.start(*words)
    try:
        while not server.batches or not server.batches[0]["looks"]:
            assert process.poll() is None
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "The batch goes on at the provider" in stderr
    assert "Run the same command again to go on: it reads the answers of the batch into kept, and submits" in stderr
    assert ".part" not in stderr, "nothing is written yet"
    assert not [*command_line.folder.glob("*.part")]
    assert command_line.run(*words).returncode == 1
    assert (len(command_line.read_lines()), len(server.batches)) == (4, 1)

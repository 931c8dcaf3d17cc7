"""Whatever ends a run, what was answered is kept: the same command again asks only the rest."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from cli.conftest import CommandLine
from replies import Received, Reply, ReplyServer, chat_completion

RECORDS = 12
ANSWERED = 5


class StallingServer(ReplyServer):
    """Answers the first `ANSWERED` requests, and the others only once it is released."""

    def __init__(self) -> None:
        super().__init__(Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36})))
        self.flowing = threading.Event()

    def take(self, received: Received) -> Reply:
        reply = super().take(received)
        if len(self.requests) > ANSWERED:
            self.flowing.wait()
        return reply


@pytest.fixture
def server() -> Iterator[StallingServer]:
    with StallingServer() as server:
        yield server
        server.flowing.set()


@pytest.fixture
def words(command_line: CommandLine, server: StallingServer) -> list[str]:
    command_line.environment |= {"OPENAI_API_KEY": "test", "OPENAI_BASE_URL": server.url}
    source = command_line.write("in.txt", "".join(f"record {number}\n" for number in range(RECORDS)))
    return command_line.words(source, "--concurrency", "1", model="openai/gpt-4.1-mini")


@pytest.fixture
def stalled(command_line: CommandLine, server: StallingServer, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A run that has had `ANSWERED` answers and waits for the next."""
    process = command_line.start(*words)
    server.wait_for(ANSWERED + 1)
    yield process
    process.kill()
    process.communicate()


def run_again(command_line: CommandLine, server: StallingServer, words: list[str]) -> int:
    """Run the same command to its end; return how many requests it made."""
    server.flowing.set()
    before = len(server.requests)
    assert not (command_line.folder / "out.jsonl").exists()
    finished = command_line.run(*words)
    assert finished.returncode == 0, finished.stderr
    assert [line["line"] for line in command_line.read_lines()] == list(range(1, RECORDS + 1))
    assert not (command_line.folder / "out.jsonl.part").exists()
    return len(server.requests) - before


def test_after_a_kill_only_the_rest_is_asked(
    command_line: CommandLine, server: StallingServer, words: list[str], stalled: subprocess.Popen[str]
):
    stalled.kill()
    stalled.wait()
    assert run_again(command_line, server, words) == RECORDS - ANSWERED


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_waits_for_the_answer_under_way(
    command_line: CommandLine,
    server: StallingServer,
    words: list[str],
    stalled: subprocess.Popen[str],
    number: signal.Signals,
    status: int,
):
    stalled.send_signal(number)
    wait_until_said(stalled, "Stopping")
    server.flowing.set()
    _, said = stalled.communicate(timeout=30)
    assert stalled.returncode == status
    assert f"Stopped after {ANSWERED + 1} records" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert run_again(command_line, server, words) == RECORDS - ANSWERED - 1


def test_the_second_ctrl_c_drops_the_answer_under_way(
    command_line: CommandLine, server: StallingServer, words: list[str], stalled: subprocess.Popen[str]
):
    stalled.send_signal(signal.SIGINT)
    wait_until_said(stalled, "Stopping")
    stalled.send_signal(signal.SIGINT)
    _, said = stalled.communicate(timeout=30)
    assert stalled.returncode == 130
    assert "Traceback" not in said
    assert run_again(command_line, server, words) == RECORDS - ANSWERED


def test_ctrl_c_ends_a_run_that_waits_for_its_input(command_line: CommandLine):
    process = command_line.start(*command_line.words("-", "--format", "text"), stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write("Jason is 25\n")
        process.stdin.flush()
        part = command_line.folder / "out.jsonl.part"
        wait_until(lambda: part.exists() and part.read_text() != "")
        process.send_signal(signal.SIGINT)
        process.wait(30)  # with its input still open
        said = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Stopped after 1 records" in said
    assert "Traceback" not in said


def wait_until_said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    assert any(word in line for line in iter(process.stderr.readline, ""))


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError

"""Whatever ends a run, what was answered is kept: the same command again asks only the rest."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import CommandLine
from cli.runs import job_of, wait_until
from forks import Forked
from instructor.cache import BaseCache
from instructor.cli.extract import Run
from instructor.cli.inputs import Inputs
from instructor.cli.output import Output
from instructor.cli.records import Input
from instructor.cli.run_stats import Outcome
from replies import Received, Reply, ReplyServer, chat_completion

RECORDS = 12
ANSWERED = 5
IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "instructor", *sys.argv[1:]])
"""
"""Starts the command as the first process of a session on the terminal that is its standard input."""
WITH_BRIEF_LEASES = """
import functools, runpy
from instructor import cache
cache.DiskCache = functools.partial(cache.DiskCache, lease=0.3)
runpy.run_module("instructor", run_name="__main__", alter_sys=True)
"""
"""Starts the command; when it is killed, the next run waits for so long to ask what was under way."""
WITHOUT_PATIENCE = """
import runpy
from instructor.cli import extract
extract.Run.__init__.__defaults__ = (None, 0.0)
runpy.run_module("instructor", run_name="__main__", alter_sys=True)
"""
"""Starts the command; it drops at once what has no answer at the second signal."""


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
def stalled(command_line: CommandLine, server: StallingServer, words: list[str]) -> Iterator[Forked]:
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
    return len(server.requests) - before


def test_after_a_kill_only_the_rest_is_asked(command_line: CommandLine, server: StallingServer, words: list[str]):
    program = command_line.write("brief.py", WITH_BRIEF_LEASES)
    process = command_line.template.start(program, *words, cwd=command_line.folder, env=command_line.environment)
    server.wait_for(ANSWERED + 1)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert run_again(command_line, server, words) == RECORDS - ANSWERED


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_waits_for_the_answer_under_way(
    command_line: CommandLine,
    server: StallingServer,
    words: list[str],
    stalled: Forked,
    number: signal.Signals,
    status: int,
):
    stalled.send_signal(number)
    wait_until_shown(stalled, "Stopping")
    server.flowing.set()
    _, stderr = stalled.communicate(timeout=30)
    assert stalled.returncode == status
    assert f"Stopped after {ANSWERED + 1} records" in stderr
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr
    assert run_again(command_line, server, words) == RECORDS - ANSWERED - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_repeated_signals_lose_no_answer_that_is_under_way(
    command_line: CommandLine,
    server: StallingServer,
    words: list[str],
    stalled: Forked,
    number: signal.Signals,
):
    for _ in range(10):
        stalled.send_signal(number)
    wait_until_shown(stalled, "Stopping")
    stalled.send_signal(number)
    wait_until_shown(stalled, "Dropping what has no answer in 10 seconds")
    stalled.send_signal(signal.SIGTERM)
    server.flowing.set()
    _, stderr = stalled.communicate(timeout=60)
    assert stalled.returncode == 128 + number, "the first signal counts"
    assert f"Stopped after {ANSWERED + 1} records" in stderr
    assert "Traceback" not in stderr
    assert run_again(command_line, server, words) == RECORDS - ANSWERED - 1


def test_a_run_that_drops_what_has_no_answer_ends_beside_its_waiting_threads(
    command_line: CommandLine, server: StallingServer, words: list[str]
):
    program = command_line.write("hasty.py", WITHOUT_PATIENCE)
    words += ["--concurrency", "4"]
    process = command_line.template.start(program, *words, cwd=command_line.folder, env=command_line.environment)
    try:
        server.wait_for(ANSWERED + 4)
        process.send_signal(signal.SIGINT)
        wait_until_shown(process, "Stopping")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert run_again(command_line, server, words) == RECORDS - ANSWERED, "and no lease is left to wait for"


def test_a_terminal_that_is_closed_loses_nothing(command_line: CommandLine, server: StallingServer, words: list[str]):
    """Its signal comes to a run that can't write to its terminal any more."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *words],
        cwd=command_line.folder,
        env=command_line.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    drain = threading.Thread(target=read_until, args=(ours, b"Stopping"))
    try:
        server.wait_for(ANSWERED + 1)
        drain.start()
        process.send_signal(signal.SIGINT)
        drain.join(60)
        os.close(ours)  # the kernel sends SIGHUP, and every write fails from now on
        server.flowing.set()
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert run_again(command_line, server, words) == RECORDS - ANSWERED - 1


def test_a_run_under_nohup_outlives_its_terminal(command_line: CommandLine, server: StallingServer, words: list[str]):
    shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-m", "instructor", *words]
    process = subprocess.Popen(
        shell, cwd=command_line.folder, env=command_line.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        server.wait_for(ANSWERED + 1)
        process.send_signal(signal.SIGHUP)
        server.flowing.set()
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    assert len(command_line.read_lines()) == RECORDS


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_before_the_first_request_ends_the_command(
    command_line: CommandLine, server: StallingServer, words: list[str], number: signal.Signals, status: int
):
    shapes = command_line.folder / "shapes.py"
    # One long sleep would miss a signal that comes just before it begins.
    waiting = 'import pathlib, time\npathlib.Path("loading").touch()\nfor _ in range(6000):\n    time.sleep(0.01)\n'
    shapes.write_text(shapes.read_text() + waiting)
    process = command_line.start(*words)
    try:
        wait_until((command_line.folder / "loading").exists)
        for _ in range(5):
            process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert "Stopped. Run the same command again" in stderr
    assert "Traceback" not in stderr
    assert not server.requests


def test_an_impatient_user_drops_only_what_the_provider_has_not_answered(tmp_path: Path):
    (tmp_path / "in.txt").write_text("".join(f"{number}\n" for number in range(4)))
    stored, announced = [], []
    waiting, answered = threading.Barrier(3), threading.Semaphore(0)
    dropped, over = threading.Event(), threading.Event()

    class SlowStore(BaseCache):
        timeout = None

        def get(self, key: str) -> str | None:
            return None

        def set(self, key: str, value: str, ttl: int | None = None) -> None:
            answered.release()
            dropped.wait()
            stored.append(key)

    def ask(number: int) -> int:
        if number >= 2:
            waiting.wait()
            over.wait()
        return number

    output = Output(str(tmp_path / "out.jsonl"))
    source = Inputs((Input(tmp_path / "in.txt", "text"),))
    written: list[Outcome] = []
    job = job_of(
        source, output, ask, concurrency=4, report=written.append, announce=announced.append, cache=SlowStore()
    )
    run = Run(job, patience=0)
    working = threading.Thread(target=run.run)
    working.start()
    waiting.wait()
    for _ in range(2):
        answered.acquire()
    assert run._rows is not None
    drop, run._rows.drop = run._rows.drop, lambda: (drop(), dropped.set())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        run.receive_signal(number)
    working.join()
    output.abandon()
    over.set()
    assert (len(set(stored)), run.signal_number) == (2, signal.SIGTERM)
    assert [outcome.text for outcome in written] == ['{"number":0}', '{"number":1}']
    assert [message.split()[0] for message in announced] == ["Stopping:", "Dropping"]


def test_ctrl_c_ends_a_run_that_waits_for_its_input(command_line: CommandLine):
    process = command_line.start(*command_line.words("-", "--format", "text"), stdin=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write("Jason is 25\n")
        process.stdin.flush()
        wait_until(lambda: any(part.read_text() for part in command_line.folder.glob("out.jsonl.*.part")))
        process.send_signal(signal.SIGINT)
        process.wait(30)  # with its input still open
        stderr = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Stopped after 1 record." in stderr
    assert "Traceback" not in stderr


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux has small pipes")
@pytest.mark.parametrize("out", ["-", "pipe"])
def test_a_run_whose_output_nobody_reads_can_be_ended(command_line: CommandLine, out: str):
    program = command_line.write("hasty.py", WITHOUT_PATIENCE)
    words = command_line.words(command_line.write("in.txt", "Jason is 25\n" * 300), "--out", out)
    os.mkfifo(command_line.folder / "pipe")
    fifo = os.open(command_line.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    process = command_line.template.start(program, *words, cwd=command_line.folder, env=command_line.environment)
    try:
        reader = process.stdout.fileno() if out == "-" else fifo
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        wait_until(lambda: len_of(reader) > 4096 - 100)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        stderr = process.stderr.read()
    finally:
        process.kill()
        process.communicate()
        os.close(fifo)
    assert process.returncode == 143
    assert "Nobody reads the output" in stderr
    assert "Traceback" not in stderr


def len_of(descriptor: int) -> int:
    """How many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def wait_until_shown(process: Forked, word: str) -> None:
    assert process.stderr is not None
    assert any(word in line for line in iter(process.stderr.readline, ""))


def read_until(descriptor: int, word: bytes) -> None:
    """Read a terminal, so that its writer never waits, until a word has come."""
    seen = b""
    while word not in seen:
        seen += os.read(descriptor, 4096)

"""``instructor extract`` answers every record of an input in order, tells what failed, and asks nothing twice."""

from __future__ import annotations

import dataclasses
import io
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.main

import instructor
from cli.conftest import CommandLine
from cli.runs import job_of, wait_until
from instructor.cli import command
from instructor.cli.app import make_app, make_command
from instructor.cli.clients import open_cache, read_size
from instructor.cli.columns import Columns
from instructor.cli.extract import Job, Run, listen
from instructor.cli.inputs import Inputs
from instructor.cli.output import Output
from instructor.cli.output_forms import LINES, NO_COLUMNS
from instructor.cli.records import Input
from instructor.cli.run_stats import Outcome
from instructor.cli.settings import Settings
from instructor.cli.signals import SignalWatcher
from instructor.cli.terminal import make_console
from instructor.hooks import HookName
from replies import Reply, ReplyServer, chat_completion

ADA = Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36}, usage=(1000, 100)))


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("in.csv", 'text,id\n"Jason\nis 25",a\nSarah is 30,b\n', [2, 4]),
        ("in.jsonl", '{"text": "Jason is 25"}\n"Sarah is 30"\n', [1, 2]),
        ("in.txt", "Jason is 25\n\nSarah is 30\n", [1, 3]),
        ("records", "Jason is 25\nSarah is 30", [1, 2]),
    ],
)
def test_every_format_is_answered_in_order(command_line: CommandLine, name: str, content: str, lines: list[int]):
    finished = command_line.run(*command_line.words(command_line.write(name, content)))
    assert finished.returncode == 0, finished.stderr
    assert command_line.read_lines() == [
        {"line": lines[0], "answer": {"name": "Jason", "age": 25}, "cached": False},
        {"line": lines[1], "answer": {"name": "Sarah", "age": 30}, "cached": False},
    ]
    assert finished.stdout == ""
    assert "\x1b" not in finished.stderr


def test_a_second_run_in_a_new_process_asks_nothing(command_line: CommandLine):
    source = command_line.write("in.txt", "".join(f"Jason is {age}\n" for age in range(20)))
    first = command_line.run(*command_line.words(source, "--report", "figures.json"))
    asked = command_line.read_report()
    second = command_line.run(*command_line.words(source, "--report", "figures.json", "--concurrency", "auto"))
    replayed = command_line.read_report()
    assert (first.returncode, second.returncode) == (0, 0)
    assert (asked["asked"], asked["requests"], asked["hits"]) == (20, 20, 0)
    assert (replayed["asked"], replayed["requests"], replayed["hits"]) == (0, 0, 20)
    assert replayed["tokens_saved"] == asked["tokens_spent"] > 0
    assert all(line["cached"] for line in command_line.read_lines())


def test_a_record_that_fails_is_told_with_its_line_and_the_rest_go_on(command_line: CommandLine):
    source = command_line.write(
        "in.jsonl", '{"text": "Jason is 25"}\n\n{"text": \n{"text": ""}\n{"text": "Sarah is 30"}\n'
    )
    finished = command_line.run(*command_line.words(source))
    assert finished.returncode == 1
    lines = command_line.read_lines()
    assert [line["line"] for line in lines] == [1, 3, 4, 5]
    assert ["answer" in line for line in lines] == [True, False, False, True]
    assert "line 3: not valid JSON" in finished.stderr
    assert "line 4: the record has no text" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_provider_that_refuses_one_request_fails_one_record(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(ADA, Reply({"error": {"message": "too strange"}}, status=400), ADA)
    source = command_line.write("in.txt", "one\ntwo\nthree\n")
    finished = command_line.run(*live(source, "--concurrency", "1", "--report", "figures.json"))
    assert finished.returncode == 1
    assert ["answer" in line for line in command_line.read_lines()] == [True, False, True]
    assert "line 2:" in finished.stderr
    assert "too strange" in finished.stderr
    assert command_line.read_report()["money_spent"] == pytest.approx(2 * (1000 * 0.4 + 100 * 1.6) / 1e6)


def test_what_an_invalid_answer_cost_is_counted(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(Reply(chat_completion(tool="User", arguments={"name": "Ada"}, usage=(10, 5))))
    finished = command_line.run(
        *live(command_line.write("in.txt", "one\n"), "--max-retries", "2", "--report", "figures.json")
    )
    assert finished.returncode == 1
    assert len(reply_server.requests) == 3
    figures = command_line.read_report()
    assert (figures["failed"], figures["requests"], figures["tokens_spent"]) == (1, 3, 45)


def test_identical_records_in_flight_make_one_request(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(ADA)
    reply_server.hold()
    source = command_line.write("in.txt", "the same\n" * 8)
    process = command_line.start(*live(source, "--concurrency", "8", "--report", "figures.json"))
    try:
        reply_server.wait_for(1)
        reply_server.release()
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert len(reply_server.requests) == 1
    assert sorted(line["cached"] for line in command_line.read_lines()) == [False] + [True] * 7
    figures = command_line.read_report()
    assert (figures["asked"], figures["shared"] + figures["hits"], figures["tokens_spent"]) == (1, 7, 1100)
    assert figures["tokens_saved"] == 7 * 1100


def test_standard_input_and_output_make_a_pipeline(command_line: CommandLine):
    words = command_line.words("-", "--limit", "2")
    words[words.index("out.jsonl")] = "-"
    finished = command_line.run(*words, given="Jason is 25\nSarah is 30\nTom is 40\n")
    assert finished.returncode == 0
    assert [line.split('"name":"')[1][:3] for line in finished.stdout.splitlines()] == ["Jas", "Sar"]


def test_a_template_asks_about_the_fields(command_line: CommandLine):
    source = command_line.write("in.csv", "who,years\nJason,25\n{{ who }},30\n")
    finished = command_line.run(*command_line.words(source, "--prompt", "name: {{ who }}, age: {{ years }}"))
    assert finished.returncode == 0
    assert [line["answer"]["age"] for line in command_line.read_lines()] == [25, 30]


@pytest.mark.parametrize(
    ("shape", "answer"),
    [("shapes:Users", [{"name": "Jason", "age": 25}]), ("shapes:Mood", "happy"), ("builtins:int", 25)],
)
def test_any_kind_of_response_model_is_written(command_line: CommandLine, shape: str, answer: object):
    finished = command_line.run(
        *command_line.words(command_line.write("in.txt", "Jason is 25 and happy\n"), shape=shape)
    )
    assert finished.returncode == 0, finished.stderr
    assert command_line.read_lines()[0]["answer"] == answer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in.txt": "missing.txt"}, "does not exist"),
        ({"shapes:User": "shapes:Usr"}, "Did you mean User"),
        ({"offline/demo": "offline"}, "vendor/model"),
        ({"offline/demo": "offlin/demo"}, "offlin"),
        ({"offline/demo": "openai/gpt-4.1-mini"}, "OPENAI_API_KEY"),
        ({"out.jsonl": "no/such/folder/out.jsonl"}, "cannot be written"),
        ({"out.jsonl": ""}, "cannot be written"),
        ({"out.jsonl": "."}, "cannot be written"),
        ({"kept": "shapes.py"}, "--cache shapes.py cannot be used"),
        ({"kept": ""}, "--cache names nothing"),
        ({"kept": "kept.json"}, "kept.json would be the directory of a DiskCache. For a file write kept.jsonl"),
        ({"--quiet": "--prompt={{ nothing }}"}, "names the field 'nothing'"),
        ({"--quiet": "--prompt=no field"}, "names no field"),
        ({"--quiet": "--mode=NONSENSE"}, "--mode NONSENSE: there is no such mode. Use one of tools, json"),
        ({"out.jsonl": "folder/"}, "--out folder/ is a directory. Name a file in it, such as folder/answers.jsonl"),
        ({"out.jsonl": "out.xlsx"}, "no form of output has the ending .xlsx. Write one of .jsonl"),
        ({"out.jsonl": "out.jsonl.gz"}, "no form of output has the ending .gz"),
        ({"--quiet": "-omax_tokens"}, "-o max_tokens is not a name and a value. Write them as in -o max_tokens=500"),
        ({"--quiet": "-omode=json"}, "Write --mode"),
        ({"--quiet": "--cache-size=1GB", "kept": "kept.jsonl"}, "--cache-size is the limit of a directory"),
        ({"--quiet": "--cache=redis://ann:secret@127.0.0.1:1/0"}, "--cache: redis://127.0.0.1:1/0 can't be used"),
        ({"--quiet": "--cache-size=many"}, "--cache-size many is not a size"),
        ({"--quiet": "--cache-size=10B"}, "--cache-size 10B is too small"),
        ({"--quiet": "--format=xml"}, "--format xml: there is no such format. Write one of csv"),
        ({"--quiet": "--price-as=nobody/nothing"}, "knows no model"),
        ({"--quiet": "--report=no/such/folder/figures.json"}, "--report"),
        ({"--quiet": "--concurrency=0"}, "--concurrency 0 is neither auto nor a number from 1 to 10,000"),
        ({"--quiet": "--concurrency=1000000000"}, "--concurrency 1000000000 is neither"),
        ({"--quiet": "--prompt={{ text | nofilter }}"}, "No filter named 'nofilter'"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_written(
    command_line: CommandLine, changes: dict[str, str], message: str
):
    command_line.write("in.txt", "Jason is 25\n")
    words = [changes.get(word, word) for word in command_line.words("in.txt", "--quiet")]
    finished = command_line.run(*words)
    assert finished.returncode == 2, finished.stderr
    assert message in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr
    assert not list(command_line.folder.glob("out.jsonl*"))
    assert (command_line.folder / "in.txt").read_text() == "Jason is 25\n"


@pytest.mark.parametrize(
    ("source", "out", "closed", "message"),
    [
        ("in.txt", "-", "exec >&-", "standard output is closed"),
        ("-", "out.jsonl", "exec <&-", "Standard input is closed"),
    ],
)
def test_a_closed_stream_is_told(command_line: CommandLine, source: str, out: str, closed: str, message: str):
    command_line.write("in.txt", "Jason is 25\n")
    words = [out if word == "out.jsonl" else word for word in command_line.words(source, "--quiet")]
    command = ["sh", "-c", f'{closed}; exec "$@"', "sh", sys.executable, "-m", "instructor", *words]
    finished = subprocess.run(
        command, cwd=command_line.folder, env=command_line.environment, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_cache_is_made_for_its_owner_alone(command_line: CommandLine):
    finished = command_line.run(*command_line.words(command_line.write("in.txt", "Jason is 25\n")))
    assert finished.returncode == 0
    assert stat.S_IMODE((command_line.folder / "kept").stat().st_mode) == 0o700


def test_a_limit_of_any_size_is_a_limit(command_line: CommandLine):
    source = command_line.write("in.txt", "Jason is 25\n")
    assert command_line.run(*command_line.words(source, "--limit", "9" * 30)).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_report_that_cannot_be_written_is_told_and_harms_no_answer(command_line: CommandLine):
    source = command_line.write("in.txt", "Jason is 25\n")
    finished = command_line.run(*command_line.words(source, "--report", "/dev/full"))
    assert finished.returncode == 1
    assert "--report /dev/full cannot be written: No space left" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert len(command_line.read_lines()) == 1


def test_the_version_is_shown(command_line: CommandLine):
    finished = command_line.run("--version")
    assert (finished.returncode, finished.stdout) == (0, f"instructor {instructor.__version__}\n")


@pytest.mark.parametrize("mode", ["json", "JSON", "Json_Mode"])
def test_a_mode_may_be_written_in_any_case(command_line: CommandLine, mode: str):
    words = command_line.words(command_line.write("in.txt", "Jason is 25\n"))
    assert command_line.run(*words, "--mode", mode).returncode == 0


def test_a_run_makes_no_other_command() -> None:
    made = [typer.main.get_group(make_app(word)).commands.keys() for word in ("extract", "")]
    assert made == [{"extract"}, {"extract", "models", "providers", "cache", "batch"}]


def test_the_command_line_is_made_once_in_a_process():
    """Typer takes six milliseconds to read the options, and pydantic as long again to read what was written."""
    assert make_command("extract") is make_command("extract")
    assert make_command("cache") is make_command() is not make_command("extract")


@pytest.mark.parametrize(("out", "count"), [("out.jsonl", 0), ("out.csv", 1)])
def test_columns_are_found_only_for_what_has_some(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch, out: str, count: int
):
    found: list[object] = []

    def find(model: object, **_: object) -> Columns:
        found.append(model)
        return NO_COLUMNS

    monkeypatch.chdir(command_line.folder)
    monkeypatch.setattr(command, "find_columns", find)
    source = command_line.write("in.txt", "Jason is 25\n")
    settings = Settings(sources=[source], response_model="shapes.py:User", model="offline/demo", out=out)
    extraction = command._Extraction(settings, make_console(), SignalWatcher())
    extraction._output.abandon()
    assert len(found) == count


def test_no_object_of_the_sdks_is_made_of_an_answer():
    client = instructor.from_provider("offline/demo")
    listen(client)
    assert not client.hooks.has_handlers(HookName.COMPLETION_RESPONSE)


def test_help_shows_what_serves_every_vendor(command_line: CommandLine):
    shown = command_line.run("extract", "--help").stdout
    assert "--latency" not in shown
    options = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Settings)]
    missing = {option for option in options if option not in shown}
    assert missing == {"--sources", "--latency"}, "the inputs have a name of their own"


@pytest.mark.parametrize(
    ("text", "size"), [("65536", 65536), ("2GB", 2 * 10**9), ("1.5 MiB", 3 << 19), ("400k", 400_000), (None, None)]
)
def test_a_size_may_have_a_unit(text: str | None, size: int | None):
    assert read_size(text) == size


def test_the_cache_evicts_nothing_unless_a_size_is_set(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(command_line.folder)
    settings = Settings(sources=["in.txt"], response_model="shapes:User", model="offline/demo", out="out.jsonl")
    assert open_cache(settings).size_limit is None
    assert open_cache(dataclasses.replace(settings, cache_size="1MB")).size_limit == 1_000_000


def test_a_warning_of_the_store_is_shown(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    large = chat_completion(tool="User", arguments={"name": "A" * 40_000, "age": 36})
    reply_server.script(Reply(large))
    words = live(command_line.write("in.txt", "one\ntwo\n"), "--cache-size", "270kB", "--concurrency", "1")
    finished = command_line.run(*words)
    assert finished.returncode == 0
    assert "too large for DiskCache" in finished.stderr
    assert "Warning: An entry" in finished.stderr


@pytest.mark.parametrize("words", [("--help",), ("extract", "--help")])
def test_help_needs_no_key(command_line: CommandLine, words: tuple[str, ...]):
    finished = command_line.run(*words)
    assert finished.returncode == 0
    assert "extract" in finished.stdout


def test_an_output_that_was_complete_stays_until_the_next_is(command_line: CommandLine):
    before = '{"line":1,"answer":"of the last run","cached":false}\n'
    command_line.write("out.jsonl", before)
    finished = command_line.run(*command_line.words(command_line.write("in.csv", "a,a\n1,2\n")))
    assert finished.returncode == 2
    assert "two columns" in finished.stderr
    assert (command_line.folder / "out.jsonl").read_text() == before


def test_only_an_output_of_an_earlier_run_is_replaced(command_line: CommandLine):
    words = command_line.words(command_line.write("in.txt", "Jason is 25\n"))
    command_line.write("out.jsonl", "a diary\n")
    refused = command_line.run(*words)
    assert refused.returncode == 2
    assert "--out out.jsonl exists and is not an output of this command. Name another file." in refused.stderr
    assert (command_line.folder / "out.jsonl").read_text() == "a diary\n"
    for earlier in ("", '{"line":1,"error":"x"}\n'):
        command_line.write("out.jsonl", earlier)
        assert command_line.run(*words).returncode == 0


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    output = Output(str(tmp_path / "out.jsonl"))
    yield output
    output.abandon()


def make_job(
    output: Output, number: int, ask: Callable[..., object], report: Callable[[Outcome], None], at_once: int
) -> Job:
    folder = output.path.parent
    (folder / "in.txt").write_text("".join(f"{index}\n" for index in range(number)))
    source = Inputs((Input(folder / "in.txt", "text"),))
    return job_of(source, output, ask, concurrency=at_once, report=report)


def test_answers_that_come_in_any_order_are_written_in_that_of_the_input(output: Output):
    gates = [threading.Event() for _ in range(8)]
    gates[7].set()

    def ask(number: int) -> int:
        gates[number].wait()
        gates[number - 1].set()  # each lets the one before it go
        return number

    seen: list[int] = []
    Run(make_job(output, 8, ask, lambda outcome: seen.append(outcome.line), 8)).run()
    assert seen == list(range(1, 9))


def test_a_slow_record_holds_up_the_others_before_memory_fills(output: Output):
    slow, started = threading.Event(), []

    def ask(number: int) -> int:
        started.append(number)
        if number == 0:
            slow.wait()
        return number

    run = threading.Thread(target=Run(make_job(output, 1000, ask, lambda _: None, 4)).run)
    run.start()
    wait_until(lambda: len(started) == 256)
    threading.Event().wait(0.05)
    assert len(started) == 256
    slow.set()
    run.join()
    assert len(started) == 1000


def test_no_more_records_are_asked_at_once_than_was_said(output: Output):
    together = threading.Barrier(3)
    busy: list[int] = []
    most: list[int] = []

    def ask(_: int) -> int:
        busy.append(1)
        most.append(len(busy))
        together.wait()
        busy.pop()
        return 1

    Run(make_job(output, 48, ask, lambda _: None, 3)).run()
    assert max(most) == 3


def test_an_output_that_cannot_be_written_ends_the_run(output: Output):
    class Full(io.BytesIO):
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

    job = make_job(output, 500, lambda _: 1, lambda _: None, 3)
    output._writer = LINES.make_writer(Full(), NO_COLUMNS)
    with pytest.raises(OSError, match="No space"):
        Run(job).run()

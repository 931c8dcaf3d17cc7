"""No run overwrites a file that it reads, by whatever name, nor its own other file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import CommandLine
from cli.test_interruption import wait_until
from instructor.cli import output_paths
from instructor.cli.output import Output
from instructor.cli.output_forms import write_line
from instructor.cli.output_paths import check_output_paths
from instructor.cli.run_stats import Outcome
from instructor.exceptions import ConfigurationError

TEXT = "Jason is 25\n"


@pytest.fixture
def folder(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    command_line.write("in.txt", TEXT)
    command_line.write("helper.py", "")
    shapes = command_line.folder / "shapes.py"
    shapes.write_text("import helper\n" + shapes.read_text())
    (command_line.folder / "link").symlink_to("shapes.py")
    os.link(command_line.folder / "in.txt", command_line.folder / "hard.txt")
    monkeypatch.chdir(command_line.folder)
    return command_line.folder


@pytest.mark.parametrize(
    ("out", "more", "message"),
    [
        ("in.txt", [], "--out in.txt would overwrite the input itself"),
        ("hard.txt", [], "--out hard.txt would overwrite the input itself"),
        ("shapes.py", [], "the Python file"),
        ("link", [], "the Python file"),
        ("helper.py", [], "the Python file"),
        ("kept/answers.sqlite3", [], "the cache"),
        ("out.jsonl", ["--report", "in.txt"], "--report in.txt would overwrite the input itself"),
        ("out.jsonl", ["--report", "link"], "--report link would overwrite the Python file"),
        ("out.jsonl", ["--report", "./out.jsonl"], "what --out writes"),
    ],
)
@pytest.mark.parametrize("shape", ["shapes:User", "shapes.py:User"])
def test_a_target_that_is_read_is_refused_and_left_alone(
    folder: Path, command_line: CommandLine, out: str, more: list[str], message: str, shape: str
):
    before = {name: (folder / name).read_bytes() for name in ("in.txt", "shapes.py", "helper.py")}
    words = [out if word == "out.jsonl" else word for word in command_line.words("in.txt", shape=shape)]
    finished = command_line.run(*words, *more)
    assert finished.returncode == 2, finished.stderr
    assert message in " ".join(finished.stderr.split())
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert not (folder / "out.jsonl").exists()


def test_standard_input_and_output_are_files_too(folder: Path, command_line: CommandLine):
    words = [
        ["in.txt" if word == "out.jsonl" else word for word in command_line.words("-")],
        command_line.words("in.txt"),
    ]
    words[1][words[1].index("out.jsonl")] = "-"
    for number, line in enumerate(words):
        with Path("in.txt").open("r+") as file:
            file.seek(0, 2 * number)
            process = command_line.start(*line, **({"stdin": file} if number == 0 else {"stdout": file}))
            stderr = process.communicate(timeout=60)[1]
        assert process.returncode == 2, stderr
        assert "the input itself" in stderr
        assert Path("in.txt").read_text() == TEXT


@pytest.mark.parametrize("name", ["/dev/null", "-"])
def test_devices_and_pipes_are_written_whatever_is_read(folder: Path, name: str):
    check_output_paths(name, None, [Path("/dev/null")], Path("kept"))
    check_output_paths("new.jsonl", "figures.json", [Path("in.txt")], Path("kept"))
    with pytest.raises(ConfigurationError):
        check_output_paths("in.txt", None, [Path("in.txt")], Path("kept"))


def test_a_cassette_that_is_yet_to_be_made_is_not_overwritten(folder: Path):
    with pytest.raises(ConfigurationError, match=r"--out ./new.jsonl would overwrite the cache"):
        check_output_paths("./new.jsonl", None, [Path("in.txt")], Path("new.jsonl"))


def test_python_files_are_looked_through_only_where_a_target_may_be_one(folder: Path, monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []
    monkeypatch.setattr(output_paths, "_identify_modules", lambda: looked.append("modules") or {})
    Path("earlier.jsonl").write_bytes(write_line(Outcome(1, "{}")))
    for name in ("new.jsonl", "earlier.jsonl"):
        check_output_paths(name, None, [Path("in.txt")], Path("kept"))
    assert not looked
    check_output_paths("helper.py", "shapes.py", [Path("in.txt")], Path("kept"))
    assert looked == ["modules"]


def test_an_output_behind_a_link_is_written_there_and_the_link_stays(folder: Path):
    (folder / "runs").mkdir()
    (folder / "latest").symlink_to("runs/1.jsonl")
    output = Output("latest")
    output.write(Outcome(1, "{}"))
    assert list((folder / "runs").glob("1.jsonl.*.part"))
    output.finish()
    assert (folder / "latest").is_symlink()
    assert (folder / "runs" / "1.jsonl").read_text() == '{"line":1,"answer":{},"cached":false}\n'


def test_two_runs_with_one_output_do_not_mix_and_a_file_of_the_users_stays(folder: Path):
    (folder / "out.jsonl.part").write_text("a diary\n")
    first, second = Output("out.jsonl"), Output("out.jsonl")
    for output, answer in ((first, '"first"'), (second, '"second"')):
        output.write(Outcome(1, answer))
        output.flush()
    for output, answer in ((first, '"first"'), (second, '"second"')):
        output.finish()
        assert (folder / "out.jsonl").read_text() == f'{{"line":1,"answer":{answer},"cached":false}}\n'
    assert (folder / "out.jsonl.part").read_text() == "a diary\n"
    (folder / "plain").touch()
    assert (folder / "out.jsonl").stat().st_mode == (folder / "plain").stat().st_mode


def test_an_output_that_cannot_get_its_name_is_kept_and_abandoned_in_peace(folder: Path):
    output = Output("out.jsonl")
    output.write(Outcome(1, "{}"))
    (folder / "out.jsonl").mkdir()
    with pytest.raises(OSError, match=r"out\.jsonl"):
        output.finish()
    output.abandon()
    assert Path(output.unfinished).read_text() == '{"line":1,"answer":{},"cached":false}\n'


def test_an_unfinished_output_that_somebody_removed_is_abandoned_in_peace(folder: Path):
    output = Output("out.jsonl")
    assert output.part is not None
    output.part.unlink()
    output.abandon()
    assert not list(folder.glob("out.jsonl*"))


def test_what_killed_runs_left_behind_is_removed_when_a_run_is_complete(command_line: CommandLine, folder: Path):
    """Not what a run that lives is writing, nor a file of the user's."""
    process = command_line.start(*command_line.words("-", "--format", "text"), stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("Jason is 25\n")
    process.stdin.flush()
    wait_until(lambda: any(part.read_text() for part in folder.glob("out.jsonl.*.part")))
    (killed,) = folder.glob("out.jsonl.*.part")
    theirs = [folder / "out.jsonl.part", folder / "out.jsonl.0123abcd.part", folder / "other.jsonl.0123abcd.part"]
    for path in theirs:
        path.write_text("a diary\n")
    living = Output("out.jsonl")
    living.write(Outcome(1, "{}"))
    living.flush()
    finished = Output("out.jsonl")
    finished.write(Outcome(1, "{}"))
    finished.finish()
    assert killed.exists(), "its run is waiting for input"
    process.kill()
    process.communicate()
    assert killed.exists()
    Output("out.jsonl").finish()
    assert not killed.exists()
    living.finish()
    assert sorted(folder.glob("*.part")) == sorted(theirs)
    assert (folder / "out.jsonl").read_text() == '{"line":1,"answer":{},"cached":false}\n'


def test_a_file_taken_for_one_left_behind_before_it_was_locked_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, removed = output_paths._lock, []

    def remove_first(stream: Any, **options: Any) -> bool:
        if not removed:
            removed.append(stream.name)
            Path(stream.name).unlink()
        return lock(stream, **options)

    monkeypatch.setattr(output_paths, "_lock", remove_first)
    output = Output("out.jsonl")
    output.write(Outcome(1, "{}"))
    output.finish()
    assert removed
    assert (folder / "out.jsonl").exists()

"""Several inputs are read as one, and tables of Parquet and Arrow like any other."""

from __future__ import annotations

import datetime as dt
import decimal
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from cli.conftest import CommandLine
from instructor.cli.inputs import open_inputs
from instructor.cli.records import Record
from instructor.exceptions import ConfigurationError
from instructor.jobs.prompts import make_prompt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_and_patterns_are_read_in_order_and_named(folder: Path):
    for name, text in {"b.txt": "two\n", "a.txt": "one\n", "last.csv": "text\nthree\n"}.items():
        (folder / name).write_text(text)
    inputs = open_inputs(["*.txt", "last.csv"], None)
    assert list(inputs.read()) == [
        Record(1, "one", file="a.txt"),
        Record(1, "two", file="b.txt"),
        Record(2, {"text": "three"}, file="last.csv"),
    ]
    assert (inputs.count(None), inputs.count(2), inputs.paths) == (
        3,
        2,
        [Path("a.txt"), Path("b.txt"), Path("last.csv")],
    )


def test_the_record_of_one_input_names_no_file(folder: Path):
    (folder / "a.txt").write_text("one\n")
    assert list(open_inputs(["*.txt"], None).read()) == [Record(1, "one")]


def test_a_file_may_be_named_like_a_pattern(folder: Path):
    (folder / "[1].txt").write_text("one\n")
    assert len(list(open_inputs(["[1].txt"], None).read())) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["*.nothing"], r"No file matches the input \*\.nothing"),
        (["a.txt", "*.txt"], r"The input a\.txt is named twice"),
        (["-", "-"], "The input - is named twice"),
    ],
)
def test_inputs_that_cannot_be_are_refused(folder: Path, names: list[str], message: str):
    (folder / "a.txt").write_text("one\n")
    with pytest.raises(ConfigurationError, match=message):
        open_inputs(names, None)


TABLE = pa.table(
    {
        "text": ["one", None],
        "when": [dt.date(2026, 11, 21), None],
        "price": [decimal.Decimal("1.50"), None],
        "nested": [{"a": [1]}, None],
    }
)


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, path)


def write_feather(path: Path) -> None:
    pyarrow.feather.write_feather(TABLE, str(path))


def write_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)


@pytest.mark.parametrize(
    ("name", "form", "write"),
    [
        ("in.parquet", None, write_parquet),
        ("in.feather", None, write_feather),
        ("in.arrow", None, write_stream),
        ("by-its-content", None, write_parquet),
        ("unknown.bin", "Arrow", write_stream),
    ],
)
def test_a_row_of_a_table_is_a_record(folder: Path, name: str, form: str | None, write: object):
    write(folder / name)  # type: ignore[operator]
    inputs = open_inputs([name], form)
    first, second = inputs.read()
    assert first.data == TABLE.to_pylist()[0]
    assert (first.line, second.line, inputs.count(None)) == (1, 2, 2)
    assert make_prompt("{{ price }} {{ when }}")(first.data) == "1.50 2026-11-21"


def test_many_row_groups_are_read_whole(folder: Path):
    pyarrow.parquet.write_table(
        pa.table({"text": [str(number) for number in range(3000)]}), "in.parquet", row_group_size=7
    )
    assert [record.data["text"] for record in open_inputs(["in.parquet"], None).read()] == [str(n) for n in range(3000)]


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow"])
def test_a_damaged_table_is_refused_by_its_name(folder: Path, name: str):
    (folder / name).write_bytes(b"nothing of the kind")
    for use in (lambda inputs: list(inputs.read()), lambda inputs: inputs.count(None)):
        with pytest.raises(ConfigurationError, match=rf"The input {name} cannot be read as .* Check --format"):
            use(open_inputs([name], None))


def test_the_rows_of_parquet_are_counted_without_reading_them(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_parquet(folder / "in.parquet")
    monkeypatch.setattr("instructor.cli.arrow_files._BATCHES", {})
    assert open_inputs(["in.parquet"], None).count(None) == 2


def test_a_table_is_not_read_from_a_pipe(folder: Path):
    with pytest.raises(ConfigurationError, match="in the format parquet is read from a regular file"):
        list(open_inputs(["/dev/null"], "parquet").read())


def test_the_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_parquet(folder / "in.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'instructor\[arrow\]'"):
        list(open_inputs(["in.parquet"], None).read())


def test_a_run_over_several_inputs_says_which_record_is_whose(command_line: CommandLine):
    command_line.write("a.txt", "Jason is 25\n")
    command_line.write("b.txt", "Sarah is 30\n\x80\n")
    (command_line.folder / "b.txt").write_bytes(b"Sarah is 30\n\x80\n")
    finished = command_line.run(*command_line.words("*.txt"))
    assert finished.returncode == 1
    lines = command_line.read_lines()
    assert [(line["line"], line["file"]) for line in lines] == [(1, "a.txt"), (1, "b.txt"), (2, "b.txt")]
    assert [("answer" in line) for line in lines] == [True, True, False]
    assert "b.txt, line 2: the line is not valid UTF-8" in finished.stderr

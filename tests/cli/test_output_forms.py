"""An output has the form that its name says; every answer is in it, or the reason why not."""

from __future__ import annotations

import csv
import enum
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from pydantic import BaseModel, ConfigDict

from cli.conftest import CommandLine
from instructor.cli.columns import find_columns
from instructor.cli.command import write_answer
from instructor.cli.output import Output
from instructor.cli.run_stats import Outcome
from instructor.exceptions import ConfigurationError


class Colour(enum.Enum):
    RED = "red"


class Part(BaseModel):
    name: str
    weight: float | None = None


class Order(BaseModel):
    """What tables make columns of."""

    line: str
    amount: int
    ready: bool = True
    colour: Colour = Colour.RED
    day: date = date(2026, 11, 21)
    parts: list[Part] = []
    either: int | str = 1


class Tree(BaseModel):
    name: str
    branches: list[Tree] = []


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


ORDER = Order(line="a,b\nc", amount=3, parts=[Part(name="bolt", weight=2)], either="x")


def write(name: str, answers: list[Any], response_model: Any, file: str = "") -> list[Outcome]:
    output = Output(name, find_columns(response_model, has_file=bool(file)))
    outcomes = [Outcome(number, write_answer(answer), file=file) for number, answer in enumerate(answers, 1)]
    outcomes[0].source = "hit"
    outcomes.append(Outcome(9, error="refused", file=file))
    for outcome in outcomes:
        output.write(outcome)
    output.flush()
    output.finish()
    return outcomes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_csv(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(keepends=True)))


def read_tsv(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(keepends=True), delimiter="\t"))


def read_parquet(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


def read_arrow(path: Path) -> list[dict[str, Any]]:
    return pyarrow.feather.read_table(str(path)).to_pylist()


CELLS = {
    "line": "1", "answer.line": "a,b\nc", "amount": "3", "ready": "true", "colour": "red", "day": "2026-11-21",
    "parts": '[{"name":"bolt","weight":2.0}]', "either": "x", "cached": "true", "error": "",
}  # fmt: skip
VALUES = {
    "line": 1, "answer.line": "a,b\nc", "amount": 3, "ready": True, "colour": "red", "day": "2026-11-21",
    "parts": [{"name": "bolt", "weight": 2.0}], "either": '"x"', "cached": True, "error": None,
}  # fmt: skip
TABLES = [
    ("out.parquet", read_parquet),
    ("out.PQ", read_parquet),
    ("out.arrow", read_arrow),
    ("out.feather", read_arrow),
]


@pytest.mark.parametrize(
    ("name", "read", "row", "empty"),
    [
        ("out.csv", read_csv, CELLS, ""),
        ("out.tsv", read_tsv, CELLS, ""),
        *((name, read, VALUES, None) for name, read in TABLES),
    ],
)
def test_each_field_is_a_column(folder: Path, name: str, read: Callable[..., Any], row: dict[str, Any], empty: object):
    write(name, [ORDER], Order)
    first, failed = read(folder / name)
    assert first == row
    assert list(first) == list(row)
    assert {key: value for key, value in failed.items() if value != empty} == {
        "line": type(row["line"])(9),
        "error": "refused",
    }


@pytest.mark.parametrize(
    ("response_model", "answer", "cell", "value"),
    [
        (int, 3, "3", 3),
        (Literal["a", "b"], "a", "a", "a"),
        (list[Part], [Part(name="x")], '[{"name":"x","weight":null}]', [{"name": "x", "weight": None}]),
        (int | str, "x", "x", '"x"'),
        (Open, Open(name="x", more=1), '{"name":"x","more":1}', '{"name":"x","more":1}'),
        (dict[str, int], {"a": 1}, '{"a":1}', '{"a":1}'),
    ],
)
def test_an_answer_without_fields_is_one_column(
    folder: Path, response_model: Any, answer: Any, cell: str, value: object
):
    write("out.csv", [answer], response_model, file="in.txt")
    write("out.parquet", [answer], response_model, file="in.txt")
    assert read_csv(folder / "out.csv")[0] == {
        "line": "1",
        "file": "in.txt",
        "answer": cell,
        "cached": "true",
        "error": "",
    }
    assert read_parquet(folder / "out.parquet")[0] == {
        "line": 1, "file": "in.txt", "answer": value, "cached": True, "error": None,
    }  # fmt: skip


def test_a_type_that_contains_itself_is_written_as_json(folder: Path):
    write("out.parquet", [Tree(name="a", branches=[Tree(name="b")])], Tree)
    assert read_parquet(folder / "out.parquet")[0]["branches"] == '[{"name":"b","branches":[]}]'


def test_an_answer_that_does_not_fit_a_column_is_an_error_of_its_record(folder: Path):
    outcomes = write("out.parquet", [ORDER, ORDER.model_copy(update={"amount": 10**30}), ORDER], Order)
    rows = read_parquet(folder / "out.parquet")
    assert [row["amount"] for row in rows] == [3, None, 3, None]
    assert "doesn't fit the columns" in rows[1]["error"]
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False, True]


def test_more_rows_than_one_group_holds_are_written_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("instructor.cli.arrow_files._WRITTEN_AT_ONCE", 4)
    write("out.parquet", list(range(10)), int)
    assert [row["answer"] for row in read_parquet(folder / "out.parquet")] == [*range(10), None]
    assert pyarrow.parquet.ParquetFile("out.parquet").num_row_groups == 3


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet", "out.arrow"])
def test_an_output_is_replaced_only_if_a_run_wrote_it(folder: Path, name: str):
    write(name, [1], int)
    write(name, [2], int)
    theirs = pa.table({"line": [1]})
    for path, save in {
        "out.csv": lambda path: path.write_text("line,name\n1,mine\n"),
        "out.tsv": lambda path: path.write_text("line\tname\n1\tmine\n"),
        "out.parquet": lambda path: pyarrow.parquet.write_table(theirs, path),
        "out.arrow": lambda path: pyarrow.feather.write_feather(theirs, str(path)),
    }.items():
        save(folder / path)
    before = (folder / name).read_bytes()
    with pytest.raises(ConfigurationError, match="is not an output of this command"):
        Output(name)
    assert (folder / name).read_bytes() == before


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_an_abandoned_output_keeps_what_was_written_and_an_empty_one_leaves_nothing(folder: Path, name: str):
    Output(name, find_columns(int, has_file=False)).abandon()
    assert not list(folder.iterdir())
    output = Output(name, find_columns(int, has_file=False))
    output.write(Outcome(1, "5"))
    output.abandon()
    (part,) = folder.glob(f"{name}.*.part")
    assert "5" in str(read_csv(part) if name.endswith("csv") else read_parquet(part))


def test_the_missing_package_is_named_and_nothing_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'instructor\[arrow\]'"):
        Output("out.parquet", find_columns(int, has_file=False))
    assert not list(folder.iterdir())


def test_the_command_line_reads_and_writes_tables(command_line: CommandLine):
    source = command_line.folder / "in.parquet"
    pyarrow.parquet.write_table(pa.table({"text": ["Jason is 25", "Sarah is 30"]}), source)
    for name, read in [("out.csv", read_csv), ("out.arrow", read_arrow)]:
        words = [name if word == "out.jsonl" else word for word in command_line.words("in.parquet")]
        finished = command_line.run(*words)
        assert finished.returncode == 0, finished.stderr
        assert [(row["name"], int(row["age"])) for row in read(command_line.folder / name)] == [
            ("Jason", 25),
            ("Sarah", 30),
        ]

"""Records come one by one, whole, with their true line numbers; a damaged one does not take others with it."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instructor.cli.inputs import open_inputs
from instructor.cli.records import Input, Record, open_input
from instructor.exceptions import ConfigurationError


def read(folder: Path, name: str, content: str | bytes) -> list[Record]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_input(str(path), None).read())


def test_a_csv_record_begins_on_its_true_line_whatever_line_breaks_are_quoted(tmp_path: Path):
    content = 'text,id\n"one\ntwo\r\nthree",1\n\nfour,2\n"five\n",3\n'
    records = read(tmp_path, "in.csv", content)
    assert [record.line for record in records] == [2, 6, 7]
    assert records[0].data == {"text": "one\ntwo\r\nthree", "id": "1"}


def test_a_damaged_csv_row_fails_alone(tmp_path: Path):
    records = read(tmp_path, "in.csv", 'a,b\n1,2\n1,2,3\n1\n"x"y,2\n3,4\n"open,5\n6,7\n')
    assert [(record.line, bool(record.error)) for record in records] == [
        (2, False), (3, True), (4, True), (5, True), (6, False), (7, True),
    ]  # fmt: skip
    assert "3 cells, the header 2" in records[1].error


@pytest.mark.parametrize(("name", "mark"), [("in.csv", ";"), ("in.tsv", "\t"), ("in.csv", "|")])
def test_a_csv_file_may_use_another_delimiter(tmp_path: Path, name: str, mark: str):
    assert read(tmp_path, name, f'"a,,a"{mark}b\n1{mark}2,5\n')[0].data == {"a,,a": "1", "b": "2,5"}


def test_a_csv_cell_may_be_long(tmp_path: Path):
    assert read(tmp_path, "in.csv", "text,id\n" + "x" * 300_000 + ",1\n")[0].data["text"] == "x" * 300_000


@pytest.mark.parametrize("content", ["", "\n", "a,a\n1,2\n"])
def test_a_csv_file_without_a_usable_header_is_refused(tmp_path: Path, content: str):
    with pytest.raises(ConfigurationError, match="CSV input"):
        read(tmp_path, "in.csv", content)


def test_jsonl_takes_objects_and_strings_and_fails_the_rest_alone(tmp_path: Path):
    records = read(tmp_path, "in.jsonl", '{"text": "a"}\n\n"b"\n{"text": \n[1]\n3\n"\u2028"\n')
    assert [(record.line, record.data) for record in records if not record.error] == [
        (1, {"text": "a"}), (3, "b"), (7, "\u2028"),
    ]  # fmt: skip
    assert {record.line: record.error.split(";")[0] for record in records if record.error} == {
        4: "not valid JSON: unexpected end of data (column 9)",
        5: "the line holds a JSON array",
        6: "the line holds a JSON number",
    }


def test_plain_text_is_a_record_a_line(tmp_path: Path):
    assert read(tmp_path, "in.txt", "one\r\n\n  two, {three}\n") == [Record(1, "one"), Record(3, "two, {three}")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("in.csv", b"text\ngood\nb\xffd\ngood\n"),
        ("in.jsonl", b'"x"\n"good"\n"b\xffd"\n"good"\n'),
        ("in.txt", b"x\ngood\n\xff\ngood"),
    ],
)
def test_bytes_that_are_no_text_fail_their_record_alone(tmp_path: Path, name: str, content: bytes):
    records = [record for record in read(tmp_path, name, content) if record.line > 1]
    assert [record.error for record in records] == ["", "the line is not valid UTF-8", ""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path, encoding: str):
    assert read(tmp_path, "in.csv", "text\nZoë\n".encode(encoding))[0].data == {"text": "Zoë"}


@pytest.mark.parametrize(
    ("content", "data"),
    [
        ('{"text": "a"}\n', {"text": "a"}),
        ("text,label\na,b\n", {"text": "a", "label": "b"}),
        ("Hello, world\nGood, bye\n", "Hello, world"),
        ("Hello,world;\nGood,bye\n", "Hello,world;"),
        ("{not json\n", "{not json"),
        ("[info] begun\n", "[info] begun"),
    ],
)
def test_the_format_follows_from_the_content_where_the_name_does_not_say(tmp_path: Path, content: str, data: object):
    assert read(tmp_path, "input", content)[0].data == data


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.json", '[{"text": "a"}, {"text": "b"}]', r"in\.json is one JSON document"),
        ("in.json", '\n[\n  {"text": "a"}\n]\n', "is one JSON document"),
        ("in", '{\n  "text": "a"\n}\n', "is one JSON document"),
        ("in.xlsx", b"PK\x03\x04\x14\x00\nwords\n", r"in\.xlsx is neither text nor Parquet nor Arrow"),
        ("in.csv.gz", b"\x1f\x8b\x08\x00\x00\nwords\n", "is neither text"),
    ],
)
def test_what_has_no_records_is_refused_before_its_lines_are_asked(
    tmp_path: Path, name: str, content: str | bytes, message: str
):
    with pytest.raises(ConfigurationError, match=message):
        read(tmp_path, name, content)


def test_a_named_format_is_taken_at_its_word(tmp_path: Path):
    (tmp_path / "in.json").write_text('[\n"a"\n]\n')
    records = open_input(str(tmp_path / "in.json"), "text").read()
    assert [record.data for record in records] == ["[", '"a"', "]"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.text(), st.text(min_size=1)), max_size=8))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path: Path, rows: list[tuple[str, str]]):
    rows = [tuple(cell.encode("utf-8", "ignore").decode() or "x" for cell in row) for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("first", "second"), *rows])
    records = read(tmp_path, "in.csv", text.getvalue())
    assert [tuple(record.data.values()) for record in records] == rows
    lines = io.StringIO(text.getvalue(), newline="").readlines()
    for record, row in zip(records, rows, strict=True):
        assert row[0][:1] in lines[record.line - 1] or row[0][:1] in '\r\n"'


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.integers(-9, 9))), max_size=8))
def test_whatever_json_writes_is_read_back(tmp_path: Path, values: list[object]):
    records = read(tmp_path, "in.jsonl", "".join(json.dumps(value, ensure_ascii=True) + "\n" for value in values))
    assert [(record.line, record.data) for record in records] == list(enumerate(values, 1))


def test_a_record_is_handed_over_before_the_next_is_written(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen = threading.Event()

    def write() -> None:
        with pipe.open("w", buffering=1) as out:
            out.write("first\n")
            assert seen.wait(30)
            out.write("second\n")

    writer = threading.Thread(target=write)
    writer.start()
    records = Input(pipe, "text").read()
    assert next(records).data == "first"
    seen.set()
    assert [record.data for record in records] == ["second"]
    writer.join()


def test_counting_stops_at_the_limit_and_leaves_pipes_alone(tmp_path: Path):
    (tmp_path / "in.txt").write_text("a\n\nb\nc\n")
    assert open_inputs([str(tmp_path / "in.txt")], None).count(None) == 3
    assert open_inputs([str(tmp_path / "in.txt")], None).count(2) == 2
    assert open_inputs(["-"], None).count(None) is None


@pytest.mark.parametrize(("name", "form"), [("missing.csv", None), (".", None), ("-", "xml")])
def test_an_input_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str | None
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        open_input(name, form)

"""``instructor extract --engine``: the records go to the workers of an engine, and come back in their order."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.conftest import MODELS
from instructor.cli.command import run_extract
from instructor.cli.settings import Settings
from instructor.cli.signals import SignalWatcher
from instructor.engines import opening
from instructor.exceptions import EngineError

RECORDS = '{"text": "Jason is 25"}\n{"text": ""}\n{"text": "Sarah is 30"}\n'


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    for method in ("start", "finish"):  # which would change the signals of the test run
        monkeypatch.setattr(SignalWatcher, method, lambda _: None)
    Path("engine_shapes.py").write_text(MODELS)
    Path("in.jsonl").write_text(RECORDS)
    return Settings(
        sources=["in.jsonl"],
        response_model="engine_shapes.py:User",
        model="offline/demo",
        out="out.jsonl",
        engine="dask",
        quiet=True,
    )


def test_the_workers_of_an_engine_answer_the_records(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    with ThreadPoolExecutor(2) as workers:
        used: list[str] = []

        def begin() -> opening.Engine:
            used.append("dask")
            return opening.find_engine(workers)()

        monkeypatch.setitem(opening.NAMED, "dask", begin)
        assert run_extract(settings) == 1, "a record has no text"
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [line.get("answer", {}).get("name") for line in lines] == ["Jason", None, "Sarah"]
    assert lines[1]["error"] == "the record has no text"
    assert used == ["dask"]


def test_an_engine_that_fails_ends_the_run_with_its_figures(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def begin() -> opening.Engine:
        raise EngineError("The engine can't be reached.")

    monkeypatch.setitem(opening.NAMED, "dask", begin)
    assert run_extract(settings) == 1
    assert "The engine can't be reached. The run cannot go on." in " ".join(capsys.readouterr().err.split())

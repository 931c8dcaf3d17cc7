"""``instructor batch`` on the records of a cache."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batch_server import BatchServer
from instructor import DiskCache, from_provider
from instructor.cli import batch_app, main
from instructor.cli.models import load_response_model
from streams import OPENAI

MODELS = "from pydantic import BaseModel\nclass Number(BaseModel):\n    number: int\n"


class Jobs:
    """A job that was submitted and left, and the commands about it."""

    def __init__(self, server: BatchServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server, self.folder, self._capsys = server, folder, capsys
        (folder / "counted.py").write_text(MODELS)
        self.model = f"{folder / 'counted.py'}:Number"
        with DiskCache(folder / "cache") as store, self.client(store) as client:
            self.id = client.batch(["row 1", "row 2"], load_response_model(self.model)).id

    def client(self, store: DiskCache) -> Any:
        return from_provider(OPENAI, base_url=f"{self.server.address}/v1", api_key="none", cache=store)

    def run(self, name: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        with pytest.raises(SystemExit) as ended:
            main(["batch", name, str(self.folder / "cache"), *arguments, "--json"])
        return int(ended.value.code or 0), [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]

    def ask(self, name: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        return self.run(name, self.id[:6], "--base-url", f"{self.server.address}/v1", *arguments)


@pytest.fixture
def jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with BatchServer() as server:
        yield Jobs(server, tmp_path, capsys)


def test_list_shows_each_job(jobs: Jobs):
    status, [row] = jobs.run("list")
    assert (status, row["job"], row["rows"], row["waiting"], row["model"]) == (0, jobs.id, 2, 1, OPENAI)


def test_show_asks_how_far_a_job_is(jobs: Jobs):
    status, [row] = jobs.ask("show")
    assert (status, row["batch"], row["ended"], row["rows"]) == (0, "batch_1", False, 2)


def test_resume_stores_the_answers(jobs: Jobs):
    status, [row] = jobs.ask("resume", "--response-model", jobs.model, "--poll", "0")
    assert (status, row["stored"], row["failed"]) == (0, 2, 0)
    with DiskCache(jobs.folder / "cache") as store, jobs.client(store) as client:
        messages = [{"role": "user", "content": "row 2"}]
        assert client.create_with_reply(load_response_model(jobs.model), messages).cached
    assert jobs.run("list")[1][0]["waiting"] == 0


def test_answers_that_come_a_day_later_drive_none_out(jobs: Jobs):
    with DiskCache(jobs.folder / "cache", size_limit=None) as store:
        for number in range(300):
            store.set(str(number), "x" * 2000)
    database = jobs.folder / "cache" / "answers.sqlite3"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE size_limit SET seen = seen - 100000")
    assert jobs.ask("resume", "--response-model", jobs.model, "--poll", "0")[0] == 0
    with DiskCache(jobs.folder / "cache", size_limit=None) as store:
        assert all(store.get(str(number)) for number in range(300))


def test_the_key_may_be_in_another_variable(jobs: Jobs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("KEY_OF_THE_JOB", "none")
    assert jobs.ask("show", "--api-key-env", "KEY_OF_THE_JOB")[0] == 0
    assert jobs.ask("resume", "--response-model", jobs.model, "--poll", "0", "--api-key-env", "KEY_OF_THE_JOB")[0] == 0
    assert jobs.ask("cancel", "--api-key-env", "KEY_OF_THE_JOB")[0] == 0
    assert jobs.ask("show", "--api-key-env", "NO_KEY")[0] == 2


def test_cancel_asks_the_provider_to_stop(jobs: Jobs):
    assert jobs.ask("cancel")[0] == 0
    assert jobs.server.batches[0]["cancelled"]


def test_a_batch_that_another_process_has_overwritten_in_the_shared_list_is_still_found(jobs: Jobs):
    with DiskCache(jobs.folder / "cache") as store:
        store.delete("instructor-batch:intents")
    assert jobs.run("list")[1][0]["waiting"] == 0
    assert len(jobs.ask("show")[1]) == 1
    assert jobs.run("list")[1][0]["waiting"] == 1


def test_a_provider_that_cannot_be_reached_is_no_traceback(jobs: Jobs, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["batch", "show", str(jobs.folder / "cache"), jobs.id, "--base-url", "http://127.0.0.1:9/v1"])
    assert ended.value.code == 2
    assert "Error: openai: APIConnectionError" in capsys.readouterr().err


def test_a_cassette_holds_no_job(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "recorded.jsonl").touch()
    with pytest.raises(SystemExit) as ended:
        main(["batch", "list", str(tmp_path / "recorded.jsonl")])
    assert ended.value.code == 2
    assert "a CassetteCache can't keep its record" in " ".join(capsys.readouterr().err.split())


def test_cancel_forgets_a_batch_that_the_provider_does_not_know(jobs: Jobs):
    jobs.server.batches.clear()
    assert jobs.ask("show")[0] == 2
    assert jobs.ask("cancel")[0] == 0
    assert jobs.ask("show") == (0, [])


def test_a_name_that_no_job_has_is_an_error(jobs: Jobs):
    assert jobs.run("show", "nobody")[0] == 2


@pytest.mark.parametrize("cancels", [True, False])
def test_ctrl_c_leaves_the_job_or_cancels_it_as_the_user_says(
    cancels: bool, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(batch_app.typer, "confirm", lambda *_, **__: cancels)
    jobs.server.polls = 5
    assert jobs.ask("resume", "--response-model", jobs.model, "--poll", "1")[0] == 130
    assert jobs.server.batches[0]["cancelled"] is cancels

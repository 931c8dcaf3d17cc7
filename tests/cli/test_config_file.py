"""Options may be in a TOML file; the command line goes first, and mistakes in the file are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from instructor.cli import app
from instructor.cli.settings import Settings

CONFIG = """
input = ["a.txt", "b.txt"]
response-model = "shapes:User"
model = "offline/demo"
out = "out.csv"
system = "Be brief."
temperature = 0
concurrency = 3
dry_run = true
format = "text"

[option]
max_tokens = 500
stop = ["a", "b"]
user = "me"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a command line with this config file, and return the settings, or else the error."""
    monkeypatch.chdir(tmp_path)
    seen: list[Settings] = []

    def keep(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr("instructor.cli.command.run_extract", keep)

    def run(config: str, *words: str) -> Settings | str:
        (tmp_path / "run.toml").write_text(config)
        result = CliRunner().invoke(app.make_app(), ["extract", "--config", "run.toml", *words])
        return seen.pop() if seen else " ".join(result.output.replace("\u2502", " ").split())

    return run


def test_a_file_may_hold_every_option(run: Any):
    settings = run(CONFIG)
    assert settings == Settings(
        sources=["a.txt", "b.txt"],
        response_model="shapes:User",
        model="offline/demo",
        out="out.csv",
        system="Be brief.",
        temperature=0.0,
        concurrency="3",
        dry_run=True,
        form="text",
        option=["max_tokens=500", 'stop=["a","b"]', 'user="me"'],
        config="run.toml",
    )


def test_the_command_line_goes_first(run: Any):
    settings = run(CONFIG, "c.txt", "--temperature", "1", "--out", "-")
    assert (settings.sources, settings.temperature, settings.out) == (["c.txt"], 1.0, "-")
    assert settings.concurrency == "3"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("temprature = 1", "run.toml has temprature, which is no option. Did you mean temperature?"),
        ("zzz = 1", "Write options without their dashes"),
        ("config = 'other.toml'", "has config, which is no option"),
        ("model = [", "run.toml isn't TOML"),
        ("model = ['a']", "has model = ['a']. Write one text or number."),
        ("quiet = 'yes'", "has quiet = 'yes'. Write true or false."),
        ("model = true", "has model = True. Write one text or number."),
        ("option = ['a=1']", "Write a table, such as option = { max_tokens = 500 }."),
        ("input = 3", "has input = 3. Write a file's name, or a list of them."),
        (f"limit = 0\n{CONFIG}", "greater than or equal to 1"),
        ("model = 'offline/x'", "INPUT"),
    ],
)
def test_a_mistake_in_the_file_is_named(run: Any, config: str, message: str):
    shown = run(config)
    assert message in shown
    assert "Traceback" not in shown


def test_a_file_that_is_not_there_is_named(run: Any):
    result = CliRunner().invoke(app.make_app(), ["extract", "--config", "none.toml"])
    assert result.exit_code == 2
    assert "none.toml cannot be read: No such file" in " ".join(result.output.split())
    assert isinstance(app.make_app(), typer.Typer)

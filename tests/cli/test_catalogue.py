"""Models with their prices and vendors with what they need are listed, and completed by the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import CommandLine
from instructor.cli import catalogue
from instructor.cli.catalogue import list_vendors, models, providers
from instructor.cli.completing import complete_engine, complete_format, complete_mode, complete_model
from instructor.exceptions import ConfigurationError
from instructor.providers.table import VENDORS
from instructor.providers.vendors import PLACES
from settings import clear_environment


def test_a_model_is_listed_with_its_prices_and_its_mode():
    (row,) = (row for row in models(text="OpenAI/gpt-4.1-mini").rows if row["model"] == "openai/gpt-4.1-mini")
    assert row == {
        "model": "openai/gpt-4.1-mini", "context": 1000000, "input": 0.4, "cached": 0.1, "output": 1.6,
        "mode": "tools",
    }  # fmt: skip


def test_a_part_of_a_name_finds_the_models_of_every_vendor():
    names = [row["model"] for row in models(text="claude-opus").rows]
    assert {name.partition("/")[0] for name in names} >= {"anthropic", "openrouter"}
    assert all("claude-opus" in name.lower() for name in names)


def test_a_name_that_no_model_has_is_refused():
    with pytest.raises(ConfigurationError, match="no model like 'no-such'"):
        models(text="no-such")


def test_every_vendor_is_listed_with_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    clear_environment(monkeypatch, str(tmp_path))
    rows = {row["provider"]: row for row in providers().rows}
    assert rows.keys() == {vendor.name for vendor in VENDORS} | PLACES.keys()
    assert (rows["openai"]["needs"], rows["offline"]["needs"], rows["ollama"]["needs"]) == ("OPENAI_API_KEY", "", "")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setattr(catalogue, "distribution", refuse)
    rows = {row["provider"]: row for row in providers().rows}
    assert rows["openai"]["needs"] == ""
    assert rows["anthropic"]["needs"] == "pip install 'instructor[anthropic]', ANTHROPIC_API_KEY"


def refuse(name: str) -> None:
    raise catalogue.PackageNotFoundError(name)


def test_both_are_commands(command_line: CommandLine):
    finished = command_line.run("models", "openai/gpt-4.1-mini", "--json")
    assert json.loads(finished.stdout.splitlines()[0])["model"] == "openai/gpt-4.1-mini"
    finished = command_line.run("providers")
    assert finished.returncode == 0, finished.stderr
    assert all(vendor.name in finished.stdout for vendor in list_vendors())
    assert "md_json" not in finished.stdout, "that is for programs"


def test_the_shell_completes_values():
    assert complete_mode("J") == ["json", "json_schema"]
    assert complete_format("pa") == ["parquet"]
    assert complete_engine("") == ["dask", "ray"]
    assert "openai/" in complete_model("open")
    assert "openai/gpt-4.1-mini" in complete_model("openai/gpt-4.1")
    assert complete_model("no-such-vendor/") == []


def test_the_shell_can_ask_for_completions(command_line: CommandLine):
    command_line.environment |= {
        "_INSTRUCTOR_COMPLETE": "complete_bash",
        "COMP_WORDS": "instructor extract in.csv --mode js",
        "COMP_CWORD": "4",
    }
    assert command_line.run().stdout.split() == ["json", "json_schema"]

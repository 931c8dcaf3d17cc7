"""The command line speaks of its options, not of Python's arguments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import CommandLine
from instructor.cache import AutoCache
from instructor.cli.clients import read_size
from instructor.cli.wording import use_option_names
from instructor.exceptions import ConfigurationError
from instructor.factory import from_provider
from settings import clear_environment


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (lambda: from_provider("openai/m").client, "Set OPENAI_API_KEY. Keys"),
        (lambda: from_provider("nonesuch/m"), "with --base-url."),
        (lambda: from_provider("openai/m", base_url="x"), "--base-url isn't a URL."),
        (lambda: from_provider("offline/m", base_url="http://x"), "so --base-url has no use. Leave it out."),
        (lambda: from_provider("m"), "--model 'm' names no vendor. Write"),
        (lambda: from_provider("offline/m", cache=AutoCache(), cache_ttl="x"), "-o cache_ttl= is a str. Pass seconds"),
        (lambda: from_provider("openai/m", prompt_cache="10m"), '-o prompt_cache= is \'10m\'. Pass "auto", "5m", "1h"'),
    ],
)
def test_advice_names_options(mistake: Any, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clear_environment(monkeypatch, str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        mistake()
    message = use_option_names(str(caught.value))
    assert advice in message
    assert not re.search(r"(?<!-o )\b\w+=", message), "an argument of Python"


def test_a_class_is_named_as_the_option_takes_it(command_line: CommandLine) -> None:
    (command_line.folder / "odd.py").write_text(
        "from pydantic import BaseModel\nclass Odd(BaseModel, arbitrary_types_allowed=True):\n    x: type(len)\n"
    )
    (command_line.folder / "odd.txt").write_text("a\n")
    done = command_line.run(
        "extract", "odd.txt", "--response-model", "odd:Odd", "--model", "offline/m", "--out", "o.jsonl"
    )
    assert done.returncode == 2
    message = " ".join(done.stderr.split())
    assert "--response-model" in message
    assert "<class 'odd" not in message
    assert "errors.pydantic.dev" not in message


def test_a_cache_that_is_too_small_is_refused_in_its_own_words() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^--cache-size 10 is too small to hold answers. Write 64KiB or more.$"
    ):
        read_size("10")


@pytest.mark.parametrize("words", [["--help"], ["extract", "--help"]])
def test_a_switch_has_no_type_in_the_help(command_line: CommandLine, words: list[str]) -> None:
    done = command_line.run(*words)
    assert done.returncode == 0
    assert "--help" in done.stdout
    assert "bool" not in done.stdout.lower()


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("-o response_model= is not an argument", "-o response_model= is not an argument"),
        ("-o engine= is not an argument", "-o engine= is not an argument"),
        ("Check the key: api_key=, or the environment variable K.", "Check the key: the environment variable K."),
        ("Pass a longer timeout=, or", "Write a longer -o timeout=, or"),
        ("Pass max_retries=Retries(requests=2, longest_wait=9) to wait.", "Run the same command again after that."),
        ("[Errno -2] Name or service not known", "Name or service not known"),
        ('engine="dask" needs a package.', "--engine dask needs a package."),
    ],
)
def test_a_message_is_in_the_words_of_the_command_line(message: str, words: str) -> None:
    assert use_option_names(message) == words

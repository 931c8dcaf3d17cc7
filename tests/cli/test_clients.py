"""What the user writes for the request reaches the provider; what can't is refused by the option's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import CommandLine
from instructor.cache import AutoCache, CassetteCache, RedisCache
from instructor.cli.clients import add_system, find_mode, make_client, open_cache, read_budget, read_options
from instructor.cli.settings import Settings
from instructor.exceptions import ConfigurationError
from instructor.mode import Mode
from replies import Reply, ReplyServer, chat_completion
from servers import Valkey

SETTINGS = Settings(sources=["in.txt"], response_model="shapes:User", model="offline/demo", out="out.jsonl")


def settle(**changes: Any) -> Settings:
    return dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("max_tokens=500", "max_tokens", 500),
        ("max-tokens=500", "max_tokens", 500),
        ("top_p=0.5", "top_p", 0.5),
        ("reasoning_effort=low", "reasoning_effort", "low"),
        ('extra_body={"a": [1]}', "extra_body", {"a": [1]}),
        ("stop=a=b", "stop", "a=b"),
        ("store=true", "store", True),
        ("user=", "user", ""),
    ],
)
def test_a_value_is_json_or_else_text(text: str, name: str, value: object):
    assert read_options(settle(option=[text])) == {name: value}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"option": ["max_tokens"]}, r"-o max_tokens is not a name and a value. Write them as in -o max_tokens=500"),
        ({"option": ["=5"]}, "is not a name and a value"),
        ({"option": ["a=1", "a=2"]}, "-o a= is written twice"),
        ({"option": ["mode=json"]}, "-o mode= .* Write --mode"),
        ({"option": ["api_key=secret"]}, "Write --api-key-env"),
        ({"option": ["temperature=1"], "temperature": 0.0}, "--temperature and -o temperature= say the same"),
    ],
)
def test_what_is_not_an_argument_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_options(settle(**changes))
    assert "secret" not in str(caught.value)


def test_a_system_message_that_looks_like_a_template_is_warned_of(caplog: pytest.LogCaptureFixture):
    for system in ("Be brief.", 'Answer with {"a": {"b": 1}}.', "Sort {{ text }}."):
        make_client(settle(system=system), AutoCache())
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["--system is sent as it stands"]


def test_the_system_message_comes_first():
    record = [{"role": "user", "content": "a"}]
    assert add_system(settle(), record) == record
    assert add_system(settle(system="Be brief."), record) == [{"role": "system", "content": "Be brief."}, *record]


def test_they_reach_the_provider_and_belong_to_the_key(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(*[Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36}))] * 2)
    words = live(command_line.write("in.txt", "one\n"))
    more = ["--system", "Be brief.", "--temperature", "0", "-o", "max_tokens=50", "-o", "seed=7"]
    for options in (more, more, [*more[:-1], "seed=8"]):
        finished = command_line.run(*words, *options)
        assert finished.returncode == 0, finished.stderr
    first, second = reply_server.requests
    body = first.body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"], body["seed"], second.body["seed"]) == (0, 50, 7, 8)


def test_a_misspelt_argument_is_refused_with_the_right_one(command_line: CommandLine):
    finished = command_line.run(*command_line.words(command_line.write("in.txt", "one\n")), "-o", "cache_tll=5")
    assert finished.returncode == 2
    assert "-o cache_ttl=" in finished.stderr


@pytest.mark.parametrize("name", ["json", "JSON", "Json_Mode"])
def test_a_mode_is_found_in_any_case(name: str):
    assert find_mode(name) is Mode.JSON


def test_the_cache_may_be_a_cassette_or_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: Valkey):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_cache(settle(cache="kept.jsonl")), CassetteCache)
    assert isinstance(open_cache(settle(cache=valkey.url)), RedisCache)


def test_a_second_run_finds_its_answers_on_the_server(command_line: CommandLine, valkey: Valkey):
    words = command_line.words(command_line.write("in.txt", "Jason is 25\n"))
    words[words.index("kept")] = valkey.url
    for cached in (False, True):
        finished = command_line.run(*words)
        assert finished.returncode == 0, finished.stderr
        assert [line["cached"] for line in command_line.read_lines()] == [cached]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache": "redis://ann:tiger@127.0.0.1:1/0"}, r"^--cache: redis://127\.0\.0\.1:1/0 can't be used"),
        ({"cache": "file:///dev/null/x"}, "^--cache: file:///dev/null/x can't be used"),
        ({"cache": "ftp://somewhere"}, "^--cache: ftp://somewhere: there is no store for ftp://"),
        ({"cache": "kept.jsonl", "cache_size": "1GB"}, "--cache-size is the limit of a directory"),
        ({"cache": " "}, "--cache names nothing"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_cache(settle(**changes))
    assert "tiger" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "usd", "tokens"),
    [("5.50", 5.5, None), ("$1,000", 1000, None), ("200000 tokens", None, 200_000), ("1 Token", None, 1)],
)
def test_a_budget_is_in_dollars_or_tokens(text: str, usd: float | None, tokens: int | None):
    budget = read_budget(text, "openai/gpt-4.1-mini")
    assert (budget.usd, budget.tokens, budget.price_as) == (usd, tokens, "openai/gpt-4.1-mini" if usd else None)


@pytest.mark.parametrize("text", ["", "0", "five", "-5", "5 euros"])
def test_a_budget_that_is_no_amount_is_refused(text: str):
    with pytest.raises(ConfigurationError, match="Write dollars such as 5"):
        read_budget(text, None)


def test_a_run_ends_when_its_budget_is_spent_and_the_next_goes_on(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    answer = Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36}, usage=(1000, 100)))
    reply_server.script(answer)
    words = live(command_line.write("in.txt", "a\nb\nc\nd\n"), "--concurrency", "1", "--report", "figures.json")
    stopped = command_line.run(*words, "--budget", "2000 tokens")
    assert stopped.returncode == 1
    assert "--budget 2000 tokens is spent. The run cannot go on." in stopped.stderr
    assert "Run the same command again" in stopped.stderr
    assert len(reply_server.requests) == 2
    assert not (command_line.folder / "out.jsonl").exists()
    figures = command_line.read_report()
    assert (figures["asked"], figures["failed"], figures["completed"]) == (2, 0, False)
    assert command_line.run(*words, "--budget", "$1").returncode == 0
    assert len(reply_server.requests) == 4


def test_a_budget_whose_price_is_unknown_is_refused(command_line: CommandLine, live: Callable[..., list[str]]):
    words = live(command_line.write("in.txt", "a\n"), "--budget", "1")
    words[words.index("openai/gpt-4.1-mini")] = "openai/none-such"
    refused = command_line.run(*words)
    assert refused.returncode == 2
    assert "--price-as" in refused.stderr
    assert "Budget(" not in refused.stderr


def test_the_key_may_be_in_any_variable(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36})))
    words = live(command_line.write("in.txt", "one\n"), "--api-key-env", "MINE")
    refused = command_line.run(*words)
    assert refused.returncode == 2
    assert "--api-key-env MINE: that variable isn't set" in refused.stderr
    command_line.environment["MINE"] = "of-mine"
    assert command_line.run(*words).returncode == 0
    headers = {name.lower(): value for name, value in reply_server.requests[0].headers.items()}
    assert headers["authorization"] == "Bearer of-mine"

"""``--dry-run`` asks nothing, writes nothing, and says what the run would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import CommandLine
from instructor.cli.app import make_command
from instructor.cli.dry_run import Asker, Estimate, make_estimate
from instructor.cli.prices import Prices
from instructor.cli.records import Record
from instructor.engine.explanation import Explanation
from instructor.jobs.prompts import make_prompt
from instructor.usage import Usage
from replies import Reply, ReplyServer, chat_completion

ADA = Reply(chat_completion(tool="User", arguments={"name": "Ada", "age": 36}, usage=(1000, 100)))
LUNA = Prices("openai/gpt-4.1-mini")


def test_nothing_is_asked_and_the_estimate_goes_by_what_was_answered(
    command_line: CommandLine, reply_server: ReplyServer, live: Callable[..., list[str]]
):
    reply_server.script(ADA, ADA)
    words = live(command_line.write("in.txt", "a\nb\nc\nc\nd\n"), "--system", "Be brief.", "--report", "figures.json")
    assert command_line.run(*words, "--limit", "2").returncode == 0
    command_line.environment.pop("OPENAI_API_KEY")
    before = (command_line.folder / "out.jsonl").read_bytes()
    finished = command_line.run(*words, "--dry-run")
    assert finished.returncode == 0, finished.stderr
    assert len(reply_server.requests) == 2
    assert (command_line.folder / "out.jsonl").read_bytes() == before
    assert command_line.read_report() == {
        "records": 5, "from_the_cache": 2, "equal_to_another": 1, "to_ask": 2, "unusable": 0,
        "input_tokens": 2000, "output_tokens": 200, "input_dollars": pytest.approx(2000 * 0.4 / 1e6),
        "dollars": pytest.approx((2000 * 0.4 + 200 * 1.6) / 1e6), "price": "openai/gpt-4.1-mini",
    }  # fmt: skip
    assert "from the cache" in finished.stdout
    assert "$0.0011" in finished.stdout
    assert "Nothing was asked. Tokens are estimated from 2 answers" in finished.stderr


def test_nothing_is_written_so_no_output_need_be_named(command_line: CommandLine):
    words = command_line.words(command_line.write("in.txt", "a\n"), "--dry-run")
    at = words.index("--out")
    finished = command_line.run(*words[:at], *words[at + 2 :])
    assert finished.returncode == 0, finished.stderr
    assert "to ask" in finished.stdout


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["--dry-run"], "-"),
        (["--config", "run.toml"], "-"),
        (["--dry-run", "--config", "out.toml"], "out.csv"),
        (["--config", "out.toml", "--dry-run"], "out.csv"),
        (["--dry-run", "--out", "out.jsonl"], "out.jsonl"),
        ([], None),
    ],
)
def test_an_output_is_needed_only_where_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], out: str | None
):
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text("dry-run = true\n")
    Path("out.toml").write_text("out = 'out.csv'\n")
    needed = ["in.txt", "--response-model", "shapes:User", "--model", "offline/demo"]
    extract = make_command("extract").commands["extract"]
    if out is not None:
        assert extract.make_context("extract", [*needed, *words]).params["out"] == out
        return
    with pytest.raises(Exception, match="Missing parameter: out"):
        extract.make_context("extract", [*needed, *words])


def estimate(texts: list[str], explain: Callable[[str], Explanation], prices: Prices = LUNA) -> Estimate:
    records = [Record(number, text, error="" if text else "broken") for number, text in enumerate(texts, 1)]
    asker = Asker(lambda messages: explain(str(messages[0]["content"])), lambda _: None, 38)
    return make_estimate(records, make_prompt(None), asker, prices)


def test_without_stored_answers_the_length_of_the_answers_is_not_invented():
    found = estimate(["ab", "", "cd"], lambda text: Explanation("", key=text.encode().hex()))
    assert (found.to_ask, found.unusable, found.input_tokens, found.output_tokens) == (2, 1, 20, None)
    assert found.dollars is None
    assert float(found.input_dollars or 0) == pytest.approx(20 * 0.4 / 1e6)
    assert "--limit 20" in found.advice


def test_a_call_without_a_key_is_asked_each_time():
    assert estimate(["a", "a"], lambda _: Explanation("", uncacheable="odd")).to_ask == 2


def test_when_everything_is_cached_nothing_costs():
    found = estimate(["a", "a"], lambda _: Explanation("", hit=True, key="ab"))
    assert (found.hits, found.dollars, found.advice) == (2, 0, "Nothing was asked, and nothing needs to be.")


def test_an_unknown_price_is_not_invented():
    found = Estimate(Prices("openai/none-such"), to_ask=1, letters=4, samples=1, sample=Usage(1, 1), sample_letters=4)
    assert found.dollars is None
    assert "write --price-as" in found.advice


def test_a_wrong_option_is_refused_as_in_a_run(command_line: CommandLine):
    words = [word.replace("out.jsonl", "in.txt") for word in command_line.words(command_line.write("in.txt", "a\n"))]
    finished = command_line.run(*words, "--dry-run")
    assert finished.returncode == 2
    assert Path(command_line.folder / "in.txt").read_text() == "a\n"

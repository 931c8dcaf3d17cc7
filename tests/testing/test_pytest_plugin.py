"""The plugin for pytest, in pytest runs of its own in this process: what is recorded where, served, refused and pruned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

# Both here, so that they aren't loaded anew for each run.
from instructor.cache import CassetteCache
from instructor.testing import pytest_plugin
from test_exports import modules_after

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = pytest_plugin.__name__
CLIENTS = """
    import asyncio, threading, pytest
    from instructor import AutoCache, from_provider

    client = from_provider("offline/demo", cache=AutoCache(), cache_ttl=3)
    other = from_provider("offline/demo", async_client=True)

    def say(text):
        return [{"role": "user", "content": text}]
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run pytest with the plugin on the tests that were written."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")

    def go(*arguments: str, tests: str = "") -> pytest.RunResult:
        if tests:
            pytester.makepyfile(test_it="\n".join(line[4:] for line in (CLIENTS + tests).splitlines()))
        options = ("-p", PLUGIN, "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-q", "--strict-markers")
        return pytester.runpytest_inprocess(*options, *arguments)

    return go


def files(pytester: pytest.Pytester) -> list[str]:
    folder = pytester.path / "cassettes"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jsonl"))


def test_each_test_has_a_cassette_and_is_replayed_from_it(run, pytester: pytest.Pytester) -> None:
    """Whatever kind of test: parametrised, asynchronous, in a class, with the fixture, with a name; one without is live."""
    tests = """
    @pytest.mark.llm_cassette
    @pytest.mark.parametrize("name", ["ann", "a/b"])
    def test_one(name):
        client.create(int, say(name))

    async def test_two(llm_cassette):
        await other.create(int, say("two"))
        assert llm_cassette.size()[0] == 1

    @pytest.mark.llm_cassette("shared.jsonl")
    class TestMany:
        def test_three(self):
            thread = threading.Thread(target=lambda: client.create(int, say("three"), cache_mode="refresh"))
            thread.start()
            thread.join()

        def test_four(self):
            from_provider("offline/demo").create(int, say("four"))

    def test_live():
        from_provider("offline/demo").create(int, say("five"))
    """
    run(tests=tests).assert_outcomes(passed=6)
    assert [re.sub(r"-\w{8}", "-<hash>", name) for name in files(pytester)] == [
        "shared.jsonl",
        "test_it/test_one[a_b]-<hash>.jsonl",
        "test_it/test_one[ann].jsonl",
        "test_it/test_two.jsonl",
    ]
    before = {path: path.read_bytes() for path in pytester.path.rglob("*.jsonl")}
    done = run("--llm-record=none")
    done.assert_outcomes(passed=6)
    done.stdout.no_fnmatch_line("*unused*")
    assert before == {path: path.read_bytes() for path in pytester.path.rglob("*.jsonl")}


ONE = """
    @pytest.mark.llm_cassette
    def test_it():
        assert client.create(int, say("Anna is 25.")) == 25
"""


def test_in_ci_an_unrecorded_call_fails_with_the_difference(run, pytester, monkeypatch) -> None:
    """Even one that asks for a new answer itself."""
    run(tests=ONE).assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "true")
    changed = ONE.replace('say("Anna is 25.")', 'say("Anne is 25."), cache_mode="bypass"')
    done = run(tests=changed.replace(', cache_mode="bypass"', ""))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*line 1 of cassettes/test_it/test_it.jsonl*messages?0?.content, character 3:*'Anne is 25.'*"]
    )
    run(tests=changed).assert_outcomes(failed=1)
    run("--llm-record=new", tests=ONE.replace("Anna", "Anne")).assert_outcomes(passed=1)
    run(tests=ONE.replace("Anna", "Anne")).assert_outcomes(passed=1)
    monkeypatch.setenv("CI", "false")
    run(tests=ONE.replace("Anna", "Ben")).assert_outcomes(passed=1)


def test_verify_and_all_ask_again(run, pytester: pytest.Pytester) -> None:
    run(tests=ONE).assert_outcomes(passed=1)
    (path,) = pytester.path.rglob("*.jsonl")
    recorded = path.read_text()
    run("--llm-record=verify").assert_outcomes(passed=1)
    edited = recorded.replace('"spaced": {"content": 25}', '"spaced": {"content": 26}')
    assert edited != recorded
    path.write_text(edited)
    run("--llm-record=none").assert_outcomes(failed=1)
    done = run("--llm-record=verify")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*answer?0?.content: stored 26, asked 25*"])
    assert path.read_text() == edited
    run("--llm-record=all").assert_outcomes(passed=1)
    assert path.read_text() == recorded


def test_unused_answers_are_reported_and_pruned(run, pytester: pytest.Pytester) -> None:
    """But not those of a test that failed, which may have asked for them later."""
    run(tests=ONE).assert_outcomes(passed=1)
    (path,) = pytester.path.rglob("*.jsonl")
    changed = ONE.replace("Anna", "Ben")
    run("--llm-prune", tests=changed + "        assert False\n").assert_outcomes(failed=1)
    assert len(path.read_text().splitlines()) == 2
    run(tests=changed).stdout.fnmatch_lines(["cassettes/test_it/test_it.jsonl: 1 unused", "*--llm-prune*"])
    run("--llm-prune").stdout.fnmatch_lines(["cassettes/test_it/test_it.jsonl: 1 removed"])
    assert "Ben" in path.read_text()
    assert "Anna" not in path.read_text()


def test_secrets_of_a_project_are_replaced(run, pytester: pytest.Pytester) -> None:
    run("-o", r"llm_redact=ACME-\d+", tests=ONE.replace("Anna", "Anna of ACME-77 and")).assert_outcomes(passed=1)
    (path,) = pytester.path.rglob("*.jsonl")
    assert "ACME" not in path.read_text()


def test_what_a_test_has_used_reaches_another_process() -> None:
    """As a worker of pytest-xdist sends it."""
    report = pytest.TestReport("a", ("a", 1, "a"), {}, "passed", None, "teardown", llm_used={"x.jsonl": ["key"]})
    again = pytest.TestReport._from_json(report._to_json())
    assert again.llm_used == {"x.jsonl": ["key"]}  # type: ignore[attr-defined]


@pytest.mark.soak
def test_workers_share_cassettes(pytester: pytest.Pytester, run) -> None:
    """Two processes record in one file; the main one prunes what neither has used."""
    tests = """
    @pytest.mark.llm_cassette("shared")
    @pytest.mark.parametrize("number", range(20))
    def test_many(number):
        client.create(int, say(f"It is {number}."))
    """
    run("--collect-only", tests=tests)
    options = ("-p", PLUGIN, "-p", "no:cacheprovider", "-n", "2", "-q")
    pytester.runpytest_subprocess(*options).assert_outcomes(passed=20)
    path = pytester.path / "cassettes" / "shared.jsonl"
    assert CassetteCache(path).size()[0] == 20
    with path.open("a") as stream:
        stream.write('{"request": {"key": "left over"}, "value": "x"}\n')
    done = pytester.runpytest_subprocess(*options, "--llm-record=none", "--llm-prune")
    done.assert_outcomes(passed=20)
    assert len(path.read_text().splitlines()) == 20


def test_the_test_in_the_documentation_passes(run, pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    source = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    pytester.makepyfile(test_users=re.sub(r"openai/[\w.-]+", "offline/demo", source))
    run().assert_outcomes(passed=1)
    run("--llm-record=none").assert_outcomes(passed=1)


def test_pytest_finds_the_plugin_and_it_loads_nothing_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
    assert not modules_after(f"import {PLUGIN}") & {"pydantic", "orjson", "openai", "instructor.cache"}

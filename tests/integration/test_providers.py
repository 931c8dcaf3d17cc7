"""The main promise over real SDKs and a real server: one request, and every later answer is that one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from instructor import Mode, from_openai, from_provider
from instructor.cache import AutoCache, DiskCache
from instructor.cache.entry import CHECKSUM_SIZE, decode_entry
from instructor.exceptions import (
    IncompleteOutputException,
    InstructorRetryException,
    RefusalError,
)
from replies import Reply, chat_completion


class User(BaseModel):
    name: str
    age: int


JASON = {"name": "Jason", "age": 25}
USAGE = {
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "input_tokens": 10,
        "output_tokens": 5,
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "totalTokenCount": 15,
    }
}
ASK = [{"role": "user", "content": "Extract: Jason is 25 years old"}]
WIRES = [
    ("openai/gpt-4.1-mini", Mode.TOOLS),
    ("openai/gpt-4.1-mini", Mode.JSON),
    ("openai/gpt-4.1-mini", Mode.JSON_SCHEMA),
    ("openai/gpt-4.1-mini", Mode.MD_JSON),
    ("openai/gpt-4.1-mini", Mode.RESPONSES_TOOLS),
    ("anthropic/claude-3-haiku", Mode.TOOLS),
    ("anthropic/claude-3-haiku", Mode.JSON),
    ("google/gemini-2.5-flash", Mode.TOOLS),
    ("google/gemini-2.5-flash", Mode.JSON),
]


@pytest.fixture
async def connect():
    """`from_provider`, whose SDK clients are closed after the test."""
    clients = []

    def make(model: str, **options: Any) -> Any:
        clients.append(from_provider(model, **options))
        return clients[-1]

    yield make
    for client in clients:
        client._adapter.close()
        await client._adapter.aclose()


def dumped(completion: Any) -> Any:
    return completion.model_dump(mode="json")


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
def test_one_request_answers_every_call_from_then_on(connect, aimock, model: str, mode: Mode, tmp_path) -> None:
    aimock.answer("Jason", JASON, tool="User", response=USAGE)
    with DiskCache(directory=tmp_path) as cache:
        client = connect(model, mode=mode, cache=cache)
        live, live_completion = client.create_with_completion(response_model=User, messages=ASK)
        hit, completion = client.create_with_completion(response_model=User, messages=ASK)
        assert live == hit == client.create(response_model=User, messages=ASK) == User(**JASON)
        assert type(hit) is type(live) is User
        assert type(completion) is type(live_completion)
        assert dumped(completion) == dumped(live_completion)
        assert len(aimock.requests()) == 1
        assert client.cache_stats().tokens_saved == 2 * 15


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
def test_a_long_answer_is_stored_once_and_its_completion_comes_back(
    connect, aimock, model: str, mode: Mode, tmp_path
) -> None:
    name = 'Zoë "Jason"\n' * 200
    aimock.answer("Jason", {"name": name, "age": 25}, tool="User")
    with DiskCache(directory=tmp_path) as cache:
        client = connect(model, mode=mode, cache=cache)
        live, live_completion = client.create_with_completion(response_model=User, messages=ASK)
        hit, completion = client.create_with_completion(response_model=User, messages=ASK)
        assert live == hit == User(name=name, age=25)
        assert dumped(completion) == dumped(live_completion) == dumped(hit._raw_response)
        assert type(completion) is type(live_completion)
        (listed,) = (listed for batch in cache.list_entries() for listed in batch)
        stored = cache.get(listed.key)
        assert stored is not None
        assert decode_entry(stored, listed.key).completion_data[CHECKSUM_SIZE:].startswith(b"@"), "it is left out there"
        assert len(aimock.requests()) == 1


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
async def test_the_asynchronous_client_shares_what_the_synchronous_one_stored(
    connect, aimock, model: str, mode: Mode
) -> None:
    aimock.answer("Jason", JASON, tool="User")
    cache = AutoCache()
    client = connect(model, mode=mode, cache=cache, async_client=True)
    answers = await asyncio.gather(*(client.create(response_model=User, messages=ASK) for _ in range(20)))
    assert answers == [User(**JASON)] * 20
    sync = connect(model, mode=mode, cache=cache)
    assert sync.create(response_model=User, messages=ASK) == User(**JASON)
    assert len(aimock.requests()) == 1


@pytest.mark.parametrize(("model", "mode"), WIRES, ids=str)
def test_an_invalid_answer_is_shown_to_the_model_in_the_providers_own_form(
    connect, aimock, model: str, mode: Mode
) -> None:
    aimock.answer(None, {"name": "Jason", "age": "old"}, tool="User", match={"turnIndex": 0}, response=USAGE)
    aimock.answer(None, JASON, tool="User", match={"turnIndex": 1}, response=USAGE)
    client = connect(model, mode=mode, cache=AutoCache())
    usages: list[int] = []
    client.on("completion:usage", lambda usage: usages.append(usage.total_tokens))
    assert client.create(response_model=User, messages=ASK) == User(**JASON)
    first, second = aimock.requests()
    assert len(second["body"]["messages"]) > len(first["body"]["messages"])
    assert "valid integer" in str(second["body"]["messages"])
    assert usages == [15, 30], "usage is added up over attempts"
    assert client.create(response_model=User, messages=ASK) == User(**JASON)
    assert len(aimock.requests()) == 2


@pytest.mark.parametrize(("model", "mode"), [wire for wire in WIRES if wire[1] is Mode.TOOLS], ids=str)
def test_a_cut_off_answer_is_an_error_and_never_stored(connect, aimock, model: str, mode: Mode) -> None:
    aimock.on("Jason", content='{"name": "Ja', finish_reason="length")
    cache = AutoCache()
    client = connect(model, mode=mode, cache=cache)
    with pytest.raises(IncompleteOutputException):
        client.create(response_model=User, messages=ASK)
    assert len(aimock.requests()) == 1
    assert len(cache) == 0


@pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "anthropic/claude-3-haiku", "google/gemini-2.5-flash"])
def test_without_a_response_model_the_raw_completion_comes_back_cached(connect, aimock, model: str) -> None:
    aimock.on("Jason", content="Hello!")
    client = connect(model, cache=AutoCache())
    live = client.create(response_model=None, messages=ASK)
    hit = client.create(response_model=None, messages=ASK)
    assert type(hit) is type(live)
    assert dumped(hit) == dumped(live)
    assert hit is not live
    assert len(aimock.requests()) == 1


FAULTS = [
    {"error": 1.0},
    {"rate_limit": 1.0},
    {"malformed": 1.0},
    {"disconnect": 1.0},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
@pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "anthropic/claude-3-haiku", "google/gemini-2.5-flash"])
def test_a_fault_of_the_provider_is_one_clear_error_and_never_stored(connect, aimock, model: str, fault: Any) -> None:
    aimock.answer("Jason", JASON, tool="User")
    aimock.chaos(**fault)
    cache = AutoCache()
    options: dict[str, Any] = {} if model.startswith("google") else {"max_retries": 0}
    client = connect(model, cache=cache, **options)
    with pytest.raises(InstructorRetryException) as caught:
        client.create(response_model=User, messages=ASK, max_retries=0)
    assert caught.value.__cause__ is not None
    assert caught.value.n_attempts == 1
    assert len(cache) == 0
    aimock.chaos()
    assert client.create(response_model=User, messages=ASK) == User(**JASON)


def test_a_refusal_is_an_error_of_its_own(connect, reply_server, monkeypatch: pytest.MonkeyPatch) -> None:
    reply_server.script(Reply(chat_completion(refusal="I cannot help with that.")))
    cache = AutoCache()
    client = connect("openai/gpt-4.1-mini", base_url=reply_server.url, api_key="test", cache=cache)
    with pytest.raises(RefusalError, match="I cannot help with that") as caught:
        client.create(response_model=User, messages=ASK)
    assert caught.value.last_completion.choices[0].message.refusal
    assert len(reply_server.requests) == 1
    assert len(cache) == 0


def test_a_reply_cut_in_the_middle_of_its_body_is_an_error(connect, reply_server) -> None:
    reply_server.script(Reply(chat_completion(tool="User", arguments=JASON), fault="truncate"))
    client = connect("openai/gpt-4.1-mini", base_url=reply_server.url, api_key="test", cache=AutoCache(), max_retries=0)
    with pytest.raises(InstructorRetryException):
        client.create(response_model=User, messages=ASK)
    reply_server.script(Reply(chat_completion(tool="User", arguments=JASON)))
    assert client.create(response_model=User, messages=ASK) == User(**JASON)


def test_a_model_that_never_validates_ends_with_all_its_attempts(connect, aimock) -> None:
    aimock.answer(None, {"name": "Jason", "age": "old"}, tool="User")
    cache = AutoCache()
    client = connect("openai/gpt-4.1-mini", cache=cache)
    with pytest.raises(InstructorRetryException) as caught:
        client.create(response_model=User, messages=ASK, max_retries=2)
    assert caught.value.n_attempts == len(aimock.requests()) == 3
    assert len(caught.value.failed_attempts) == 3
    assert len(cache) == 0


def test_a_rotated_key_and_no_key_at_all_still_hit(connect, aimock, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    aimock.answer("Jason", JASON, tool="User")
    with DiskCache(directory=tmp_path) as cache:
        first = connect("openai/gpt-4.1-mini", cache=cache, api_key="sk-one")
        first.create(response_model=User, messages=ASK)
        other = connect("openai/gpt-4.1-mini", cache=cache, api_key="sk-two")
        assert other.create(response_model=User, messages=ASK) == User(**JASON)
        monkeypatch.delenv("OPENAI_API_KEY")
        none = connect("openai/gpt-4.1-mini", cache=cache)
        assert none.create(response_model=User, messages=ASK) == User(**JASON)
    assert len(aimock.requests()) == 1
    raw = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sk-one" not in raw
    assert b"Jason is 25 years old" not in raw


HIT = """
import sys
from instructor import from_provider
from instructor.cache import DiskCache
from pydantic import BaseModel

class User(BaseModel):
    name: str
    age: int

client = from_provider(sys.argv[1], cache=DiskCache(directory=sys.argv[2]))
print(client.create(response_model=User, messages=[{"role": "user", "content": "Extract: Jason is 25 years old"}]))
heavy = ["openai", "anthropic", "google.genai", "tenacity", "jinja2", "typer", "rich", "redis", "asyncio", "httpx2"]
heavy += ["difflib", "unicodedata"]
heavy += [f"instructor.engine.{name}" for name in ("ask", "diagnosis", "judging", "leasing", "partial_validation", "reply", "showing", "spending", "versions")]
heavy += [f"instructor.wires.{name}" for name in ("anthropic", "folding", "genai", "openai_chat", "openai_responses", "schema", "text", "turns")]
heavy += [f"instructor.{name}" for name in ("budget", "cache.differing", "cache.memory", "cache.stats", "credentials", "failures", "streams", "streaming", "templating")]
heavy += ["instructor.jobs.prompts", "instructor.jobs.sources", "instructor.limits.settings", "instructor.prompt_caching"]
print([name for name in heavy if name in sys.modules])
print(sum(f"instructor.providers.{name}" in sys.modules for name in ("openai", "anthropic", "genai")))
"""


@pytest.mark.parametrize("model", ["openai/gpt-4.1-mini", "anthropic/claude-3-haiku", "google/gemini-2.5-flash"])
def test_a_new_process_hits_without_a_key_and_imports_what_it_needs(connect, aimock, model: str, tmp_path) -> None:
    aimock.answer("Jason", JASON, tool="User")
    with DiskCache(directory=tmp_path) as cache:
        connect(model, cache=cache).create(response_model=User, messages=ASK)
    environment = {name: value for name, value in aimock.environment.items() if "KEY" not in name}
    environment["PYTHONPATH"] = str(Path(instructor.__file__).parents[1])
    command = [sys.executable, "-c", HIT, model, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["name='Jason' age=25", "[]", "1"], done.stderr
    assert len(aimock.requests()) == 1


def test_two_endpoints_never_share_an_answer(connect, aimock, reply_server) -> None:
    aimock.answer("Jason", JASON, tool="User")
    reply_server.script(Reply(chat_completion(tool="User", arguments={"name": "Other", "age": 1})))
    cache = AutoCache()
    one = connect("openai/gpt-4.1-mini", cache=cache)
    other = connect("openai/gpt-4.1-mini", cache=cache, base_url=reply_server.url)
    assert one.create(response_model=User, messages=ASK).name == "Jason"
    assert other.create(response_model=User, messages=ASK).name == "Other"


def test_a_client_over_ones_own_sdk_client_shares_with_from_provider(connect, aimock) -> None:
    import openai

    aimock.answer("Jason", JASON, tool="User")
    cache = AutoCache()
    own = from_openai(openai.OpenAI(), model="gpt-4.1-mini", cache=cache)
    assert own.create(response_model=User, messages=ASK) == User(**JASON)
    made = connect("openai/gpt-4.1-mini", cache=cache)
    assert made.create(response_model=User, messages=ASK) == User(**JASON)
    assert len(aimock.requests()) == 1


def test_the_responses_api_takes_input_under_its_own_name(connect, aimock) -> None:
    aimock.answer("Jason", JASON, tool="User")
    client = connect("openai/gpt-4.1-mini", mode=Mode.RESPONSES_TOOLS, cache=AutoCache())
    text = "Extract: Jason is 25 years old"
    assert client.responses.create(response_model=User, input=text) == User(**JASON)
    assert client.responses.create(response_model=User, input=text) == User(**JASON)
    assert len(aimock.requests()) == 1

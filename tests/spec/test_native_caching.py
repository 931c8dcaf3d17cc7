"""Every snippet of the page "Native Caching" runs as written, and does what the page says of it."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import pytest
from packaging.version import Version
from pydantic import BaseModel

from servers import Aimock, Valkey

HOUR = 3600
# What the page's first snippet defines, for the snippets that lean on it.
FIRST = """
from instructor import from_provider
from instructor.cache import AutoCache
from pydantic import BaseModel

class User(BaseModel):
    name: str
    age: int
"""
CLIENT = FIRST + 'client = from_provider("openai/gpt-4o")\n'
EXTRACT_TWICE = """
assert extract_user("Extract: John is 25") == extract_user("Extract: John is 25")
print(repr(extract_user("Extract: John is 25")))
"""
CREATE_TWICE = """
for _ in range(2):
    print(repr(client.create(messages=[{"role": "user", "content": "Extract: John is 25"}], response_model=User)))
"""
JOHN = "User(name='John', age=25)\n"


class User(BaseModel):
    """The page's model."""

    name: str
    age: int


@pytest.fixture
def john(aimock: Aimock) -> Aimock:
    """A provider that knows John."""
    aimock.answer("John", {"name": "John", "age": 25}, tool="User")
    return aimock


def test_the_second_call_is_served_from_the_cache(run, john: Aimock):
    assert run("native_caching/zero_configuration", after="print(repr(second))") == JOHN
    assert len(john.requests()) == 1


def test_every_provider_is_cached_through_the_same_calls(run, john: Aimock):
    look = """
for client in (openai_client, anthropic_client, google_client, groq_client):
    for _ in range(2):
        answer = client.create(messages=[{"role": "user", "content": "Extract: John is 25"}], response_model=User)
        assert repr(answer) == "User(name='John', age=25)", answer
"""
    groq = {"GROQ_BASE_URL": john.url, "GROQ_API_KEY": "test"}
    run("native_caching/universal_provider_support", before=FIRST, after=look, **groq)
    asked = [(request["path"], request["body"]["model"]) for request in john.requests()]
    assert asked == [
        ("/v1/chat/completions", "gpt-3.5-turbo"),
        ("/v1/messages", "claude-3-haiku"),
        ("/v1beta/models/gemini-pro:generateContent", "gemini-pro"),
        ("/openai/v1/chat/completions", "llama-3.1-8b"),
    ]


def test_auto_cache_keeps_answers_in_the_process(run, john: Aimock):
    assert run("native_caching/auto_cache", before=FIRST, after=CREATE_TWICE) == JOHN * 2
    assert len(john.requests()) == 1
    run("native_caching/auto_cache", before=FIRST, after=CREATE_TWICE)
    assert len(john.requests()) == 2


def test_disk_cache_keeps_answers_across_sessions(run, john: Aimock):
    assert run("native_caching/disk_cache", before=FIRST, after=CREATE_TWICE) == JOHN * 2
    assert run("native_caching/disk_cache", before=FIRST, after=CREATE_TWICE) == JOHN * 2
    assert len(john.requests()) == 1


def test_make_cache_key_prints_a_sha_256_of_model_messages_mode_and_schema(run):
    parts = {
        "messages": [{"role": "user", "content": "hello"}],
        "mode": "TOOLS",
        "model": "gpt-3.5-turbo",
        "schema": User.model_json_schema(),
    }
    # The docstring here is part of the schema; the page's model has none.
    del parts["schema"]["description"]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert run("native_caching/cache_key", before=FIRST) == f"{digest}\n"


def test_a_change_of_the_response_model_makes_another_key(run):
    changed = FIRST + "class User(BaseModel):\n    name: str\n    age: float\n"
    assert run("native_caching/cache_key", before=FIRST) != run("native_caching/cache_key", before=changed)


def test_a_cache_written_by_the_user_is_used_and_gets_the_ttl(run, john: Aimock, valkey: Valkey):
    look = CREATE_TWICE.replace("response_model=User", "response_model=User, cache_ttl=3600") + (
        "(key,) = redis_cache.redis.keys()\nprint(redis_cache.redis.ttl(key))\n"
    )
    hosts = f"my-redis-server:6379={valkey.host}:{valkey.port}"
    printed = run("native_caching/custom_cache", before=FIRST, after=look, SNIPPET_HOSTS=hosts).splitlines()
    assert printed[:2] == [JOHN.strip()] * 2
    assert HOUR - 60 < int(printed[2]) <= HOUR
    assert len(john.requests()) == 1
    run("native_caching/custom_cache", before=FIRST, after=CREATE_TWICE, SNIPPET_HOSTS=hosts)
    assert len(john.requests()) == 1


def test_cache_ttl_of_a_call_expires_on_disk(run, aimock: Aimock):
    # The page never defines Report; any model will do.
    before = """
from instructor import from_provider
from instructor.cache import DiskCache
from pydantic import BaseModel

class Report(BaseModel):
    text: str

client = from_provider("anthropic/claude-3-sonnet", cache=DiskCache(directory=".instructor_cache"))
"""
    aimock.answer("Generate daily report", {"text": "All is well."}, tool="Report")
    run("native_caching/time_to_live", before=before)
    printed = run("native_caching/time_to_live", before=before, after="print(result.text)")
    assert printed == "All is well.\n"
    assert len(aimock.requests()) == 1
    run("native_caching/time_to_live", before=before, SNIPPET_SECONDS_LATER=str(HOUR + 60))
    assert len(aimock.requests()) == 2


def test_before_the_migration_functools_cache_asks_once(run, john: Aimock):
    before = "import functools\n" + CLIENT
    assert run("native_caching/before_migration", before=before, after=EXTRACT_TWICE) == JOHN
    assert len(john.requests()) == 1


def test_after_the_migration_the_client_asks_once(run, john: Aimock):
    assert run("native_caching/after_migration", before=FIRST, after=EXTRACT_TWICE) == JOHN
    assert len(john.requests()) == 1


def test_the_installed_version_is_the_one_that_the_page_asks_for():
    assert Version(version("instructor")) >= Version("1.9.1")


def test_the_placeholder_for_a_model_gets_an_error_that_says_what_to_write(run):
    """The page's "your/favorite/model" is for the reader to replace; it runs, and is refused by name."""
    error = run("native_caching/choose_backend", "native_caching/configure_client", fails=True).splitlines()[-1]
    assert error.startswith("instructor.exceptions.ConfigurationError: No vendor is called 'your'")
    assert "openai" in error


def test_getting_started_works_with_a_model_in_the_placeholders(run, aimock: Aimock):
    """Steps 2 and 4 as written; the reader's own model in steps 3 and 4."""
    own = """
from instructor import from_provider
from instructor.cache import DiskCache
from pydantic import BaseModel

class YourModel(BaseModel):
    name: str

client = from_provider("openai/gpt-4.1-mini", cache=DiskCache(directory=".cache"))
"""
    aimock.answer("your prompt", {"name": "Ada"}, tool="YourModel")
    for _ in range(2):
        assert run("native_caching/use_normally", before=own, after="print(result.name)") == "Ada\n"
    assert len(aimock.requests()) == 1

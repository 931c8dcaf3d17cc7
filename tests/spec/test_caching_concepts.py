"""Every snippet of the page "Caching" runs as written, and does what the page says of it."""

from __future__ import annotations

import pytest

from servers import Aimock, Valkey

JASON = {"name": "Jason", "age": 25}
HOUR = 3600
# The page's copied decorator stands alone; its own first example imports BaseModel.
IMPORT_BASE_MODEL = "from pydantic import BaseModel\n"
CALL_TWICE = """
calls = []
class UserDetail(BaseModel):
    name: str
    age: int
@instructor_cache
def extract(data) -> UserDetail:
    calls.append(data)
    return UserDetail(name="Jason", age=25)
assert extract("Jason is 25") == extract("Jason is 25") == UserDetail(name="Jason", age=25)
print(len(calls))
"""
EXTRACT_TWICE = """
print(repr(extract("Extract jason is 25 years old")))
assert extract("Extract jason is 25 years old") == UserDetail(name="Jason", age=25)
"""


def test_the_second_call_is_served_from_the_cache(run, aimock: Aimock):
    aimock.answer("Hi.", {"name": "Ada"}, tool="User")
    assert run("caching_concepts/built_in_caching", after="print(second)") == "name='Ada'\n"
    assert [request["path"] for request in aimock.requests()] == ["/v1beta/models/gemini-2.5-flash:generateContent"]


def test_a_disk_cache_serves_the_next_process(run, aimock: Aimock):
    aimock.answer("Hi.", {"name": "Ada"}, tool="User")
    run("caching_concepts/built_in_caching")
    run("caching_concepts/built_in_caching")
    assert len(aimock.requests()) == 1


def test_cache_ttl_keeps_an_answer_for_that_long_and_no_longer(run, aimock: Aimock):
    aimock.answer("Hi", {"name": "Ada"}, tool="User")
    run("caching_concepts/cache_ttl")
    run("caching_concepts/cache_ttl", SNIPPET_SECONDS_LATER=str(HOUR - 60))
    assert len(aimock.requests()) == 1
    run("caching_concepts/cache_ttl", SNIPPET_SECONDS_LATER=str(HOUR + 60))
    assert len(aimock.requests()) == 2


def test_make_cache_key_prints_the_digest_of_the_page(run):
    printed = run("caching_concepts/cache_key")
    assert printed == "2e2a9521bd269d62ee9a8559d7deacba0025c1f6da0ec1fc63d472788be096fe\n"


def test_a_raw_response_is_read_by_attribute_after_it_was_restored(run):
    printed = run("caching_concepts/raw_response", after="print(restored.content, restored.usage.tokens)")
    assert printed == "Hello 10\n"


def test_functools_cache_asks_once(run, aimock: Aimock):
    aimock.answer("jason", JASON, tool="UserDetail")
    printed = run("caching_concepts/functools_cache", after="print(repr(model))").splitlines()
    assert [line.split(":")[0] for line in printed[:2]] == ["Time taken", "Time taken"]
    assert printed[2:] == ["UserDetail(name='Jason', age=25)"]
    assert len(aimock.requests()) == 1


def test_a_decorator_runs_before_and_after(run):
    assert run("caching_concepts/decorator").splitlines() == ["Do something before", "Hello!", "Do something after"]


def test_the_copied_diskcache_decorator_calls_once_over_processes(run):
    once = {"before": IMPORT_BASE_MODEL, "after": CALL_TWICE}
    assert run("caching_concepts/diskcache_decorator", **once) == "1\n"
    assert run("caching_concepts/diskcache_decorator", **once) == "0\n"


def test_the_diskcache_example_asks_once_over_processes(run, aimock: Aimock):
    aimock.answer("jason", JASON, tool="UserDetail")
    for _ in range(2):
        printed = run("caching_concepts/diskcache_example", after=EXTRACT_TWICE)
        assert printed == "UserDetail(name='Jason', age=25)\n"
    assert len(aimock.requests()) == 1


def test_the_copied_redis_decorator_calls_once_over_processes(run, valkey: Valkey):
    once = {"before": IMPORT_BASE_MODEL, "after": CALL_TWICE, "SNIPPET_HOSTS": localhost(valkey)}
    assert run("caching_concepts/redis_decorator", **once) == "1\n"
    assert run("caching_concepts/redis_decorator", **once) == "0\n"


def test_the_redis_example_asks_once_over_processes(run, aimock: Aimock, valkey: Valkey):
    aimock.answer("jason", JASON, tool="UserDetail")
    for _ in range(2):
        printed = run("caching_concepts/redis_example", after=EXTRACT_TWICE, SNIPPET_HOSTS=localhost(valkey))
        assert printed == "UserDetail(name='Jason', age=25)\n"
    assert len(aimock.requests()) == 1


@pytest.mark.parametrize("store", ["diskcache", "redis"])
def test_the_shipped_decorator_takes_the_place_of_the_copied_one(run, valkey: Valkey, store: str):
    ship = "from instructor.cache import instructor_cache as shipped\ninstructor_cache = shipped(cache=cache)\n"
    once = {"before": IMPORT_BASE_MODEL, "after": ship + CALL_TWICE, "SNIPPET_HOSTS": localhost(valkey)}
    assert run(f"caching_concepts/{store}_decorator", **once) == "1\n"
    assert run(f"caching_concepts/{store}_decorator", **once) == "0\n"


def localhost(valkey: Valkey) -> str:
    """What the page calls Redis on localhost."""
    return f"localhost:6379={valkey.host}:{valkey.port}"

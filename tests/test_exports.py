"""The public names: all there, sorted, found under upstream's import paths too, and free until they are used."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

import instructor
import instructor.cache
import instructor.exceptions

SDKS = ("openai", "anthropic", "google.genai", "redis", "diskcache")
# Errors that upstream does not have.
OURS_ALONE = {
    "ArgumentError",
    "BudgetExceeded",
    "CacheEntryError",
    "CacheError",
    "CacheMiss",
    "ForeignError",
    "NoCanonicalFormError",
    "RefusalError",
    "ToolCallsError",
}
HEAVY = ("tenacity", "jinja2", "typer", "rich")


def modules_after(code: str) -> set[str]:
    """The modules that a new process has loaded after running `code`, unmeasured: coverage loads some itself."""
    look = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{look}"],
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", [instructor, instructor.cache, instructor.exceptions], ids=lambda m: m.__name__)
def test_public_names_resolve_and_are_sorted(module):
    assert list(module.__all__) == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_dir_lists_the_public_names():
    assert set(instructor.__all__) <= set(dir(instructor))


def test_the_modules_that_users_reach_through_the_package_are_there():
    code = "import instructor; print(instructor.exceptions.InstructorError, instructor.hooks.Hooks, instructor.cache.AutoCache)"
    assert "instructor.exceptions" in modules_after(code)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        instructor.no_such_name  # noqa: B018 - the access is the test


def test_the_names_of_the_documentation_are_public():
    names = {"AsyncInstructor", "Instructor", "Mode", "from_anthropic", "from_genai", "from_openai", "from_provider"}
    assert names <= set(instructor.__all__)
    stores = {"AutoCache", "BaseCache", "DiskCache", "RedisCache", "instructor_cache", "make_cache_key"}
    assert stores <= set(instructor.cache.__all__)


def test_import_instructor_is_free():
    loaded = modules_after("import instructor")
    assert not loaded & {"asyncio", "orjson", "pydantic", "sqlite3", *SDKS, *HEAVY}


def test_a_client_and_a_cache_need_no_sdk():
    code = "from instructor import from_provider\nfrom instructor.cache import AutoCache, DiskCache, RedisCache\n"
    loaded = modules_after(code + 'from_provider("openai/gpt-4.1-mini", cache=AutoCache())')
    assert not loaded & {*SDKS, *HEAVY}


@pytest.mark.parametrize("name", sorted(set(instructor.exceptions.__all__) - OURS_ALONE))
def test_exceptions_are_found_where_upstream_has_them(name: str):
    ours = getattr(instructor.exceptions, name)
    assert getattr(importlib.import_module("instructor.core.exceptions"), name) is ours
    assert getattr(importlib.import_module("instructor.core"), name) is ours


@pytest.mark.parametrize("name", ["HookName", "Hooks"])
def test_hooks_are_found_where_upstream_has_them(name: str):
    ours = getattr(importlib.import_module("instructor.hooks"), name)
    assert getattr(importlib.import_module("instructor.core.hooks"), name) is ours
    assert getattr(importlib.import_module("instructor.core"), name) is ours


def test_a_client_of_one_vendor_loads_no_wire_of_another():
    loaded = modules_after("from instructor import from_provider; client = from_provider('openai/m')")
    assert not {name for name in loaded if name.startswith("instructor.wires.anthropic")}

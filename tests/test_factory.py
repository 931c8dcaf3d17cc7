"""The factories: from a model's name, or over an SDK's client, to a client of ours."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai.models import Models
from google.genai.types import GenerateContentConfig
from openai.resources.chat import Completions
from openai.resources.responses import Responses

from instructor.cache import AutoCache
from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import ConfigurationError, ModeError
from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
from instructor.hooks import Hooks
from instructor.mode import Mode
from instructor.options import find_misspelt
from instructor.providers.table import VENDORS
from settings import VARIABLES, clear_environment

KEY = "sk-secret-0001"
SDK_METHODS = [
    *(Completions.create, Responses.create, anthropic.resources.Messages.create, Models.generate_content),
    *(GenerateContentConfig, openai.OpenAI, openai.AzureOpenAI, anthropic.Anthropic),
]
"""What users' keywords end up as arguments of."""
# What a new process prints of the endpoints it makes, and of the SDKs it imported for them.
LOOK = """
import json, sys
from instructor.factory import from_provider
from instructor.providers.table import VENDORS
endpoints = {}
for vendor in VENDORS:
    for async_client in (False, True):
        endpoints[vendor.name] = dict(from_provider(f"{vendor.name}/m", async_client=async_client)._adapter.endpoint)
sdks = {name.partition(".")[0] for name in sys.modules} & {"openai", "anthropic", "google", "httpx", "httpx2", "tenacity"}
print(json.dumps([endpoints, sorted(sdks)]))
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clear_environment(monkeypatch, str(tmp_path))


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_vendor_makes_both_clients_without_a_key(vendor):
    for name in (vendor.name, *vendor.aliases):
        for async_client, kind in ((False, Instructor), (True, AsyncInstructor)):
            client = from_provider(f"{name}/some-model", async_client=async_client)
            assert type(client) is kind
            assert (client.provider, client.model) == (vendor.name, "some-model")
            assert client.mode in vendor.modes


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_mode_is_honoured_or_refused_for_every_vendor(vendor):
    for mode in Mode:
        calls = mode is Mode.PARALLEL_TOOLS and Mode.tool_modes() & {*vendor.modes}
        if mode in vendor.modes or calls:
            assert from_provider(f"{vendor.name}/m", mode=mode).mode is mode
            assert from_provider(f"{vendor.name}/m", mode=mode.value).mode is mode
        else:
            with pytest.raises(ModeError, match=f"{vendor.name} does not speak"):
                from_provider(f"{vendor.name}/m", mode=mode)


def test_the_model_keeps_its_own_slashes():
    assert from_provider("openrouter/meta-llama/llama-3.3-70b:free").model == "meta-llama/llama-3.3-70b:free"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt-4.1-mini", "names no vendor"),
        ("openai", "names the vendor 'openai' but no model"),
        ("", "names no vendor"),
        ("/gpt", "empty vendor"),
        ("openai/", "empty model"),
        (" / ", "empty vendor"),
        ("opneai/gpt", "Did you mean openai"),
        (None, "not text"),
        (b"openai/gpt", "not text"),
        (7, "not text"),
    ],
)
def test_a_malformed_model_says_what_to_write(model, message):
    with pytest.raises(ConfigurationError, match=message):
        from_provider(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cache": {}}, "AutoCache"),
        ({"cache": AutoCache}, "AutoCache"),
        ({"cache_ttl": -1}, "cache_ttl"),
        ({"cache_namespace": ""}, "cache_namespace"),
        ({"hooks": []}, "hooks"),
        ({"api_key": ""}, "api_key= is empty"),
        ({"api_key": 7}, "api_key= is a int"),
        ({"base_url": " "}, "base_url= is empty"),
        ({"base_url": "example.com"}, "base_url isn't a URL"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(options, message):
    with pytest.raises(ConfigurationError, match=message):
        from_provider("openai/gpt-4.1-mini", **options)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ModeError):
        from_provider("openai/gpt-4.1-mini", mode="TELEPATHY")


@pytest.mark.parametrize("way", ["from_provider", "from_openai"])
def test_an_older_mode_name_warns_at_the_callers_line(way):
    with pytest.warns(DeprecationWarning, match="TOOLS") as caught:
        if way == "from_provider":
            client = from_provider("openai/m", mode="FUNCTIONS")
        else:
            client = from_openai(openai.OpenAI(api_key=KEY), mode="FUNCTIONS")
    assert client.mode is Mode.TOOLS
    assert caught[0].filename == __file__


def test_a_key_that_is_a_function_is_refused_where_no_sdk_takes_it():
    with pytest.raises(ConfigurationError, match="takes its key as text"):
        from_provider("anthropic/m", api_key=lambda: KEY)


@pytest.mark.parametrize("name", ["base_url", "api_key"])
def test_offline_refuses_what_it_cannot_use(name):
    with pytest.raises(ConfigurationError, match="offline sends nothing"):
        from_provider("offline/m", **{name: "https://x.example"})


def test_what_is_no_client_keyword_is_a_default_for_each_call():
    options = {"temperature": 0, "max_tokens": 9, "strict": False, "timeout": 3, "extra_body": {"a": 1}}
    client = from_provider("openai/m", **options)
    assert client._defaults == {"temperature": 0, "max_tokens": 9, "extra_body": {"a": 1}}
    assert client._settings.strict is False


def test_cache_settings_and_hooks_reach_the_client_on_every_way():
    settings = {
        "cache": AutoCache(),
        "cache_ttl": timedelta(minutes=1),
        "cache_namespace": "tenant",
        "hooks": Hooks(),
        "temperature": 0,
    }
    for client in (
        from_provider("openai/m", **settings),
        from_openai(openai.OpenAI(api_key=KEY), model="m", **settings),
        from_anthropic(anthropic.Anthropic(api_key=KEY), model="m", **settings),
        from_genai(genai.Client(api_key=KEY), model="m", **settings),
    ):
        assert client.cache is settings["cache"]
        assert (client._use.ttl, client._use.namespace, client.model) == (60.0, "tenant", "m")
        assert client.hooks is settings["hooks"]
        assert client._defaults == {"temperature": 0}


def test_clients_made_elsewhere_decide_which_client_they_get():
    assert type(from_openai(openai.OpenAI(api_key=KEY))) is Instructor
    assert type(from_openai(openai.AsyncOpenAI(api_key=KEY))) is AsyncInstructor
    assert type(from_anthropic(anthropic.Anthropic(api_key=KEY))) is Instructor
    assert type(from_anthropic(anthropic.AsyncAnthropic(api_key=KEY))) is AsyncInstructor
    assert type(from_anthropic(anthropic.AsyncAnthropicVertex(region="r", access_token="t"))) is AsyncInstructor
    assert type(from_genai(genai.Client(api_key=KEY))) is Instructor
    assert type(from_genai(genai.Client(api_key=KEY), use_async=True)) is AsyncInstructor


def test_a_client_made_elsewhere_has_the_mode_asked_for_or_its_vendors():
    made = openai.OpenAI(api_key=KEY)
    assert from_openai(made).mode is Mode.TOOLS
    assert from_openai(made, Mode.RESPONSES_TOOLS, "m").mode is Mode.RESPONSES_TOOLS
    assert from_openai(made).client is made
    sonar = openai.OpenAI(api_key=KEY, base_url="https://api.perplexity.ai")
    assert from_openai(sonar).mode is Mode.MD_JSON
    with pytest.raises(ModeError):
        from_openai(sonar, mode=Mode.TOOLS)
    with pytest.raises(ModeError):
        from_genai(genai.Client(api_key=KEY), mode=Mode.JSON_SCHEMA)


@pytest.mark.parametrize("model", ["", " ", 7])
def test_a_model_that_is_no_name_is_refused(model):
    with pytest.raises(ConfigurationError, match="model="):
        from_openai(openai.OpenAI(api_key=KEY), model=model)


def look(seed: str) -> list:
    """Make every vendor's clients in a new process with another hash seed."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK],
        env=environment | {"PYTHONHASHSEED": seed},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ran.stdout)


def test_making_clients_imports_no_sdk_and_endpoints_are_the_same_in_every_process():
    endpoints, sdks = look("1")
    assert sdks == []
    assert look("2") == [endpoints, sdks]
    assert endpoints == {vendor.name: dict(from_provider(f"{vendor.name}/m")._adapter.endpoint) for vendor in VENDORS}


@pytest.mark.parametrize("sdk", SDK_METHODS)
def test_no_argument_of_an_sdk_is_taken_for_a_misspelling_of_ours(sdk: Any) -> None:
    names = [*inspect.signature(sdk).parameters, *getattr(sdk, "model_fields", ())]
    assert len(names) > 3
    assert not {name: find_misspelt(name) for name in names if find_misspelt(name)}

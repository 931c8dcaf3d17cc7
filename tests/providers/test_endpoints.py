"""Endpoints in cache keys: the same however the client was made, without a credential, without the SDK."""

from __future__ import annotations

import json
from pathlib import Path

import anthropic
import httpx2
import openai
import pytest
from google import genai
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instructor.cache.canonical import canonical_text
from instructor.exceptions import ConfigurationError
from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
from instructor.headers import describe_header
from instructor.providers.table import VENDORS

AZURE = "https://res.openai.azure.com"
HEADERS = {"OpenAI-Beta": "assistants=v2", "Authorization": "Bearer secret", "traceparent": "00-1-2-3"}
# No real key is read off the machine, and none is sent anywhere: clients are only made.
KEY = "sk-secret-0001"


def endpoint_of(client) -> dict:
    return dict(client._adapter.endpoint)


def offered(model: str, **options) -> dict:
    return endpoint_of(from_provider(model, **options))


@pytest.mark.parametrize("name", ["openai", "groq", "deepseek", "ollama", "perplexity"])
@pytest.mark.parametrize("client_class", [openai.OpenAI, openai.AsyncOpenAI])
def test_an_openai_client_made_elsewhere_has_the_endpoint_of_the_vendor(name, client_class):
    url = next(vendor.base_url for vendor in VENDORS if vendor.name == name)
    client = from_openai(client_class(api_key=KEY, base_url=url))
    assert endpoint_of(client) == offered(f"{name}/m") == {"base_url": url}
    assert client.provider == name


@pytest.mark.newest_sdks
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"organization": "org-1", "project": "proj-1"},
        {"base_url": "https://proxy.example/v1/"},
        {"default_headers": HEADERS},
        {"default_query": {"tier": "flex", "api_key": "secret"}},
        {"data_residency": "eu"},
        {"timeout": 3, "max_retries": 9, "websocket_base_url": "wss://x.example"},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_openai_options_make_one_endpoint_on_both_ways(options):
    assert offered("openai/m", **options) == endpoint_of(from_openai(openai.OpenAI(api_key=KEY, **options)))


@pytest.mark.parametrize(
    "options",
    [
        {"azure_endpoint": AZURE},
        {"azure_endpoint": AZURE + "/", "api_version": "2025-04-01-preview"},
        {"azure_endpoint": AZURE, "azure_deployment": "dep"},
        {"azure_endpoint": AZURE + "/gateway/", "azure_deployment": "dep"},
        {"base_url": AZURE + "/openai/v1/"},
    ],
)
def test_azure_options_make_one_endpoint_on_both_ways(options):
    client = from_openai(openai.AzureOpenAI(api_key=KEY, **({"api_version": "2024-10-21"} | options)))
    assert offered("azure_openai/m", **options) == endpoint_of(client)
    assert client.provider == "azure_openai"


def test_azure_variables_make_one_endpoint_on_both_ways(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", AZURE)
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    expected = {"base_url": f"{AZURE}/openai", "api_version": "2025-01-01"}
    assert offered("azure_openai/m") == endpoint_of(from_openai(openai.AzureOpenAI(api_key=KEY))) == expected


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base_url": "https://proxy.example/"},
        {"default_headers": {"anthropic-beta": "context-1m", "x-api-key": "secret"}},
        {"default_headers": {"anthropic-version": "2024-01-01"}},
    ],
)
def test_anthropic_options_make_one_endpoint_on_both_ways(options):
    client = from_anthropic(anthropic.Anthropic(api_key=KEY, **options))
    assert offered("anthropic/m", **options) == endpoint_of(client)


def test_anthropic_on_another_cloud_says_where():
    client = from_anthropic(anthropic.AnthropicVertex(region="europe-west1", project_id="p", access_token="secret"))
    assert endpoint_of(client)["region"] == "europe-west1"
    assert endpoint_of(client)["project"] == "p"
    assert "secret" not in json.dumps(endpoint_of(client))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"http_options": {"base_url": "http://127.0.0.1:1/", "headers": {"X-Beta": "1", "x-goog-api-key": "secret"}}},
        {"http_options": {"api_version": "v1alpha", "extra_body": {"a": {"b": 1}}}},
        {"vertexai": False},
    ],
)
def test_genai_options_make_one_endpoint_on_both_ways(options):
    assert offered("google/m", **options) == endpoint_of(from_genai(genai.Client(api_key=KEY, **options)))


VERTEX = [
    ({"project": "p", "location": "us-central1"}, {}),
    ({"project": "p"}, {}),
    ({"location": "us"}, {"GOOGLE_CLOUD_PROJECT": "e"}),
    ({}, {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "l"}),
    ({}, {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_API_KEY": KEY}),
    ({}, {"GOOGLE_API_KEY": KEY}),
    ({"api_key": KEY}, {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "l"}),
    ({"http_options": {"base_url": "https://gateway.example"}}, {"GOOGLE_CLOUD_PROJECT": "e"}),
    ({"project": "p", "location": "l", "http_options": {"base_url": "https://gateway.example"}}, {}),
    ({"project": "p"}, {"GOOGLE_VERTEX_BASE_URL": "https://gateway.example"}),
    ({"project": "p", "location": "l"}, {"GOOGLE_GENAI_API_VERSION": "v1"}),
]


@pytest.mark.newest_sdks
@pytest.mark.parametrize(("options", "variables"), VERTEX)
def test_vertex_options_make_one_endpoint_on_both_ways(options, variables, monkeypatch: pytest.MonkeyPatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = from_genai(genai.Client(vertexai=True, **options))
    assert offered("vertexai/m", **options) == offered("google/m", vertexai=True, **options) == endpoint_of(client)
    assert client.provider == "vertexai"


@pytest.mark.newest_sdks
def test_google_goes_to_vertex_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    expected = {"vertexai": True, "project": "p", "location": "global"}
    assert offered("google/m") == endpoint_of(from_genai(genai.Client())) == expected


def http_clients(tenant: str, *, asynchronous: bool = False) -> dict:
    """A client that the caller made over an HTTP client, and the same offered to `from_provider`, for each SDK."""
    kind = httpx2.AsyncClient if asynchronous else httpx2.Client
    http = kind(headers={"x-tenant": tenant, "authorization": "secret"}, params={"dep": tenant})
    member = "httpx_async_client" if asynchronous else "httpx_client"
    prefix = "Async" if asynchronous else ""
    azure = {"azure_endpoint": AZURE, "api_version": "v"}
    asked = {"async_client": asynchronous, "http_client": http}
    return {
        "openai": (
            from_openai(getattr(openai, f"{prefix}OpenAI")(api_key=KEY, http_client=http)),
            from_provider("openai/m", **asked),
        ),
        "azure": (
            from_openai(getattr(openai, f"{prefix}AzureOpenAI")(api_key=KEY, http_client=http, **azure)),
            from_provider("azure_openai/m", **asked, **azure),
        ),
        "anthropic": (
            from_anthropic(getattr(anthropic, f"{prefix}Anthropic")(api_key=KEY, http_client=http)),
            from_provider("anthropic/m", **asked),
        ),
        "genai": (
            from_genai(genai.Client(api_key=KEY, http_options={member: http}), use_async=asynchronous),
            from_provider("google/m", **asked),
        ),
    }


@pytest.mark.newest_sdks
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_http_client_that_says_something_makes_an_endpoint_of_its_own(asynchronous):
    first, second = (http_clients(tenant, asynchronous=asynchronous) for tenant in "ab")
    for sdk, (made, from_name) in first.items():
        endpoint = endpoint_of(made)
        assert endpoint == endpoint_of(from_name)
        assert endpoint["http_headers"] == {"x-tenant": describe_header("x-tenant", "a")}
        assert endpoint["http_query"] == {"dep": [describe_header("dep", "a")]}
        assert endpoint_of(second[sdk][0]) != endpoint
        assert "secret" not in json.dumps(endpoint)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_http_client_that_says_nothing_makes_no_other_endpoint(asynchronous):
    kind = httpx2.AsyncClient if asynchronous else httpx2.Client
    for model in ("openai/m", "anthropic/m", "google/m"):
        assert offered(model, async_client=asynchronous, http_client=kind()) == offered(model)


@pytest.mark.newest_sdks
@pytest.mark.parametrize(("member", "asynchronous"), [("client_args", False), ("async_client_args", True)])
def test_keywords_of_googles_http_client_count_for_the_half_that_uses_them(member, asynchronous):
    options = {"http_options": {member: {"headers": {"x-tenant": "a"}, "params": {"n": 1}}}}
    tenant = describe_header("x-tenant", "a")
    expected = offered("google/m") | {
        "http_headers": {"x-tenant": tenant},
        "http_query": {"n": [describe_header("n", "1")]},
    }
    for half in (False, True):
        client = from_genai(genai.Client(api_key=KEY, **options), use_async=half)
        from_name = from_provider("google/m", async_client=half, api_key=KEY, **options)
        assert endpoint_of(client) == endpoint_of(from_name)
        assert (endpoint_of(client) == expected) == (half == asynchronous)


def test_http_options_count_under_the_names_of_the_wire_too():
    plain = {"base_url": "https://gateway.example", "api_version": "v9", "extra_body": {"aB": 1}}
    wire = {"baseUrl": "https://gateway.example", "apiVersion": "v9", "extraBody": {"aB": 1}}
    made = from_genai(genai.Client(api_key=KEY, http_options=wire))
    assert offered("google/m", http_options=wire) == offered("google/m", http_options=plain) == endpoint_of(made)


def test_a_host_header_makes_another_endpoint():
    for model in ("openai/m", "anthropic/m", "google/m"):
        endpoints = [offered(model, default_headers={"Host": name}) for name in ("a.example", "b.example")]
        assert endpoints[0] != endpoints[1]


@pytest.mark.newest_sdks
@pytest.mark.parametrize("variable", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS"])
def test_openai_variables_count_as_the_sdk_counts_them(variable, monkeypatch: pytest.MonkeyPatch):
    before = offered("openai/m")
    monkeypatch.setenv(variable, "https://x.example/v1" if variable.endswith("URL") else "X-Switch: on")
    assert offered("openai/m") == endpoint_of(from_openai(openai.OpenAI(api_key=KEY))) != before


@pytest.mark.newest_sdks
@pytest.mark.parametrize("variable", ["ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS"])
def test_anthropic_variables_count_as_the_sdk_counts_them(variable, monkeypatch: pytest.MonkeyPatch):
    before = offered("anthropic/m")
    monkeypatch.setenv(variable, "https://x.example" if variable.endswith("URL") else "X-Switch: on")
    assert offered("anthropic/m") == endpoint_of(from_anthropic(anthropic.Anthropic(api_key=KEY))) != before


def test_the_base_url_is_settled_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch):
    """What the key names is where the request goes, even if the environment changes in between."""
    client = from_provider("openai/m", api_key=KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://later.example/v1")
    assert str(client.client.base_url) == "https://api.openai.com/v1/"


@pytest.mark.newest_sdks
def test_a_profile_of_anthropic_may_bring_its_own_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "anthropic" / "configs").mkdir(parents=True)
    profile = {"base_url": "https://profile.example", "authentication": {"type": "user_oauth"}}
    (tmp_path / "anthropic" / "configs" / "work.json").write_text(json.dumps(profile))
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path / "anthropic"))
    expected = {"base_url": "https://profile.example"}
    assert offered("anthropic/m", profile="work") == expected
    monkeypatch.setenv("ANTHROPIC_PROFILE", "work")
    assert offered("anthropic/m") == endpoint_of(from_anthropic(anthropic.Anthropic())) == expected
    assert offered("anthropic/m", base_url="https://mine.example") == {"base_url": "https://mine.example"}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("openai/m", [{"base_url": "https://x.example"}, {"organization": "o"}, {"project": "p"}]),
        ("openai/m", [{"default_headers": {"x-beta": "1"}}, {"default_query": {"q": "1"}}, {"data_residency": "jp"}]),
        ("azure_openai/m", [{"azure_endpoint": "https://x.example"}, {"api_version": "v"}, {"base_url": AZURE}]),
        ("vertexai/m", [{"project": "p"}, {"location": "l"}, {"http_options": {"extra_body": {"a": 1}}}]),
        ("google/m", [{"vertexai": True}, {"default_headers": {"x-beta": "1"}}, {"base_url": "https://x.example"}]),
    ],
)
def test_every_part_of_an_endpoint_makes_another(model, changes):
    endpoints = [canonical_text(offered(model, **change), "endpoint") for change in [{}, *changes]]
    assert len(set(endpoints)) == len(endpoints)


SECRET = st.from_regex(r"sk-[A-Za-z0-9]{16,24}", fullmatch=True)
SPELLINGS = st.sampled_from(["Authorization", "AUTHORIZATION", "x-api-key", "Api-Key", "Proxy-Authorization", "cookie"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SECRET, SECRET, SPELLINGS, st.sampled_from([vendor.name for vendor in VENDORS if vendor.sdk != "offline"]))
def test_no_credential_is_in_an_endpoint_and_none_changes_it(first, second, header, name):
    def endpoint(secret: str) -> str:
        url = f"https://user:{secret}@gateway.example/v1?api_key={secret}"
        options = {"base_url": url, "api_key": secret, "default_headers": {header: secret}}
        return canonical_text(offered(f"{name}/m", **options), "endpoint")

    assert first not in endpoint(first)
    assert endpoint(first) == endpoint(second)


@pytest.mark.parametrize("name", ["x-pat", "X-Pass", "x-whatever"])
@pytest.mark.parametrize("model", ["openai/m", "anthropic/m", "google/m"])
def test_a_header_of_an_unknown_name_counts_but_is_not_readable(model, name):
    endpoints = [offered(model, default_headers={name: value}) for value in (KEY, "other")]
    assert endpoints[0] != endpoints[1]
    assert KEY not in canonical_text(endpoints[0], "endpoint")


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("openai/m", {"base_url": "https://x.example", "data_residency": "eu"}),
        ("azure_openai/m", {"base_url": "https://x.example", "azure_endpoint": AZURE}),
        ("anthropic/m", {"api_key": "a", "auth_token": "b"}),
        ("google/m", {"enterprise": True, "vertexai": False}),
        ("google/m", {"base_url": "https://x.example", "http_options": {"base_url": "https://y.example"}}),
        ("google/m", {"timeout": 3, "http_options": {"timeout": 4}}),
    ],
)
def test_two_options_for_one_thing_are_refused(model, options):
    with pytest.raises(ConfigurationError, match="say the same thing"):
        from_provider(model, **options)


@pytest.mark.parametrize("model", ["openai/m", "azure_openai/m", "anthropic/m", "google/m", "ollama/m"])
def test_a_base_url_that_is_none_is_refused_at_once(model):
    with pytest.raises(ConfigurationError, match="base_url isn't a URL"):
        from_provider(model, base_url="localhost:8000/v1")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai/m", "OPENAI_BASE_URL"),
        ("ollama/m", "OLLAMA_HOST"),
        ("azure_openai/m", "AZURE_OPENAI_ENDPOINT"),
        ("anthropic/m", "ANTHROPIC_BASE_URL"),
    ],
)
def test_a_variable_that_holds_no_url_is_named(model, variable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, ":11434")
    with pytest.raises(ConfigurationError, match=f"{variable} doesn't hold a URL"):
        from_provider(model)

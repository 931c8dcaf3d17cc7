"""Azure's two APIs: the dated one, and v1."""

from __future__ import annotations

import openai
import pytest

from instructor.factory import from_openai, from_provider
from instructor.mode import Mode
from replies import Received, Reply, ReplyServer

CHAT = ("chat.completions.create", {"model": "dep", "messages": []})
RESPONSES = ("responses.create", {"model": "dep", "input": "hi"})
KEY = "sk-secret-0001"


@pytest.fixture
def azure(reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a resource."""
    monkeypatch.delenv("OPENAI_API_VERSION", raising=False)
    reply_server.script(
        Reply({"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "tools": []})
    )
    return reply_server.url.removesuffix("/v1")


def credential_of(received: Received) -> str:
    headers = {name.lower(): value for name, value in received.headers.items()}
    return headers.get("api-key") or headers["authorization"].removeprefix("Bearer ")


async def send(client, operation, request):
    answer = client._adapter.send(operation, request)
    answer = await answer if client._adapter.asynchronous else answer
    closed = client.client.close()
    if closed is not None:
        await closed
    return answer


@pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("options", "call", "path"),
    [
        ({"azure_endpoint": ""}, CHAT, "/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        ({"azure_endpoint": ""}, RESPONSES, "/openai/v1/responses"),
        ({"azure_endpoint": "", "azure_deployment": "dep"}, RESPONSES, "/openai/v1/responses"),
        ({"azure_endpoint": "", "api_version": "2024-10-21"}, RESPONSES, "/openai/v1/responses"),
        (
            {"azure_endpoint": "", "api_version": "2025-04-01-preview"},
            RESPONSES,
            "/openai/responses?api-version=2025-04-01-preview",
        ),
        ({"azure_endpoint": "/openai/v1/"}, CHAT, "/openai/v1/chat/completions"),
        ({"azure_endpoint": "/openai/"}, CHAT, "/openai/deployments/dep/chat/completions?api-version=2024-10-21"),
        ({"base_url": "/openai/v1/"}, CHAT, "/openai/v1/chat/completions"),
        ({"base_url": "/openai/v1"}, RESPONSES, "/openai/v1/responses"),
        ({"base_url": "/openai/v1", "default_query": {"a": "1"}}, RESPONSES, "/openai/v1/responses?a=1"),
        ({"base_url": "/gateway"}, RESPONSES, "/gateway/responses?api-version=2024-10-21"),
    ],
)
async def test_each_api_gets_its_path_and_only_the_dated_one_a_version(
    azure, reply_server, options, call, path, async_client
):
    addressed = {
        name: azure + value if name in ("azure_endpoint", "base_url") else value for name, value in options.items()
    }
    await send(from_provider("azure_openai/dep", async_client, api_key=KEY, **addressed), *call)
    (received,) = reply_server.requests
    assert received.path == path
    assert credential_of(received) == KEY


def test_a_variable_that_names_v1_leads_there(azure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{azure}/openai/v1")
    client = from_provider("azure_openai/dep", api_key=KEY)
    assert client._adapter.endpoint == {"base_url": f"{azure}/openai/v1"}
    assert str(client.client.base_url) == f"{azure}/openai/v1/"
    client.client.close()


def test_the_endpoint_of_v1_has_no_version(azure):
    client = from_provider("azure_openai/dep", base_url=f"{azure}/openai/v1/")
    assert client._adapter.endpoint == {"base_url": f"{azure}/openai/v1"}


@pytest.mark.parametrize("async_client", [False, True], ids=["sync", "async"])
async def test_a_client_made_elsewhere_reaches_the_responses_api_with_its_token(azure, reply_server, async_client):
    made = (openai.AsyncAzureOpenAI if async_client else openai.AzureOpenAI)(
        azure_endpoint=azure, api_version="2024-10-21", azure_ad_token_provider=lambda: "token", max_retries=0
    )
    await send(from_openai(made, Mode.RESPONSES_TOOLS, "dep"), *RESPONSES)
    (received,) = reply_server.requests
    assert (received.path, credential_of(received)) == ("/openai/v1/responses", "token")


def test_the_second_client_is_made_once(azure):
    client = from_provider("azure_openai/dep", azure_endpoint=azure, api_key=KEY)
    for _ in range(2):
        client._adapter.send(*RESPONSES)
    assert len(client._adapter._twins) == 1
    client.client.close()

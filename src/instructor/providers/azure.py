"""Azure's two APIs for OpenAI's models: the dated one, and v1, which takes no ``api-version``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from instructor.providers.sdk_adapter import SdkAdapter, import_sdk
from instructor.providers.table import find_vendor

_V1_PATH = "/openai/v1"
_FIRST_RESPONSES = "2025-03-01"
"""The first dated version with the Responses API. Names such as ``preview`` sort behind it."""


class AzureAdapter(SdkAdapter):
    """The adapter over ``AzureOpenAI``, which itself knows the dated API only.

    A client whose base URL ends in ``/openai/v1`` sends everything there. Any other client sends to the dated API,
    but for the Responses API if its version is too old to have it: this goes to v1.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._twins: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        base_url = str(client.base_url)
        version = getattr(client, "_api_version", None) or ""
        outdated = operation.startswith("responses.") and version < _FIRST_RESPONSES and "/openai/" in base_url
        if is_azure_v1(base_url) or outdated:
            client = self._find_twin(client, base_url)
        return super()._find_method(client, operation)

    def _find_twin(self, client: Any, base_url: str) -> Any:
        """Find the client for v1 that shares credentials and connections with a client for the dated API."""
        twin = self._twins.get(client)
        if twin is None:
            twin = self._twins[client] = _make_twin(client, self.asynchronous, base_url)
        return twin


def is_azure_v1(base_url: str | None) -> bool:
    """Whether a base URL is that of Azure's v1 API.

    Example:
        >>> is_azure_v1("https://res.openai.azure.com/openai/v1/")
        True
    """
    return base_url is not None and base_url.partition("?")[0].rstrip("/").endswith(_V1_PATH)


def _make_twin(client: Any, asynchronous: bool, base_url: str) -> Any:
    sdk = import_sdk("openai", find_vendor("azure_openai"))
    query = {name: value for name, value in dict(client._custom_query).items() if name != "api-version"}  # noqa: SLF001 - what the caller set
    twin = (sdk.AsyncOpenAI if asynchronous else sdk.OpenAI)(
        api_key=_find_credential(client, asynchronous),
        base_url=base_url if is_azure_v1(base_url) else base_url.partition("/openai/")[0] + _V1_PATH,
        timeout=client.timeout,
        max_retries=client.max_retries,
        default_headers=client._custom_headers,  # noqa: SLF001 - what the caller set
        default_query=query,
        http_client=client._client,  # noqa: SLF001 - connections are shared, and closed with the first client
    )
    twin.organization, twin.project = client.organization, client.project
    twin._custom_headers = client._custom_headers  # noqa: SLF001 - without those that the SDK reads from the environment
    twin._platform = client._platform  # noqa: SLF001 - see settle_platform
    return twin


def _find_credential(client: Any, asynchronous: bool) -> Any:
    """The key or token of a client; both go into the same header on v1."""
    provider = client._azure_ad_token_provider  # noqa: SLF001 - the only place where the SDK keeps it
    if provider is None:
        return client._azure_ad_token or client.api_key  # noqa: SLF001 - as above

    async def find_token() -> Any:
        token = provider()
        return await token if inspect.isawaitable(token) else token

    return find_token if asynchronous else provider

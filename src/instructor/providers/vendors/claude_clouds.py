"""Claude on other clouds, through Anthropic's own SDK."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from instructor.providers.adapter import Adapter
from instructor.providers.anthropic import CODEC, AnthropicAdapter, describe_client
from instructor.providers.capabilities import capabilities_of
from instructor.providers.identity import describe_endpoint, read_variable
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import close_client, construct, hold_clients, import_sdk, settle_platform
from instructor.providers.sdks import MakeAdapter
from instructor.providers.table import Vendor, find_vendor
from instructor.wires.anthropic import ANTHROPIC_MESSAGES
from instructor.wires.arguments import read_mapping
from instructor.wires.capabilities import Capabilities


class Cloud(NamedTuple):
    """One cloud.

    Attributes:
        client: The SDK's client; the asynchronous one has ``Async`` before its name.
        places: The client's options that say where a model runs, and the variables that it reads them from.
        credentials: Its options for credentials.
        key: The option that ``api_key=`` becomes.
        key_variables: The variables that may hold the key.
        url_variables: The variables that may hold the base URL.
        docs: Where this is documented.
    """

    client: str
    places: Mapping[str, tuple[str, ...]]
    credentials: tuple[str, ...]
    key: str
    key_variables: tuple[str, ...]
    url_variables: tuple[str, ...]
    docs: str


CLOUDS: Mapping[str, Cloud] = {
    "anthropic_bedrock": Cloud(
        "AnthropicBedrock",
        {"aws_region": ("AWS_REGION", "AWS_DEFAULT_REGION")},
        ("aws_access_key", "aws_secret_key", "aws_session_token", "aws_profile"),
        "api_key",
        ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"),
        ("ANTHROPIC_BEDROCK_BASE_URL",),
        "https://platform.claude.com/docs/en/build-with-claude/claude-on-amazon-bedrock",
    ),
    "anthropic_foundry": Cloud(
        "AnthropicFoundry",
        {"resource": ("ANTHROPIC_FOUNDRY_RESOURCE",)},
        ("azure_ad_token_provider",),
        "api_key",
        ("ANTHROPIC_FOUNDRY_API_KEY",),
        ("ANTHROPIC_FOUNDRY_BASE_URL",),
        "https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry",
    ),
    "anthropic_vertex": Cloud(
        "AnthropicVertex",
        {"region": ("CLOUD_ML_REGION",), "project_id": ("ANTHROPIC_VERTEX_PROJECT_ID",)},
        ("credentials",),
        "access_token",
        (),
        ("ANTHROPIC_VERTEX_BASE_URL",),
        "https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai",
    ),
}
"""By the vendor's name. Clients that a program makes itself go to ``from_anthropic``."""

_OPTIONS = ("default_headers", "default_query", "http_client", "max_retries", "middleware", "timeout")


def register() -> None:
    """Register the vendors."""
    for name, cloud in CLOUDS.items():
        register_provider(
            name,
            wires=dict.fromkeys(ANTHROPIC_MESSAGES.modes, ANTHROPIC_MESSAGES),
            make_adapter=_maker(cloud),
            options=(*cloud.places, *cloud.credentials, *_OPTIONS),
            key_variables=cloud.key_variables,
            base_url_variables=cloud.url_variables,
            docs=cloud.docs,
            capabilities=_find_capabilities,
            replace=True,
        )


def _find_capabilities(model: str) -> Capabilities:
    return capabilities_of(find_vendor("anthropic"), model)


def _maker(cloud: Cloud) -> MakeAdapter:
    def make_adapter(
        vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
    ) -> Adapter:
        known = {name: value for name, value in options.items() if value is not None}
        places = {name: known.get(name) or read_variable(variables) for name, variables in cloud.places.items()}
        own = {"base_url": base_url, cloud.key: api_key, **places}
        arguments = {**known, **{name: value for name, value in own.items() if value is not None}}
        is_ours = asynchronous and "http_client" not in known
        return AnthropicAdapter(
            vendor=vendor,
            asynchronous=asynchronous,
            clients=hold_clients(
                partial(_make_client, vendor, cloud, asynchronous, arguments), close_client if is_ours else None
            ),
            describe=describe_client,
            codec=CODEC,
            endpoint=describe_endpoint(
                base_url,
                headers=read_mapping(known.get("default_headers"), "default_headers"),
                query=read_mapping(known.get("default_query"), "default_query"),
                http_client=known.get("http_client"),
                **places,
            ),
        )

    return make_adapter


def _make_client(vendor: Vendor, cloud: Cloud, asynchronous: bool, arguments: Mapping[str, Any]) -> Any:
    kind = getattr(import_sdk("anthropic", vendor), f"Async{cloud.client}" if asynchronous else cloud.client)
    client = construct(vendor, kind, arguments)
    return settle_platform(client, "anthropic") if asynchronous else client

"""What this package knows of each SDK: its client's keywords, its wires, and how its adapter is made.

This is data, so that sorting a caller's keywords imports no SDK. `register_provider` adds rows at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from importlib import import_module
from typing import Any, Protocol

from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.table import Vendor
from instructor.records import record
from instructor.wires.deferred import defer_wire
from instructor.wires.responses_arguments import LACKING
from instructor.wires.wire import Wire

Wires = Mapping[Mode, Wire]


class MakeAdapter(Protocol):
    """Makes the adapter of a vendor, without importing its SDK."""

    def __call__(
        self,
        vendor: Vendor,
        *,
        asynchronous: bool,
        base_url: str | None,
        api_key: Any,
        options: Mapping[str, Any],
    ) -> Adapter:
        """Make an adapter.

        Args:
            vendor: The vendor's row.
            asynchronous: Whether its `send` returns awaitables.
            base_url: The caller's base URL, or None.
            api_key: The caller's key, or None to look for one when a request is sent.
            options: Those keywords of ``from_provider`` that are in the SDK's list of options.

        Raises:
            ConfigurationError: An option is wrong, or two contradict each other.
        """
        ...


@record
class Sdk:
    """One SDK.

    Attributes:
        wires: The wire of each mode.
        make_adapter: Makes the adapter of a vendor.
        options: Keywords of ``from_provider`` that go to `make_adapter`. Every other keyword is a default for each call.
        takes_key_function: Whether ``api_key=`` may be a function that returns the key.
    """

    wires: Wires
    make_adapter: MakeAdapter
    options: frozenset[str] = field(default_factory=frozenset[str])
    takes_key_function: bool = False


def _adapter_of(module: str) -> MakeAdapter:
    """Make the function that imports a module of this room and makes an adapter with it."""

    def make(vendor: Vendor, **arguments: Any) -> Adapter:
        adapter: Adapter = import_module(f"instructor.providers.{module}").make_adapter(vendor, **arguments)
        return adapter

    return make


_OPENAI_OPTIONS = frozenset(
    {
        "admin_api_key",
        "data_residency",
        "default_headers",
        "default_query",
        "http_client",
        "max_retries",
        "organization",
        "project",
        "provider",
        "timeout",
        "webhook_secret",
        "websocket_base_url",
        "workload_identity",
        "_enforce_credentials",
        "_strict_response_validation",
    }
)
_AZURE_OPTIONS = (_OPENAI_OPTIONS - {"data_residency", "provider"}) | {
    "api_version",
    "azure_ad_token",
    "azure_ad_token_provider",
    "azure_deployment",
    "azure_endpoint",
}
_ANTHROPIC_OPTIONS = frozenset(
    {
        "auth_token",
        "config",
        "credentials",
        "default_headers",
        "default_query",
        "http_client",
        "max_retries",
        "middleware",
        "open_telemetry",
        "profile",
        "timeout",
        "webhook_key",
        "_strict_response_validation",
        "_token_cache",
    }
)
_GENAI_OPTIONS = frozenset(
    {
        "credentials",
        "debug_config",
        "enterprise",
        "http_options",
        "location",
        "project",
        "vertexai",
        # The names that the other SDKs give to what this one keeps in http_options.
        "default_headers",
        "http_client",
        "max_retries",
        "timeout",
    }
)


def _of_each_mode(*wires: Wire) -> Wires:
    return {mode: wire for wire in wires for mode in wire.modes}


OPENAI_WIRES = _of_each_mode(
    defer_wire(
        "instructor.wires.openai_chat.OPENAI_CHAT",
        "openai_chat",
        (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON),
    ),
    defer_wire(
        "instructor.wires.openai_responses.OPENAI_RESPONSES", "openai_responses", (Mode.RESPONSES_TOOLS,), LACKING
    ),
)
_ANTHROPIC_WIRES = _of_each_mode(
    defer_wire(
        "instructor.wires.anthropic.ANTHROPIC_MESSAGES",
        "anthropic_messages",
        (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA),
    )
)
_GENAI_WIRES = _of_each_mode(defer_wire("instructor.wires.genai.GENAI", "genai", (Mode.TOOLS, Mode.JSON)))

SDKS: dict[str, Sdk] = {
    "openai": Sdk(OPENAI_WIRES, _adapter_of("openai"), _OPENAI_OPTIONS, takes_key_function=True),
    "azure": Sdk(OPENAI_WIRES, _adapter_of("openai"), _AZURE_OPTIONS, takes_key_function=True),
    "anthropic": Sdk(_ANTHROPIC_WIRES, _adapter_of("anthropic"), _ANTHROPIC_OPTIONS),
    "genai": Sdk(_GENAI_WIRES, _adapter_of("genai"), _GENAI_OPTIONS),
}
"""Every SDK by the name that `Vendor.sdk` gives it. The factory adds the offline provider, which stands above this room."""


def find_wires(vendor: Vendor) -> dict[Mode, Wire]:
    """Find the wire of each mode that a vendor offers, best mode first."""
    wires = SDKS[vendor.sdk].wires
    return {mode: wires[mode] for mode in vendor.modes}

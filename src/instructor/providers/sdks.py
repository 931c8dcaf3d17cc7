"""What this package knows of each SDK: its client's keywords, its wires, and how its adapter is made.

This is data, so that sorting a caller's keywords imports no SDK. `register_provider` adds rows at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.table import Vendor
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


@dataclass(frozen=True, slots=True)
class Sdk:
    """One SDK.

    Attributes:
        load_wires: Imports the wires and returns the one of each mode.
        make_adapter: Makes the adapter of a vendor.
        options: Keywords of ``from_provider`` that go to `make_adapter`. Every other keyword is a default for each call.
        takes_key_function: Whether ``api_key=`` may be a function that returns the key.
    """

    load_wires: Callable[[], Wires]
    make_adapter: MakeAdapter
    options: frozenset[str] = field(default_factory=frozenset[str])
    takes_key_function: bool = False


def _wires_of(*names: str) -> Callable[[], Wires]:
    """Make the function that imports wires by ``module.NAME`` and returns the one of each mode."""

    def load() -> Wires:
        wires: list[Wire] = [_find(f"instructor.wires.{name}") for name in names]
        return {mode: wire for wire in wires for mode in wire.modes}

    return load


def _adapter_of(module: str) -> MakeAdapter:
    """Make the function that imports a module of this room and makes an adapter with it."""

    def make(vendor: Vendor, **arguments: Any) -> Adapter:
        adapter: Adapter = _find(f"instructor.providers.{module}.make_adapter")(vendor, **arguments)
        return adapter

    return make


def _find(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


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

_openai_wires = _wires_of("openai_chat.OPENAI_CHAT", "openai_responses.OPENAI_RESPONSES")

SDKS: dict[str, Sdk] = {
    "openai": Sdk(_openai_wires, _adapter_of("openai"), _OPENAI_OPTIONS, takes_key_function=True),
    "azure": Sdk(_openai_wires, _adapter_of("openai"), _AZURE_OPTIONS, takes_key_function=True),
    "anthropic": Sdk(_wires_of("anthropic.ANTHROPIC_MESSAGES"), _adapter_of("anthropic"), _ANTHROPIC_OPTIONS),
    "genai": Sdk(_wires_of("genai.GENAI"), _adapter_of("genai"), _GENAI_OPTIONS),
}
"""Every SDK by the name that `Vendor.sdk` gives it. The factory adds the offline provider, which stands above this room."""


def find_wires(vendor: Vendor) -> dict[Mode, Wire]:
    """Find the wire of each mode that a vendor offers, best mode first."""
    wires = SDKS[vendor.sdk].load_wires()
    return {mode: wires[mode] for mode in vendor.modes}

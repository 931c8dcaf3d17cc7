"""What the environment of a machine may hold for the vendors, taken away so that tests see what they set."""

from __future__ import annotations

import os

import pytest

from instructor.providers.table import VENDORS

_OTHERS = {
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_PROFILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GENAI_API_VERSION",
    "GOOGLE_GENAI_USE_ENTERPRISE",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "OPENAI_ADMIN_KEY",
    "OPENAI_API_VERSION",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_WEBHOOK_SECRET",
}
VARIABLES = _OTHERS | {name for vendor in VENDORS for name in (*vendor.key_variables, *vendor.base_url_variables)}


def clear_environment(monkeypatch: pytest.MonkeyPatch, directory: str) -> None:
    """Unset every variable that a vendor or its SDK reads, and hide credentials that lie in the home directory."""
    for name in VARIABLES & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.delenv("ANTHROPIC_CONFIG_DIR", raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, directory)

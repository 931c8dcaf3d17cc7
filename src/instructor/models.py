"""The names of models, as a type."""

from __future__ import annotations

from typing_extensions import TypeAliasType

KnownModelName = TypeAliasType("KnownModelName", str)
"""A name such as ``"openai/gpt-6-luna"``. It is any text: vendors bring out models faster than a list can follow."""

"""Vendors that are reached through their own SDKs: a module for each protocol, loaded when its vendor is named.

A module calls `register_provider`, as a package outside this one would, and nothing else in the package knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple


class Place(NamedTuple):
    """Where a vendor is registered.

    Attributes:
        module: The module of this folder whose ``register`` registers it.
        packages: The packages of its SDK, whose clients a program may hand over.
    """

    module: str
    packages: tuple[str, ...] = ()


PLACES: Mapping[str, Place] = {
    "anthropic_bedrock": Place("claude_clouds"),
    "anthropic_foundry": Place("claude_clouds"),
    "anthropic_vertex": Place("claude_clouds"),
    "bedrock": Place("bedrock", ("botocore", "aiobotocore")),
    "cerebras": Place("chat_clients", ("cerebras",)),
    "cohere": Place("cohere", ("cohere",)),
    "fireworks": Place("chat_clients", ("fireworks",)),
    "groq": Place("chat_clients", ("groq",)),
    "mistral": Place("mistral", ("mistralai",)),
    "together": Place("chat_clients", ("together",)),
    "writer": Place("chat_clients", ("writerai",)),
    "xai": Place("xai", ("xai_sdk",)),
}
"""The vendors of this folder, by name."""

_loaded: set[str] = set()


def load_vendor(name: str) -> bool:
    """Register a vendor of this folder; False for any other name."""
    place = PLACES.get(name)
    if place is not None and place.module not in _loaded:
        _loaded.add(place.module)
        import_module(f"{__name__}.{place.module}").register()
    return place is not None


def load_owner(package: str) -> None:
    """Register the vendors whose clients come from a package."""
    for name, place in PLACES.items():
        if package in place.packages:
            load_vendor(name)

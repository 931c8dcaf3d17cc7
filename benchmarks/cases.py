"""What is asked in the measurements: the models, the prompts, the clients. It runs in both environments, unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

import instructor
from instructor.cache import AutoCache, DiskCache

NAMESPACE = "bench"
"""Given to both sides: without it upstream's disk cache never hits in another process."""


class User(BaseModel):
    name: str


class Address(BaseModel):
    street: str
    city: str
    postcode: str
    country: str


class Customer(BaseModel):
    name: str
    email: str
    address: Address


class Line(BaseModel):
    article: str
    quantity: int
    price: float


class Status(Enum):
    OPEN = "open"
    SHIPPED = "shipped"


class Order(BaseModel):
    number: int
    customer: Customer
    lines: list[Line]
    total: float
    currency: Literal["EUR", "USD"]
    paid: bool
    ordered: datetime
    status: Status
    tags: list[str]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One call to measure.

    Attributes:
        model: Its response model.
        prompt: The user's message.
        store: ``"memory"``, ``"disk"``, ``"redis"`` or None.
        asynchronous: Whether it is awaited.
    """

    model: type[BaseModel] = User
    prompt: str = "Hi."
    store: str | None = "memory"
    asynchronous: bool = False


CASES = {
    "memory": Case(),
    "nested": Case(model=Order),
    "long": Case(prompt="The quick brown fox. " * 572),
    "await": Case(asynchronous=True),
    "disk": Case(store="disk"),
    "redis": Case(store="redis"),
    "threads": Case(),
    "miss": Case(),
    "together": Case(),
}


def make_store(kind: str | None, directory: str, port: int) -> Any:
    """Make an empty store."""
    if kind == "memory":
        return AutoCache(maxsize=1000)
    if kind == "disk":
        return DiskCache(directory=directory)
    if kind == "redis":
        from instructor.cache import RedisCache

        return RedisCache(port=port)
    return None


def make_client(base_url: str, store: Any, asynchronous: bool = False) -> Any:
    """Make a client, with the same words on both sides."""
    return instructor.from_provider(
        "openai/gpt-4.1-mini",
        async_client=asynchronous,
        cache=store,
        cache_namespace=NAMESPACE,
        base_url=base_url,
        api_key="none",
    )

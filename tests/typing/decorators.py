"""What mypy and pyright, both strict, must see of `instructor_cache`. Checked by `make check`; never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_type

from pydantic import BaseModel

from instructor.cache import AutoCache, instructor_cache


class User(BaseModel):
    name: str


@instructor_cache
def extract(text: str, *, times: int = 1) -> User:
    return User(name=text * times)


@instructor_cache(cache=AutoCache(), ttl=60)
def extract_all(text: str) -> list[User]:
    return [User(name=text)]


@instructor_cache
async def extract_later(text: str) -> User:
    return User(name=text)


class Service:
    @instructor_cache
    def extract(self, text: str) -> User:
        return User(name=text)


def a_decorated_function_keeps_its_signature() -> None:
    assert_type(extract("Jason", times=2), User)
    assert_type(extract_all("Jason"), list[User])
    only_text: Callable[[str], User] = extract
    only_text("Jason")


async def a_coroutine_function_stays_one() -> None:
    pending: Awaitable[User] = extract_later("Jason")
    assert_type(await pending, User)


def a_decorated_method_is_still_bound() -> None:
    assert_type(Service().extract("Jason"), User)

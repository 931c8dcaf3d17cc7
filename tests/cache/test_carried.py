"""`_raw_response` and `_total_usage`: on every answer that can carry them, and touching nothing else."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import warnings
from typing import Optional

import pytest
from pydantic import BaseModel, ConfigDict, RootModel, TypeAdapter, model_validator

import instructor
from instructor.cache import AutoCache, DiskCache, instructor_cache
from instructor.cache.canonical import canonical_text
from instructor.cache.entry import Entry, Origin, pack_completion
from instructor.engine.completion_copies import CompletionCopies
from instructor.hooks import HookName
from instructor.messages import Part

ASK = [{"role": "user", "content": "Anna is 25."}]


class User(BaseModel):
    name: str
    age: int


class Frozen(User):
    model_config = ConfigDict(frozen=True)


class Closed(User):
    model_config = ConfigDict(extra="forbid", revalidate_instances="always")


class Judged(User):
    @model_validator(mode="after")
    def judge(self) -> Judged:
        return self


class Names(RootModel[tuple[str, ...]]):
    model_config = ConfigDict(frozen=True)


class Ages(RootModel[dict[str, int]]):
    """Its answer is an object, as a plain model's."""


class Open(User):
    model_config = ConfigDict(extra="allow")


def client_of(store: str, tmp_path, **options):
    cache = {"none": None, "memory": AutoCache(), "disk": DiskCache(tmp_path)}[store]
    return instructor.from_provider("offline/demo", cache=cache, **options)


@pytest.mark.parametrize("store", ["none", "memory", "disk"])
def test_an_answer_carries_its_completion_live_and_from_every_store(store: str, tmp_path):
    client = client_of(store, tmp_path)
    for kind in (User, Judged, Names, Ages, Optional[User], instructor.Maybe(User), list[User]):
        for _ in range(3):
            answer, completion = client.create_with_completion(kind, ASK)
            plain = client.create(kind, ASK)
            assert answer._raw_response == plain._raw_response == completion
            assert type(plain._raw_response) is type(completion)
            assert plain._total_usage.total_tokens == completion.usage.total_tokens
    client.cache.close() if store == "disk" else None


@pytest.mark.parametrize("store", ["none", "memory", "disk"])
def test_the_last_object_of_a_stream_carries_it_too(store: str, tmp_path):
    client = client_of(store, tmp_path)
    for _ in range(2):
        stream = client.create_partial(User, ASK)
        *_, last = stream
        assert last._raw_response == stream.completion
        assert last._total_usage.total_tokens == stream.completion.usage.total_tokens
    client.cache.close() if store == "disk" else None


def test_so_does_the_asynchronous_client(tmp_path):
    async def main() -> None:
        client = client_of("memory", tmp_path, async_client=True)
        for _ in range(2):
            user = await client.create(User, ASK)
            assert user._raw_response.usage.total_tokens == user._total_usage.total_tokens > 0

    asyncio.run(main())


def test_a_shared_answer_carries_it(tmp_path):
    client = client_of("memory", tmp_path)
    waiting, users = threading.Event(), []
    client.on(HookName.COMPLETION_KWARGS, lambda **_: waiting.wait(10))
    other = threading.Thread(target=lambda: users.append(client.create(User, ASK)))
    leader = threading.Thread(target=lambda: users.append(client.create(User, ASK)))
    leader.start()
    other.start()
    waiting.set()
    leader.join()
    other.join()
    assert [user._raw_response.usage.total_tokens for user in users] == [users[0]._total_usage.total_tokens] * 2


@pytest.mark.parametrize("kind", [User, Frozen, Closed, Judged])
@pytest.mark.parametrize("count", [1, 3])
def test_it_touches_nothing_else(kind, count: int, tmp_path):
    client = client_of("memory", tmp_path)
    users = [client.create(kind, ASK) for _ in range(count)]
    user, plain = users[-1], kind(name="Anna", age=25)
    assert user == plain == user == users[0]
    assert not user != plain  # noqa: SIM202 - pydantic derives one from the other, a dict doesn't
    assert (repr(user), vars(user), dict(user)) == (repr(plain), vars(plain), dict(plain))
    assert (user.model_dump(), user.model_dump_json()) == (plain.model_dump(), plain.model_dump_json())
    assert TypeAdapter(kind).dump_python(user, serialize_as_any=True) == vars(plain)
    assert kind.model_validate(user) == plain
    assert dict(user.model_extra or {}) == {}
    assert canonical_text(user, "x") == canonical_text(plain, "x")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(user, protocol))
        assert loaded == plain
        assert loaded.model_extra is None
    for copied in (copy.copy(user), copy.deepcopy(user), user.model_copy(update={"age": 25})):
        assert copied == plain
        assert copied._raw_response == user._raw_response
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (user.copy(), user.dict()) == (plain, plain.dict())
    with pytest.raises(AttributeError, match="no attribute '_other'"):
        user._other  # noqa: B018 - reads it
    with pytest.raises(TypeError):
        user.model_extra["x"] = 1


@pytest.mark.parametrize("count", [1, 3])
def test_nor_does_it_touch_anything_else_of_a_root_model(count: int, tmp_path):
    client = client_of("memory", tmp_path)
    names = [client.create(Names, ASK) for _ in range(count)][-1]
    plain = Names(names.root)
    assert names == plain == names
    assert (repr(names), hash(names), dict(names)) == (repr(plain), hash(plain), dict(plain))
    assert (names.model_dump(), names.model_dump_json()) == (plain.model_dump(), plain.model_dump_json())
    assert canonical_text(names, "x") == canonical_text(plain, "x")
    loaded = pickle.loads(pickle.dumps(names))
    assert loaded == plain
    assert not hasattr(loaded, "_raw_response")
    for copied in (copy.copy(names), copy.deepcopy(names), names.model_copy()):
        assert copied == plain
        assert copied._raw_response == names._raw_response


def test_a_model_that_allows_extra_fields_keeps_them_to_itself(tmp_path):
    client = client_of("memory", tmp_path)
    for _ in range(2):
        user = client.create(Open, ASK)
        assert user.model_extra == {}
        assert not user.model_extra
        assert not hasattr(user, "_raw_response")


def test_a_list_is_a_plain_list_when_it_is_copied_or_pickled(tmp_path):
    users = client_of("memory", tmp_path).create(list[User], ASK)
    assert users.get_raw_response().usage.total_tokens == users.get_total_usage().total_tokens
    assert users == [User(name="Anna", age=25)] == copy.copy(users)
    assert type(pickle.loads(pickle.dumps(users))) is type(copy.deepcopy(users)) is list
    assert canonical_text(users, "x") == canonical_text(list(users), "x")


def test_a_caller_that_changes_a_completion_changes_no_other(tmp_path):
    client = client_of("memory", tmp_path)
    client.create(User, ASK)
    client.create(User, ASK)._raw_response.choices.clear()
    assert client.create(User, ASK)._raw_response.choices


def test_copies_of_completions_that_differ_in_what_is_left_out_are_not_mixed_up():
    copies = CompletionCopies(json.loads)
    for letter in "ab" * 2:
        parts = (Part("", letter * 2000),)
        completion = pack_completion(f'{{"text":"{letter * 2000}"}}', parts)
        entry = Entry("key", parts, completion, Origin("p", "m"), 1.0)
        assert copies.load(entry) == {"text": letter * 2000}


def test_a_decorated_function_may_return_what_a_client_answered(tmp_path):
    client, asked = client_of("none", tmp_path), []

    @instructor_cache(cache=AutoCache())
    def ask(kind: str) -> list[User] | User | Names:
        asked.append(kind)
        return client.create({"list": list[User], "one": User, "root": Names}[kind], ASK)

    assert ask("list") == ask("list") == [User(name="Anna", age=25)]
    assert ask("one") == ask("one") == User(name="Anna", age=25)
    assert ask("root") == ask("root") == Names(("Anna is 25.",))
    assert asked == ["list", "one", "root"]

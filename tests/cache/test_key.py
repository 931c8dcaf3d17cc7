"""The key covers everything that a call says, and nothing else."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import os
import pathlib
import subprocess
import sys
import typing
import uuid
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, create_model

from instructor.cache.canonical import ARGUMENT, CONTEXT, canonical, canonical_text
from instructor.cache.key import FORMAT, KeyBuilder, make_cache_key, schema_of
from instructor.cache.memory import AutoCache
from instructor.client import Instructor
from instructor.engine.key_memo import KeyMemo, encode
from instructor.engine.plan import Plans
from instructor.exceptions import ConfigurationError, NoCanonicalFormError
from instructor.mode import Mode
from instructor.testing.scripted import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT


class User(BaseModel):
    name: str


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


HELLO = [{"role": "user", "content": "hello"}]
NAMES = st.text(max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def test_four_arguments_give_the_digest_that_the_user_documents_print() -> None:
    key = make_cache_key(messages=HELLO, model="gpt-4.1-mini", response_model=User, mode="TOOLS")
    assert key == "2e2a9521bd269d62ee9a8559d7deacba0025c1f6da0ec1fc63d472788be096fe"


def test_the_digest_is_that_of_the_sorted_json_of_its_members() -> None:
    members = {
        "messages": HELLO,
        "mode": "TOOLS",
        "model": "m",
        "schema": User.model_json_schema(),
        "zeta": {"b": 1, "a": [2]},
    }
    expected = sha256(json.dumps(members, sort_keys=True).encode()).hexdigest()
    key = make_cache_key(messages=HELLO, model="m", response_model=User, mode=Mode.TOOLS, zeta={"a": [2.0], "b": 1})
    assert key == expected


def make_key(**changes: Any) -> str:
    """The key of a call as a client makes it."""
    said: dict[str, Any] = {
        "provider": "openai",
        "endpoint": {"base_url": "https://api.openai.com/v1"},
        "mode": Mode.TOOLS,
        "model": "gpt-4.1-mini",
        "response_model": User,
        "messages": HELLO,
        "context": None,
        "strict": True,
        "namespace": None,
        "arguments": {},
        **changes,
    }
    builder = KeyBuilder(
        {"provider": said["provider"], "wire": "openai_chat", "endpoint": said["endpoint"], "mode": said["mode"].name}
    )
    plan = Plans().make(said["response_model"])
    key, _ = builder.key(
        plan.schema_text,
        plan.shape_text,
        said["model"],
        said["messages"],
        said["context"],
        said["strict"],
        said["namespace"],
        said["arguments"],
    )
    return key


def test_the_client_makes_the_key_that_the_public_function_makes() -> None:
    arguments = {"temperature": 0.5, "timeout": 3}
    public = make_cache_key(
        messages=HELLO,
        model="gpt-4.1-mini",
        response_model=User,
        mode="TOOLS",
        provider="openai",
        endpoint={"base_url": "https://api.openai.com/v1"},
        wire="openai_chat",
        format=FORMAT,
        shape=[
            [
                "User",
                "The answer, as a correct User.",
                sha256(json.dumps(User.model_json_schema()).encode()).hexdigest(),
            ]
        ],
        namespace="tenant",
        context={"a": 1},
        strict=False,
        arguments={"temperature": 0.5},
    )
    assert public == make_key(namespace="tenant", context={"a": 1}, strict=False, arguments=arguments)


class Admin(BaseModel):
    name: str = Field(description="The name.")


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "groq"},
        {"endpoint": {"base_url": "http://localhost:1/v1"}},
        {"endpoint": {"base_url": "https://api.openai.com/v1", "organization": "a"}},
        {"endpoint": {"base_url": "https://api.openai.com/v1", "project": "a"}},
        {"endpoint": {"base_url": "https://api.openai.com/v1", "default_headers": {"beta": "1"}}},
        {"mode": Mode.JSON},
        {"model": "gpt-4.1"},
        {"response_model": Admin},
        {"response_model": list[User]},
        {"response_model": User | None},
        {"response_model": None},
        {"messages": [{"role": "system", "content": "hello"}]},
        {"messages": [{"role": "user", "content": "hello "}]},
        {"messages": HELLO * 2},
        {"context": {"a": 1}},
        {"context": {"a": "1"}},
        {"strict": False},
        {"namespace": "tenant"},
        {"arguments": {"temperature": 0}},
        {"arguments": {"temperature": 0.1}},
        {"arguments": {"top_p": 0}},
        {"arguments": {"seed": 1}},
        {"arguments": {"seed": "1"}},
        {"arguments": {"seed": True}},
        {"arguments": {"stop": ["a", "b"]}},
        {"arguments": {"stop": ["b", "a"]}},
        {"arguments": {"max_tokens": 5}},
        {"arguments": {"user": "a"}},
        {"arguments": {"metadata": {"a": "b"}}},
        {"arguments": {"system": "Be brief."}},
        {"arguments": {"reasoning_effort": "low"}},
        {"arguments": {"tools": [{"type": "web_search"}]}},
        {"arguments": {"extra_body": {"top_k": 1}}},
        {"arguments": {"extra_headers": {"anthropic-beta": "context-1m"}}},
        {"arguments": {"extra_query": {"api-version": "2"}}},
    ],
    ids=str,
)
def test_whatever_can_change_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert make_key(**change) != make_key()


def test_no_two_different_calls_of_the_table_share_a_key() -> None:
    changes = test_whatever_can_change_the_answer_changes_the_key.pytestmark[0].args[1]
    keys = [make_key(**change) for change in changes]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"timeout": 5.0}},
        {"arguments": {"timeout": ...}},
        {"arguments": {"api_key": "sk-other"}},
        {"arguments": {"max_retries": 9}},
        {"arguments": {"temperature": None}},
        {"arguments": {"extra_headers": {"Authorization": "Bearer x"}}},
        {"arguments": {"extra_headers": {"X-API-Key": "x"}}},
        {"arguments": {"extra_headers": {"traceparent": "00-1-2-01", "X-Request-Id": "7"}}},
        {"arguments": {"extra_headers": {"Idempotency-Key": "7"}}},
        {"arguments": {"extra_headers": None}},
        {"messages": [{"content": "hello", "role": "user"}]},
        {"messages": tuple(HELLO)},
    ],
    ids=str,
)
def test_what_cannot_change_the_answer_leaves_the_key_alone(change: dict[str, Any]) -> None:
    assert make_key(**change) == make_key()


def test_order_and_number_form_do_not_matter() -> None:
    one = make_key(arguments={"temperature": 0, "logit_bias": {"1": 5, "2": -5}})
    other = make_key(arguments={"logit_bias": {"2": -5.0, "1": 5.0}, "temperature": 0.0})
    assert one == other


@given(PLAIN, PLAIN)
def test_plain_data_has_one_form_if_and_only_if_it_is_equal(one: Any, other: Any) -> None:
    def marked(value: Any) -> Any:
        # Python calls True and 1 equal; a provider does not.
        if isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, list):
            return [marked(item) for item in value]
        return {name: marked(item) for name, item in value.items()} if isinstance(value, dict) else value

    assert (canonical_text(one, "x") == canonical_text(other, "x")) == (marked(one) == marked(other))


@given(st.dictionaries(NAMES, PLAIN, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_a_dict_is_lost_at_every_depth(data: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        names = list(value)
        random.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    assert make_key(context=data) == make_key(context=shuffled(data))


class Shaped(BaseModel):
    shown: int = 1
    hidden: int = Field(default=1, exclude=True)
    _private: int = PrivateAttr(default=1)


DISTINCT: list[Any] = [
    "2026-01-01",
    dt.date(2026, 1, 1),
    dt.datetime(2026, 1, 1),  # noqa: DTZ001 - a naive time is a value of its own
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(1),
    "1",
    1,
    1.5,
    Decimal("1.5"),
    True,
    b"1",
    {1},
    frozenset({2}),
    [1],
    {"1": 1},
    {1: 1},
    {True: 1},
    "red",
    Colour.RED,
    Point(1),
    Point(2),
    {"x": 1, "y": 0},
    uuid.UUID(int=1),
    float("inf"),
    float("nan"),
    {"\0float": "inf"},
    {"\0set": [1]},
    {"\0bytes": "MQ=="},
    Shaped(),
    Shaped(shown=2),
    Shaped(hidden=2),
]


def test_values_of_different_meaning_never_share_a_form() -> None:
    forms = [canonical_text(value, "x") for value in DISTINCT]
    assert len(set(forms)) == len(DISTINCT)


def test_a_member_of_an_enum_is_its_value_too() -> None:
    def define(value: str) -> enum.Enum:
        class Prompt(enum.StrEnum):
            FORMAL = value

        return Prompt.FORMAL

    class Flags(enum.IntFlag):
        A = 1

    assert canonical(define("formally")) != canonical(define("rudely"))
    assert canonical(define("formally")) == canonical(define("formally"))
    assert canonical(Flags(8)) != canonical(Flags(16))


def test_a_named_tuple_is_known_by_its_names() -> None:
    one, other = namedtuple("Point", "x y"), namedtuple("Point", "y x")  # noqa: PYI024 - their names are the point
    assert canonical(one(1, 2)) != canonical(other(1, 2))
    assert canonical(one(1, 2)) != canonical((1, 2))


def test_what_a_request_shows_of_a_model_beside_its_schema_counts() -> None:
    def titled(name: str, *fields: str) -> type[BaseModel]:
        return create_model(name, __config__={"title": "Document"}, **dict.fromkeys(fields, (str, "")))

    first = make_key(response_model=titled("Invoice", "why", "what"))
    assert first == make_key(response_model=titled("Invoice", "why", "what"))
    assert first != make_key(response_model=titled("Receipt", "why", "what"))
    assert first != make_key(response_model=titled("Invoice", "what", "why")), "a model answers in the schema's order"


@pytest.mark.parametrize("kind", [5, "User", typing.Union], ids=["int", "str", "union"])
def test_a_key_for_what_is_no_type_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="response_model"):
        make_cache_key(messages=HELLO, model="m", response_model=kind, mode="TOOLS")


def test_private_state_is_part_of_an_objects_form() -> None:
    one, other = Shaped(), Shaped()
    other._private = 2
    assert canonical(one) != canonical(other)
    assert canonical(one) == canonical(Shaped())


@pytest.mark.parametrize(
    "value",
    [lambda: 0, object(), open, (item for item in ()), User, SecretStr],
    ids=["function", "object", "builtin", "generator", "model", "class"],
)
def test_what_has_no_form_is_named_in_the_error(value: Any) -> None:
    with pytest.raises(NoCanonicalFormError, match=r"arguments\.tools\[1\]"):
        canonical({"tools": [1, value]}, "arguments")


def test_data_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(NoCanonicalFormError, match="contains itself"):
        canonical(loop)


CHILDREN = pathlib.Path(__file__).parent / "children"


def test_another_process_with_another_hash_seed_makes_the_same_key() -> None:
    keys = {
        subprocess.run(
            [sys.executable, CHILDREN / "keys.py"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    (line,) = keys
    assert len(set(line.split())) == 10


@pytest.mark.parametrize("kind", [User, list[User], int, Literal["a"], User | None, dict[str, int]], ids=str)
def test_every_kind_of_response_model_has_a_schema(kind: Any) -> None:
    assert json.dumps(schema_of(kind))


class Role(enum.StrEnum):
    USER = "user"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Share(float):
    pass


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [{"role": Role.USER, "content": "hello"}]},
        {"messages": [{Text("role"): "user", "content": Text("hello")}]},
        {"messages": [{Role.USER: 1, "role": "user", "content": "hello"}]},
    ],
    ids=str,
)
def test_what_a_request_shows_alike_has_one_key(change: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(change))
    assert make_key(**change) == make_key(**plain)
    assert make_key(arguments={"extra": change}) == make_key(arguments={"extra": plain})


def test_a_number_of_a_subclass_is_its_value_in_a_request() -> None:
    assert make_key(arguments={"top_k": Level.LOW, "top_p": Share(0.5)}) == make_key(
        arguments={"top_k": 1, "top_p": 0.5}
    )


@pytest.mark.parametrize(("one", "other"), [(Role.USER, "user"), (Level.LOW, 1), (Share(0.5), 0.5), (Text("a"), "a")])
def test_a_template_may_show_a_value_of_a_subclass_otherwise_so_its_class_counts_in_context(
    one: Any, other: Any
) -> None:
    assert make_key(context={"value": one}) != make_key(context={"value": other})


BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")


def test_times_and_paths_of_different_meaning_never_share_a_form() -> None:
    values = [
        dt.time(12),
        dt.time(12, tzinfo=BERLIN),
        dt.time(12, tzinfo=TOKYO),
        dt.time(12, fold=1),
        pathlib.PurePosixPath("a"),
        pathlib.PureWindowsPath("a"),
    ]
    assert len({canonical_text(value, "x") for value in values}) == len(values)


class Words(list[Any]):
    note: str


class Settings(dict[str, Any]):
    note: str


class Tag(str):  # noqa: SLOT000 - it has attributes of its own
    note: str


class Count(int):
    note: str


class Slotted(dict[str, Any]):
    __slots__ = ("note",)
    note: str


class Pair(namedtuple("Pair", "x y")):  # noqa: PYI024, SLOT002 - it has attributes of its own
    note: str


class Other(dict[str, Any]):
    pass


def noted(make: Any, note: str | None) -> Any:
    value = make()
    if note is not None:
        value.note = note
    return value


SUBCLASSES: list[Any] = [
    lambda: Words([1]),
    lambda: Settings(a=1),
    lambda: Tag("a"),
    lambda: Count(1),
    lambda: Slotted(a=1),
    lambda: Pair(1, 2),
]


@pytest.mark.parametrize("make", SUBCLASSES)
@pytest.mark.parametrize("form", [CONTEXT, ARGUMENT], ids=["context", "argument"])
def test_what_an_instance_of_a_subclass_holds_beside_its_data_counts(make: Any, form: Any) -> None:
    notes = [None, "one", "other"]
    assert len({canonical_text(noted(make, note), "x", form) for note in notes}) == len(notes)
    assert canonical_text(noted(make, "one"), "x", form) == canonical_text(noted(make, "one"), "x", form)


@pytest.mark.parametrize("make", SUBCLASSES)
def test_a_request_does_not_show_what_an_instance_of_a_subclass_holds_beside_its_data(make: Any) -> None:
    assert canonical_text(noted(make, "one"), "x") == canonical_text(noted(make, None), "x")


@pytest.mark.parametrize("form", [CONTEXT, ARGUMENT], ids=["context", "argument"])
def test_how_a_dict_fills_itself_counts(form: Any) -> None:
    values = [defaultdict(factory, a=1) for factory in (None, list, dict, int)]
    assert len({canonical_text(value, "x", form) for value in values}) == len(values)
    assert len({canonical_text(value, "x") for value in values}) == 1, "a request shows its items only"
    with pytest.raises(NoCanonicalFormError, match="default_factory"):
        canonical(defaultdict(lambda: 0), "x", form)


def test_a_users_class_of_mapping_counts_in_context_and_pythons_do_not() -> None:
    kinds = [Settings, Other, dict, OrderedDict, UserDict]
    assert len({canonical_text(kind(a=1), "x", CONTEXT) for kind in kinds}) == 3
    assert len({canonical_text(kind(a=1), "x", ARGUMENT) for kind in kinds}) == 5


SCRIPT = """
import dataclasses, enum
from pydantic import BaseModel
from instructor.cache.canonical import ARGUMENT, CONTEXT, CONTEXT, REQUEST, canonical_text
class Color(enum.Enum): RED = 1
class Text(str): pass
class Model(BaseModel): x: int = 1
@dataclasses.dataclass
class Point: x: int = 1
class Keyed:
    def __cache_key__(self): return 1
for form in (REQUEST, CONTEXT, ARGUMENT):
    for value in (Color.RED, Text("a"), Model(), Point(), Keyed()):
        print(canonical_text(value, "x", form))
"""


def test_classes_of_two_scripts_never_share_a_form_and_one_script_always_has_the_same(tmp_path: pathlib.Path) -> None:
    def run(name: str) -> list[str]:
        path = tmp_path / name
        path.write_text(SCRIPT, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, path]
        return subprocess.check_output(command, env=environment, text=True, timeout=60).splitlines()

    one, other = run("one.py"), run("other.py")
    assert one == run("one.py")
    assert set(one) & set(other) == {'"a"'}, "a request shows a text as a text"


class Service:
    """Holds what cannot be keyed, and says itself what counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.connection = object()

    def __cache_key__(self) -> Any:
        return {"name": self.name}


def test_an_object_that_names_its_data_is_keyed_by_them_at_any_depth() -> None:
    @dataclasses.dataclass
    class Task:
        services: list[Service]

    one = canonical(Task([Service("a")]))
    assert one == canonical(Task([Service("a")]))
    assert one != canonical(Task([Service("b")]))
    assert canonical(Service("a")) != canonical({"name": "a"})
    with pytest.raises(NoCanonicalFormError):
        canonical(Service)


class Lazy(dict[str, Any]):
    """A mapping that can be read in one place only, such as a request's globals."""

    def items(self) -> Any:
        raise RuntimeError("the password is hunter2")


class Refusing:
    def __cache_key__(self) -> Any:
        raise LookupError


@pytest.mark.parametrize("value", [Lazy(a=1), Refusing()], ids=["mapping", "object"])
def test_whatever_is_raised_while_a_value_is_read_names_the_value_and_quotes_nothing(value: Any) -> None:
    with pytest.raises(NoCanonicalFormError, match=r"context\.tools\[1\]") as raised:
        canonical({"tools": [1, value]}, "context")
    assert "hunter2" not in str(raised.value)


def test_headers_that_cannot_be_read_are_named() -> None:
    with pytest.raises(NoCanonicalFormError, match=r"arguments\.extra_headers") as raised:
        make_key(arguments={"extra_headers": Lazy(a=1)})
    assert "hunter2" not in str(raised.value)


def test_an_integer_of_any_size_has_a_form() -> None:
    numbers = [10**5000, 10**5000 + 1, -(10**5000), "1" + "0" * 5000]
    assert len({canonical_text(number, "x") for number in numbers}) == len(numbers)


def test_a_call_that_cannot_be_keyed_is_answered_and_says_why() -> None:
    reasons: list[Any] = []
    adapter = ScriptedAdapter([{"name": "a"}])
    client = Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=AutoCache())
    client.on("cache:bypass", lambda event: reasons.append(event.reason))
    assert client.create(User, HELLO, context=Lazy(a=1)) == User(name="a")
    assert len(reasons) == 1
    assert reasons[0].startswith("context")


def test_the_mode_may_be_left_out() -> None:
    said: dict[str, Any] = {"messages": HELLO, "model": "m", "response_model": User}
    assert make_cache_key(**said) == make_cache_key(**said, mode=None) != make_cache_key(**said, mode="TOOLS")


def rich(*names: Any) -> st.SearchStrategy[Any]:
    """Values of many classes, in mappings with these names."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-2, 2)
        | st.sampled_from([0.0, -0.0, 1.0, 0.5, float("inf"), float("nan"), 10**700])
        | st.sampled_from(["", "1", "user", "\0set", Role.USER, Level.LOW, Text("1"), Share(1.0), Colour.RED])
        | st.sampled_from([b"1", bytearray(b"1"), dt.date(2026, 1, 1), dt.time(1), dt.time(1, fold=1), Decimal(1)])
        | st.sampled_from([Point(1), Point(True)]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from(names), inner, max_size=3)
            | st.frozensets(st.sampled_from([1, 2, "1", 1.0, Role.USER]), max_size=2)
        ),
        max_leaves=6,
    )


RICH = rich("a", "user", "\0set", Role.USER, 1, True)


def exact(value: Any) -> Any:
    """A value with the class of everything in it, by which two values are equal only if no program tells them apart."""
    kind = type(value).__qualname__
    if isinstance(value, dict):
        return kind, frozenset((exact(name), exact(item)) for name, item in value.items())
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(map(exact, value))
    if isinstance(value, (list, tuple)):
        return kind, tuple(map(exact, value))
    return kind, str(value) if isinstance(value, float) else bytes(value) if kind == "bytearray" else repr(value)


def changed(value: Any, random: Any) -> Any:
    """The same value, or one that Python or `marshal` might take for it."""
    if isinstance(value, dict):
        return {changed(name, random): changed(item, random) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [changed(item, random) for item in value]
        return random.choice([list, tuple])(items)
    likes: dict[Any, list[Any]] = {1: [1, True, 1.0, Level.LOW, Share(1.0)], "user": ["user", Role.USER, Text("user")]}
    likes[b"1"] = [b"1", bytearray(b"1")]
    return random.choice(likes.get(value, [value])) if value.__hash__ else value


@given(RICH, st.randoms(use_true_random=False))
def test_arguments_of_a_function_have_one_form_if_and_only_if_no_program_tells_them_apart(
    one: Any, random: Any
) -> None:
    other = changed(one, random)
    forms = [canonical_text(value, "x", ARGUMENT) for value in (one, other)]
    assert (forms[0] == forms[1]) == (exact(one) == exact(other))


@pytest.mark.parametrize("form", [ARGUMENT, CONTEXT])
@pytest.mark.parametrize("place", [lambda one: one, lambda one: [one], lambda one: {one: 1}, lambda one: {"a": one}])
def test_two_halves_of_a_surrogate_pair_are_not_the_character_that_they_make(place: Any, form: Any) -> None:
    """A function sees two characters, but JSON writes both alike."""
    assert json.dumps("\ud800\udc00") == json.dumps("\U00010000")
    texts = {canonical_text(place(one), "x", form) for one in ("\ud800\udc00", "\U00010000", "\ud800", "\udc00\ud800")}
    assert len(texts) == 4


def test_namespaces_that_json_writes_alike_share_no_key() -> None:
    one, other = "\ud800\udc00", "\U00010000"
    assert json.dumps(one) == json.dumps(other)
    builder = KeyBuilder({})
    keys = {builder.key("null", "null", "m", [], None, True, name, {})[0] for name in (one, other)}
    assert len(keys) == 2


@given(rich("a", "user", "\0set", Role.USER), st.randoms(use_true_random=False))
def test_values_that_a_request_shows_alike_have_one_form(one: Any, random: Any) -> None:
    def shown(value: Any) -> str | None:
        try:
            return json.dumps(value, sort_keys=True)
        except TypeError:
            return None

    other = changed(one, random)
    if shown(one) is not None and shown(one) == shown(other):
        assert canonical_text(one, "x") == canonical_text(other, "x")


@given(RICH, RICH, st.randoms(use_true_random=False))
def test_a_memo_leads_to_the_key_that_the_builder_makes(one: Any, context: Any, random: Any) -> None:
    builder, memo = KeyBuilder({"mode": "TOOLS"}), KeyMemo(100, 1 << 20)
    calls = [(one, context), (changed(one, random), changed(context, random)), (one, None), (context, one)]
    for messages, values in calls:
        encoding = encode(1, messages, {"context": values, "extra": messages})
        key, plain = builder.key("null", "null", "m", messages, values, True, None, {"extra": messages})
        if encoding is None:
            continue
        assert memo.find(encoding) in (None, key)
        if plain:
            memo.remember(encoding, key)


@given(st.dictionaries(st.text(st.sampled_from("\0aé"), max_size=3), RICH | st.text(max_size=3), max_size=3))
def test_the_builder_makes_the_digest_of_the_public_function_for_messages_alone(message: dict[str, Any]) -> None:
    builder = KeyBuilder({"mode": "TOOLS", "wire": "openai_chat"})
    schema = canonical_text(schema_of(User), "schema")
    messages = [{"role": "user", "content": "Hi."}, message]
    key, _ = builder.key(schema, '["shape"]', "m", messages, None, True, None, {})
    assert key == make_cache_key(
        messages=messages,
        model="m",
        response_model=User,
        mode=Mode.TOOLS,
        wire="openai_chat",
        format=FORMAT,
        shape=["shape"],
    )


@given(RICH)
def test_the_builder_makes_the_digest_of_the_public_function(value: Any) -> None:
    builder = KeyBuilder({"mode": "TOOLS", "provider": "openai", "endpoint": None})
    schema = canonical_text(schema_of(User), "schema")
    key, _ = builder.key(
        schema, '["shape"]', "m", [value], {"value": value}, False, "n", {"extra": value, "timeout": 1}
    )
    assert key == make_cache_key(
        messages=[value],
        model="m",
        response_model=User,
        mode=Mode.TOOLS,
        provider="openai",
        format=FORMAT,
        shape=["shape"],
        context={"value": value},
        strict=False,
        namespace="n",
        arguments=None if value is None else {"extra": value},
    )

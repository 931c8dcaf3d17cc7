"""The offline provider answers every schema validly, and the same way everywhere."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from types import ModuleType
from typing import Annotated, Any, Literal, Union

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from pydantic import AnyUrl, BaseModel, Field, HttpUrl, Json, create_model

from instructor import from_provider
from instructor.exceptions import ConfigurationError, ProviderError
from instructor.mode import Mode
from instructor.offline import OfflineAdapter
from instructor.offline import adapter as adapter_module
from instructor.offline.reader import fill_schema
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.spec import ToolSpec


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Node(BaseModel):
    name: str
    children: list[Node] = []
    parent: Node | None = None


class Forest(BaseModel):
    trees: list[Node] = Field(min_length=2)


class Sum(BaseModel):
    kind: Literal["sum"] = "sum"
    left: Expression
    right: Expression


class Number(BaseModel):
    kind: Literal["number"] = "number"
    value: float


class Expression(BaseModel):
    term: Annotated[Sum | Number, Field(discriminator="kind")]


class Tagged(BaseModel):
    """Its tags have defaults, so no schema requires them, yet pydantic needs them to tell the members apart."""

    item: Annotated[Sum | Number, Field(discriminator="kind")] | None
    items: list[Annotated[Sum | Number, Field(discriminator="kind")]] = Field(max_length=1)


class Point(BaseModel, frozen=True):
    x: int
    label: str = Field(max_length=3)


class Limits(BaseModel):
    by_name: dict[Annotated[str, Field(pattern=r"^[a-z]{2}-\d$")], int] = Field(min_length=2, max_length=4)
    by_day: dict[dt.date, bool] = Field(min_length=2)
    by_color: dict[Color, float] = Field(min_length=1, max_length=2)
    pairs: set[tuple[int, str]] = Field(min_length=3)
    groups: frozenset[frozenset[int]] = Field(min_length=3)
    codes: set[Annotated[str, Field(pattern=r"^\d{4}$")]] = Field(min_length=4)
    moments: set[dt.datetime] = Field(min_length=2, max_length=2)
    share: Annotated[Decimal, Field(gt=0, lt=1, decimal_places=2)]


class Closed(BaseModel, extra="forbid"):
    url: AnyUrl
    link: HttpUrl = Field(description="Where to go.")
    word: str = Field(min_length=3, max_length=5)


TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "",
            "Jason is 25 years old and lives in New York. Mail jason@example.com!",
            "I paid $1,200.50 on 3 March 2024, not 20%, and it was stolen yesterday at 3pm.",
            "- red: 3\n- green: 4\n- blue: -7.25",
            "See https://example.com/a?b=c, 10.0.0.1 and 6ba7b810-9dad-11d1-80b4-00c04fd430c8.",
        ]
    ),
)


def bounded_numbers(kind: type, values: st.SearchStrategy) -> st.SearchStrategy:
    def bound(pair: Any) -> Any:
        low, high = sorted(pair)
        return Annotated[kind, Field(ge=low, le=high)]

    return st.tuples(values, values).map(bound)


def sized(kind: Any, limits: tuple[int, int]) -> Any:
    return Annotated[kind, Field(min_length=min(limits), max_length=max(limits))]


SIZES = st.tuples(st.integers(0, 4), st.integers(0, 4))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.one_of(
    st.sampled_from(
        [int, float, str, bool, None, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta]
        + [uuid.UUID, AnyUrl, ipaddress.IPv4Address, ipaddress.IPv6Address, Color, Any, bytes]
        + [Literal["low", "high"], Literal[1, "one", True], Literal["only"], Node, Forest, Expression]
        + [Annotated[int, Field(gt=0, multiple_of=7)], Annotated[float, Field(gt=0, lt=1)]]
        + [Annotated[int, Field(lt=-(2**70))], Annotated[float, Field(multiple_of=0.5, ge=0.3)]]
        + [Annotated[str, Field(pattern=pattern)] for pattern in (r"^[A-Z]{2,3}-\d{4}$", r"^(yes|no)$", r"\.pdf$")]
        + [Annotated[str, Field(pattern=r"^[a-z]+$", min_length=6)], Annotated[str, Field(pattern=r"^\w+@\w+\.com$")]]
        + [
            Annotated[str, Field(pattern=r"(?i)^yes, [a-f]{3}$")],
            Annotated[str, Field(pattern=r"^(?P<a>x|y)(?:z){2,}$")],
        ]
        + [
            Json[int],
            Json[list[Node]],
            Tagged,
            Limits,
            uuid.UUID | int,
            Closed,
            Annotated[dict[str, Node], Field(min_length=1)],
        ]
        + [
            Annotated[frozenset[Literal["a", "b"] | bool], Field(min_length=3)],
            Annotated[set[Point], Field(min_length=3)],
        ]
    ),
    bounded_numbers(int, st.integers(-(10**20), 10**20)),
    bounded_numbers(float, FLOATS),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda limits: sized(str, limits)),
)
NAMES = st.sampled_from(
    [
        "name",
        "age",
        "email",
        "amount",
        "price",
        "due_date",
        "summary",
        "title",
        "tags",
        "is_urgent",
        "count",
        "note",
        "city",
        "items",
        "kind",
    ]
)


def compose(inner: st.SearchStrategy) -> st.SearchStrategy:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda kind: kind | None if isinstance(kind, type) else Union[kind, None]),
        pairs.map(lambda pair: Union[pair]),
        pairs.map(lambda pair: tuple[pair]),
        st.tuples(inner, SIZES).map(lambda pair: sized(list[pair[0]], pair[1])),
        st.tuples(st.sampled_from([int, str, float, dt.date]), SIZES).map(lambda pair: sized(set[pair[0]], pair[1])),
        inner.map(lambda kind: dict[str, kind]),
        st.dictionaries(NAMES, inner, max_size=4).map(make_model),
    )


def make_model(fields: dict[str, Any]) -> type[BaseModel]:
    return create_model("Made", **{name: (kind, ...) for name, kind in fields.items()})


MODELS = st.dictionaries(NAMES, st.recursive(LEAVES, compose, max_leaves=6), max_size=5).map(make_model)


@given(model=MODELS, text=TEXTS)
@example(model=Node, text="")
@example(model=Forest, text="An oak. A fir.")
@example(model=Expression, text="the sum of one and two")
@example(model=Tagged, text="a number")
@example(model=Limits, text="1 2 2 3")
@example(model=make_model({"name": Json[int], "emails": list[Json[list[int]]]}), text="Anna, a@b.example")
def test_a_filled_schema_always_validates(model: type[BaseModel], text: str):
    model.model_validate(fill_schema(model.model_json_schema(), text))


@given(model=MODELS, text=TEXTS, mode=st.sampled_from([*OPENAI_CHAT.modes]))
@example(model=Closed, text="see https://example.com/a", mode=Mode.TOOLS)
def test_an_answer_validates_in_every_mode(model: type[BaseModel], text: str, mode: Mode):
    binding = OPENAI_CHAT.bind(ToolSpec("Made", "Asked.", model.model_json_schema()), mode, strict=True)
    request = OPENAI_CHAT.write([{"role": "user", "content": text}], binding, "demo", {})
    completion = OfflineAdapter().send("chat.completions.create", request)
    model.model_validate_json(OPENAI_CHAT.read(completion, mode, ["Made"])[0].text)


class Ticket(BaseModel):
    intent: Literal["card_stolen", "top_up_failed", "refund_not_showing_up"]
    kind: Literal["card", "transfer"]
    summary: str = Field(max_length=40)
    amounts: list[float]
    dates: list[str]
    contact_email: str | None
    due: dt.date | None = None
    phone: str | None = None


class Person(BaseModel):
    name: str
    age: int


class People(BaseModel):
    people: list[Person]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    meows: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    barks: int


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Order(BaseModel):
    quantity: int
    price: float
    order_date: dt.date
    discount_percent: float | None
    company: str | None
    website: AnyUrl | None


class Rating(BaseModel):
    stars: int = Field(ge=1, le=5)
    tags: set[Literal["price", "quality", "service"]]


def fill(model: type[BaseModel], text: str) -> Any:
    return model.model_validate(fill_schema(model.model_json_schema(), text))


def test_a_ticket_is_read_from_a_message():
    text = "My card was stolen yesterday and they took £1,200.50 and 20! Mail me at a.b@example.org before 2024-03-03."
    assert fill(Ticket, text) == Ticket(
        intent="card_stolen",
        kind="card",
        summary="My card was stolen yesterday and they…",
        amounts=[1200.5, 20],
        dates=["yesterday", "2024-03-03"],
        contact_email="a.b@example.org",
        due=dt.date(2024, 3, 3),
    )


@pytest.mark.parametrize(
    ("text", "name", "age"),
    [
        ("Extract: Jason is 25 years old", "Jason", 25),
        ("John is 25", "John", 25),
        ("The dog loves Mary Jones, aged 41.", "Mary Jones", 41),
        ("I'm Zoë and I am 30", "Zoë", 30),
        ('{"age": 7, "name": "Tom Lee"}', "Tom Lee", 7),
    ],
)
def test_a_person_is_read_from_a_sentence(text: str, name: str, age: int):
    assert fill(Person, text) == Person(name=name, age=age)


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Jason is 25 and Sarah is 30", [("Jason", 25), ("Sarah", 30)]),
        ("- Bob Jones, age 31\n- Ann Lee, age 22", [("Bob Jones", 31), ("Ann Lee", 22)]),
        ("Tom is 40. Mia is 4.", [("Tom", 40), ("Mia", 4)]),
        ("Tom is 40.", [("Tom", 40)]),
        ("nobody here", []),
    ],
)
def test_a_list_has_an_item_for_each_thing_in_the_text(text: str, people: list[tuple[str, int]]):
    assert [(person.name, person.age) for person in fill(People, text).people] == people


def test_the_words_of_the_text_choose_among_models():
    assert fill(Pet, "My dog barks 3 times") == Pet(pet=Dog(barks=3))
    assert fill(Pet, "The cat meows 4 times") == Pet(pet=Cat(meows=4))


def test_fields_that_want_different_numbers_do_not_share_one():
    order = fill(
        Order, "On 2024-02-29 Acme Corp sold 12 chairs at $49.90 with 15% off, see https://acme.example/chairs"
    )
    assert (order.quantity, order.price, order.discount_percent) == (12, 49.9, 15)
    assert order.order_date == dt.date(2024, 2, 29)
    assert str(order.website) == "https://acme.example/chairs"


def test_what_a_text_does_not_say_is_null_or_empty():
    order = fill(Order, "nothing of interest")
    assert (order.quantity, order.discount_percent, order.company, order.website) == (0, None, None, None)


def test_limits_and_words_choose_among_what_the_text_says():
    rating = fill(Rating, "100 friends agree: great quality and friendly service, 4 stars")
    assert (rating.stars, rating.tags) == (4, {"quality", "service"})


def test_without_a_sign_in_the_text_an_enum_is_its_first_option():
    assert fill(create_model("Made", urgency=(Literal["low", "high"], ...)), "Hello").urgency == "low"


def test_a_recursive_model_ends():
    tree = fill(Node, "Anna and her children Ben and Cleo")
    assert tree.name == "Anna"
    assert tree.parent is None


def test_a_schema_with_many_recursive_branches_ends_soon():
    names = [f"Part{number}" for number in range(12)]
    parts = {
        name: {
            "type": "object",
            "properties": {f"p{at}": {"anyOf": [{"$ref": f"#/$defs/{other}"} for other in names]} for at in range(6)}
            | {"end": {"type": "string"}},
            "required": ["end", *(f"p{at}" for at in range(6) if at < int(name[4:]))],
        }
        for name in names
    }
    filled = fill_schema({"$defs": parts, "$ref": "#/$defs/Part11"}, "part")
    assert set(filled) == {"end", *(f"p{at}" for at in range(6))}


@pytest.mark.parametrize(
    "line", ["word", "Anna Bell 12,345.67 ", "a@b.c-1-2-3.", '[{("', "https://a.b/", "- 2024-02-29 "]
)
def test_a_text_beyond_what_is_read_costs_nothing(line: str):
    """The answer shows it, without a clock: a text of 18 MB is answered like its beginning."""
    text = line * (18_000_000 // len(line))
    assert fill_schema(Ticket.model_json_schema(), text) == fill_schema(Ticket.model_json_schema(), text[:50_000])


@pytest.mark.parametrize("text", ["0", "Anna is 5", "only 0", ""])
def test_an_array_of_a_constant_holds_nothing_else(text: str) -> None:
    client = from_provider("offline/demo")
    messages = [{"role": "user", "content": text or " "}]
    model = create_model("Made", age=(list[Literal["only"]], ...))
    assert set(client.create(model, messages, max_retries=0).age) <= {"only"}


def test_the_answer_is_the_same_in_every_process():
    program = (
        "import json; from instructor import from_provider\n"
        "user = from_provider('offline/x').create(response_model=None, messages=[{'role': 'user', 'content': 'Ada is 36'}],"
        " tools=[{'type': 'function', 'function': {'name': 'f', 'parameters': json.loads(%r)}}])\n"
        "print(user.model_dump_json())"
    )
    schema = Ticket.model_json_schema()
    words = [sys.executable, "-c", program % json.dumps(schema)]
    path = ":".join(sys.path)
    answers = {
        subprocess.run(
            words, capture_output=True, check=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": path}, timeout=60
        ).stdout
        for seed in ("0", "1")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("mode", OPENAI_CHAT.modes)
def test_the_completion_is_the_sdks_own_and_says_who_made_it(mode: Mode):
    client = from_provider("offline/any-model", mode=mode)
    messages = [{"role": "user", "content": "Jason is 25"}]
    person, completion = client.create_with_completion(response_model=Person, messages=messages)
    assert person == Person(name="Jason", age=25)
    assert type(completion) is ChatCompletion
    assert completion.id.startswith("offline-")
    assert completion.system_fingerprint == "offline-no-language-model"
    assert completion.model == "any-model"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
    port = OfflineAdapter()
    assert port.load(port.dump(completion)) == completion


async def test_the_asynchronous_client_gets_the_same_answer():
    asked = {"response_model": Person, "messages": [{"role": "user", "content": "Jason is 25"}]}
    answer = await from_provider("offline/x", async_client=True).create_with_completion(**asked)
    assert answer == from_provider("offline/x").create_with_completion(**asked)


def test_a_correction_is_not_taken_for_the_text():
    request = {
        "messages": [
            {"role": "user", "content": "Jason is 25"},
            {"role": "assistant", "content": '{"name": "Jason"}'},
            {"role": "user", "content": "Not valid: Field required at line 77"},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"schema": Person.model_json_schema()}},
    }
    completion = OfflineAdapter().send("chat.completions.create", request)
    assert completion.choices[0].message.content == '{"name": "Jason", "age": 25}'


def test_without_a_schema_it_says_that_it_is_not_a_language_model():
    completion = from_provider("offline/x").create(response_model=None, messages=[{"role": "user", "content": "Hello"}])
    assert "not a language model" in completion.choices[0].message.content


@pytest.mark.parametrize(("operation", "request_"), [("responses.create", {})])
def test_what_it_cannot_do_is_refused(operation: str, request_: dict[str, Any]):
    with pytest.raises(ProviderError, match=r"chat\.completions\.create only"):
        OfflineAdapter().send(operation, request_)


@pytest.mark.parametrize("latency", [-1, float("inf"), float("nan"), "1", True, None])
def test_a_latency_is_a_number_of_seconds(latency: Any):
    with pytest.raises(ConfigurationError, match="latency"):
        OfflineAdapter(latency=latency)


async def test_latency_is_waited_for_by_either_client(monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("instructor.offline.adapter.asyncio.sleep", sleep)
    monkeypatch.setattr("instructor.offline.adapter.time.sleep", waits.append)
    asked: dict[str, Any] = {"response_model": Person, "messages": [{"role": "user", "content": "Jason is 25"}]}
    from_provider("offline/x", latency=0.5).create(**asked)
    await from_provider("offline/x", latency=0.25, async_client=True).create(**asked)
    assert waits == [0.5, 0.25]


@pytest.mark.parametrize("call", ["client.create(int, A)", "asyncio.run(later.create(int, A))"])
def test_the_time_of_the_first_answer_does_not_count_the_import(call: str) -> None:
    program = (
        "import asyncio, sys, instructor\n"
        "from instructor.offline import adapter\n"
        "answer = adapter.answer_request\n"
        "adapter.answer_request = lambda request: seen.append('openai.types.chat' in sys.modules) or answer(request)\n"
        "seen, A = [], [{'role': 'user', 'content': 'I am 25.'}]\n"
        "client = instructor.from_provider('offline/demo')\n"
        "later = instructor.from_provider('offline/demo', async_client=True)\n"
        f"print('openai.types.chat' in sys.modules, {call}, seen)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["False", "25", "[True]"], done.stderr


@pytest.mark.parametrize(("name", "advice"), [("temprature", "Did you mean temperature="), ("flurb", "Check the arg")])
def test_an_argument_that_the_sdk_does_not_have_is_refused(name: str, advice: str) -> None:
    client = from_provider("offline/demo")
    messages = [{"role": "user", "content": "Anna is 25."}]
    assert client.create(int, messages, temperature=0, max_tokens=9, timeout=5, extra_body={"a": 1}) == 25
    with pytest.raises(ConfigurationError, match=f"unexpected keyword argument '{name}'.*{advice}"):
        client.create(int, messages, **{name: 1})


def test_types_that_another_thread_is_importing_are_not_ready(monkeypatch: pytest.MonkeyPatch):
    """Whoever took them for imported would import their parts, each thread from another end."""
    adapter_module._import_types.cache_clear()
    monkeypatch.setitem(sys.modules, "openai.types.chat", ModuleType("openai.types.chat"))
    assert not OfflineAdapter().ready
    OfflineAdapter().prepare()
    assert OfflineAdapter().ready

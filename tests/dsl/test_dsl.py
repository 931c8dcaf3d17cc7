"""Ready-made response models and validators."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ModerationCreateResponse
from pydantic import AfterValidator, BaseModel, ValidationError

import instructor
from instructor import AutoCache, Instructor, Mode
from instructor.dsl import CitationMixin, IterableModel, Maybe
from instructor.dsl.citation import find_passage
from instructor.dsl.iterable import IterableBase
from instructor.dsl.schema import ResponseSchema, generate_gemini_schema, response_schema
from instructor.dsl.validators import llm_validator, openai_moderation
from instructor.exceptions import ConfigurationError
from instructor.testing import ScriptedAdapter
from instructor.wires.openai_chat import OPENAI_CHAT

MESSAGES = [{"role": "user", "content": "Anna is 25."}]


class User(BaseModel):
    """A user."""

    name: str


def make(*replies: Any, cache: Any = None) -> tuple[Instructor, ScriptedAdapter]:
    adapter = ScriptedAdapter(list(replies))
    return Instructor(adapter, wires={Mode.TOOLS: OPENAI_CHAT}, mode=Mode.TOOLS, model="m", cache=cache), adapter


def test_a_missing_answer_is_false_and_says_why() -> None:
    client, _ = make({"error": True, "message": "nobody is named"}, {"result": {"name": "Anna"}}, cache=AutoCache())
    none = client.create(Maybe(User), MESSAGES)
    assert (bool(none), none.result, none.message) == (False, None, "nobody is named")
    assert client.create(Maybe(User), MESSAGES) == none
    assert Maybe(User) is Maybe(User)
    some = client.create(Maybe(User), [{"role": "user", "content": "Anna"}])
    assert bool(some)
    assert some.result == User(name="Anna")


def test_a_list_of_answers_has_a_name_and_a_description() -> None:
    model: Any = IterableModel(User, description="All users.")
    client, adapter = make({"tasks": [{"name": "A"}, {"name": "B"}]})
    users = client.create(model, MESSAGES)
    assert list(users) == users.tasks == [User(name="A"), User(name="B")]
    assert issubclass(model, IterableBase)
    assert adapter.requests[0]["tools"][0]["function"]["description"] == "All users."
    assert IterableModel(User, name="Person").__name__ == "IterablePerson"


class Fact(CitationMixin):
    statement: str


def test_quotes_are_replaced_by_what_the_text_says_and_others_left_out() -> None:
    text = "Betty was a student.\nJason was a  student. Jason is 20 years old."
    answer = {
        "statement": "x",
        "substring_quotes": ["Jason was a student", "Jason is 20 years old", "Bob is a pilot", ""],
    }
    client, _ = make(answer, answer)
    fact = client.create(Fact, MESSAGES, context={"context": text})
    assert fact.substring_quotes == ["Jason was a  student", "Jason is 20 years old"]
    assert all(quote in text for quote in fact.substring_quotes)
    assert client.create(Fact, MESSAGES).substring_quotes == answer["substring_quotes"]


def distance(one: str, other: str) -> int:
    row = [*range(len(other) + 1)]
    for up, character in enumerate(one, 1):
        before, row[0] = row[0], up
        for at, known in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (character != known))
    return row[-1]


@given(st.text("ab ", min_size=1, max_size=20), st.text("ab ", max_size=40), st.integers(0, 5))
def test_the_passage_is_as_near_as_any(quote: str, text: str, errors: int) -> None:
    allowed = min(errors, len(quote) // 4)
    spans = [(start, end) for start in range(len(text) + 1) for end in range(start, len(text) + 1)]
    nearest = min(distance(quote, text[start:end]) for start, end in spans)
    found = find_passage(quote, text, errors)
    if nearest > allowed:
        assert found is None
    else:
        assert found is not None
        assert distance(quote, text[slice(*found)]) == nearest


def test_a_class_knows_its_schemas_and_reads_completions() -> None:
    class Person(ResponseSchema):
        """A person."""

        name: str

    assert Person.openai_schema["description"] == "A person."
    assert Person.anthropic_schema["input_schema"]["required"] == ["name"]
    assert generate_gemini_schema(Person) == Person.gemini_schema
    client, _ = make({"name": "Anna"})
    completion = client.create(None, MESSAGES, tools=[{"type": "function", "function": Person.openai_schema}])
    assert Person.from_response(completion) == Person(name="Anna")
    decorated: Any = response_schema(User)
    assert decorated(name="x") == decorated.model_validate({"name": "x"})
    assert decorated.openai_schema["name"] == "User"
    with pytest.raises(ConfigurationError, match="not a dict"):
        Person.from_response({})


def test_a_model_judges_a_value_and_is_asked_once_for_each() -> None:
    judge, adapter = make(
        {"is_valid": True}, {"is_valid": False, "reason": "it is rude"}, {"is_valid": False, "fixed_value": "please"},
        cache=AutoCache(),
    )  # fmt: skip

    class Reply(BaseModel):
        text: Annotated[str, AfterValidator(llm_validator("it is polite", judge))]

    assert Reply(text="thank you") == Reply(text="thank you")
    with pytest.raises(ValidationError, match="it is rude"):
        Reply(text="go away")
    assert llm_validator("it is polite", judge, allow_override=True)("now!") == "please"
    assert len(adapter.requests) == 3
    assert adapter.requests[0]["temperature"] == 0


def test_only_a_client_that_is_not_awaited_can_judge() -> None:
    client: Any = instructor.from_provider("offline/demo", async_client=True)
    with pytest.raises(ConfigurationError, match="synchronous client"):
        llm_validator("it is polite", client)


def test_a_validator_without_a_model_to_ask_is_refused_when_it_is_made() -> None:
    client = instructor.from_openai(openai.OpenAI(api_key="sk-test"))
    with pytest.raises(ConfigurationError, match=r"no model to ask.* Pass model="):
        llm_validator("it is polite", client)
    assert callable(llm_validator("it is polite", client, model="m"))


def test_what_moderation_flags_is_refused() -> None:
    def moderate(input: str) -> Any:  # noqa: A002 - the SDK's name
        categories = {"hate": input == "bad", "violence": False}
        result = {"flagged": input == "bad", "categories": categories, "category_scores": {}}
        return ModerationCreateResponse.construct(id="1", model="m", results=[result])

    check = openai_moderation(SimpleNamespace(moderations=SimpleNamespace(create=moderate)))
    assert check("good") == "good"
    with pytest.raises(ValueError, match="flagged for hate"):
        check("bad")

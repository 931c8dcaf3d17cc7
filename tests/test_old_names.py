"""Every public name of instructor 1.17 leads to a working thing, or says what to use; docs/migrating.md is true."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import instructor
from instructor.exceptions import ConfigurationError, InstructorError

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = [{"role": "user", "content": "Anna is 25."}]


def load_table() -> Any:
    spec = importlib.util.spec_from_file_location("migrating_table", ROOT / "docs" / "migrating_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = load_table()


class User(BaseModel):
    name: str
    age: int


def find(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize(("module", "name"), list(TABLE.upstream_names()), ids=str)
def test_a_name_of_1_x_is_what_the_page_says(module: str, name: str):
    verdict, note = TABLE.verdict_of(name)
    if verdict in {"same", "better"} or note.startswith("can be imported"):
        assert find(module, name) is not None
    else:
        assert note, "Say what to use."
        assert find(module, name) is None, "It is here now: say so in docs/migrating_table.py."


def test_the_page_has_todays_table():
    page = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
    assert page == TABLE.write(page), "Run `make tables`."


def test_no_note_is_about_a_name_that_1_x_does_not_have():
    assert not set(TABLE.NOTES) - {name for _, name in TABLE.upstream_names()}


def test_a_missing_name_says_what_to_use():
    with pytest.raises(AttributeError, match=r'instructor\.v2 is not here; use .*, or pin "instructor<1\.99"'):
        _ = instructor.v2
    assert "v2" not in dir(instructor)


CALLED = sorted({name for _, name in TABLE.upstream_names() if TABLE.verdict_of(name)[1].startswith("can be imported")})


@pytest.mark.parametrize("name", CALLED)
def test_what_comes_later_says_so_when_it_is_called(name: str):
    with pytest.raises(ConfigurationError, match=r"(?i)use "):
        getattr(instructor, name)(object())


def test_a_method_of_a_batch_says_so_too():
    with pytest.raises(ConfigurationError, match=r"client\.batch"):
        instructor.BatchProcessor.create_batch_from_messages([])  # type: ignore[attr-defined]


def test_the_inside_of_1_17_says_what_to_use():
    with pytest.raises(ModuleNotFoundError, match="register_provider"):
        importlib.import_module("instructor.v2.core.patch")


def test_a_vendors_name_is_text_and_a_member():
    client = instructor.from_provider("groq/any")
    assert client.provider is instructor.Provider.GROQ
    assert client.provider == "groq"
    assert instructor.Provider("generative-ai") is instructor.Provider.GENAI is instructor.Provider.GOOGLE
    with pytest.raises(ValueError, match="nobody"):
        instructor.Provider("nobody")


def test_handle_response_model_writes_what_a_client_sends():
    seen: dict[str, Any] = {}
    client = instructor.from_provider("offline/demo", mode="tools")
    client.on("completion:kwargs", lambda **request: seen.update(request))
    client.create(User, MESSAGES)
    model, request = instructor.handle_response_model(User, messages=MESSAGES, model="demo")
    assert request == seen
    from instructor.offline.adapter import answer_request
    from instructor.processing.response import process_response

    completion = answer_request(request)
    assert process_response(completion, response_model=User) == User(name="Anna", age=25)
    assert model.from_response(completion).age == 25
    assert instructor.handle_response_model(None, messages=MESSAGES) == (None, {"messages": MESSAGES})
    with pytest.raises(InstructorError, match="does not speak"):
        instructor.handle_response_model(User, "responses_tools", "deepseek", messages=MESSAGES)


def test_partial_types_count_as_partial_bases():
    from instructor.dsl.partial import PartialBase

    assert issubclass(instructor.Partial[User], PartialBase)
    assert not issubclass(User, PartialBase)


def test_is_async_sees_through_wrappers():
    import functools
    from unittest.mock import AsyncMock, MagicMock

    from instructor.utils import is_async

    async def ask() -> None: ...

    class Asker:
        async def __call__(self) -> None: ...

    wrapped = functools.wraps(ask)(lambda: None)
    assert all(map(is_async, (ask, functools.partial(ask), wrapped, Asker(), AsyncMock())))
    assert not any(map(is_async, (print, MagicMock(), lambda: None, functools.partial(print))))


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(record.getMessage()))


class Product(BaseModel):
    content: int


def test_instructions_log_calls_as_fine_tuning_lines():
    log = Lines()
    instructions = instructor.Instructions(name="products", log_handlers=[log])

    @instructions.distil
    def multiply(a: int, b: int = 3) -> Product:
        """Multiply."""
        return Product(content=a * b)

    assert multiply(2, b=5) == Product(content=10)
    [line] = log.lines
    assert [message["role"] for message in line["messages"]] == ["system", "user", "assistant"]
    assert line["messages"][1]["content"] == "multiply(2, b=5)"
    assert '"""Multiply."""' in line["messages"][0]["content"]
    assert "a * b" not in line["messages"][0]["content"]
    called = line["messages"][2]["function_call"]
    assert (called["name"], json.loads(called["arguments"])) == ("Product", {"content": 10})
    assert line["functions"][0]["name"] == "Product"


def test_instructions_log_raw_lines():
    log = Lines()
    instructions = instructor.Instructions(log_handlers=[log], finetune_format=instructor.FinetuneFormat.RAW)

    @instructions.distil(name="times")
    def multiply(a: int, b: int = 3) -> Product:
        return Product(content=a * b)

    multiply(2)
    [line] = log.lines
    assert (line["fn_name"], line["args"], line["kwargs"], line["resp"]) == ("times", [2], {}, {"content": 6})
    assert "a * b" in line["fn_repr"]


def test_a_model_answers_in_place_of_a_function():
    client = instructor.from_provider("offline/demo")
    instructions = instructor.Instructions(openai_client=client)

    @instructions.distil(mode="dispatch")
    def age_of(text: str) -> Product:
        raise AssertionError("not called")

    assert age_of("Anna is 25") == Product(content=25)


def test_a_function_without_a_models_type_is_refused():
    instructions = instructor.Instructions()
    with pytest.raises(ConfigurationError, match="returns a pydantic model"):

        @instructions.distil
        def nothing() -> int:  # type: ignore[type-var]
            return 1

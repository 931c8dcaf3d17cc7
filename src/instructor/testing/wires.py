"""The promises of a wire, as a test class that any wire can be held to."""

# The name of a test is the promise it keeps:
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import product
from typing import Any, ClassVar, TypeVar

import orjson
import pydantic

from instructor.exceptions import (
    ConfigurationError,
    IncompleteOutputException,
    ProviderError,
    RefusalError,
    ResponseParsingError,
)
from instructor.messages import Messages, Request
from instructor.mode import Mode
from instructor.usage import Usage
from instructor.wires.capabilities import Capabilities, SchemaSubset, ToolChoice
from instructor.wires.content import is_list, is_mapping
from instructor.wires.folding import Fold, Streaming
from instructor.wires.reader import find_json
from instructor.wires.spec import Binding, ToolSpec
from instructor.wires.wire import Wire

__all__ = ["WireContract"]

_Error = TypeVar("_Error", bound=Exception)
_MARK = "how old the person is, in years"
_ANSWER = '{"name": "Ada",  "age": 36}'
_WRONG = '{"name": "Ada", "age": -1}'


class _Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(gt=0, description=_MARK)


_SPEC = ToolSpec(name="Person", description="A person.", schema=_Person.model_json_schema())


class WireContract:
    """The tests that every wire has to pass. Subclass it in a test file and say how completions are made.

    Most tests run once for each mode of the wire.

    Attributes:
        wire: The wire under test.
        conversation: The request's member that holds the messages.
        arguments: Keywords of the SDK that a caller may pass beside the messages; `write` must keep each of them.
        used: What ``usage`` counts in a completion made by `answered`.

    Example:
        A wire of your own, tested in full::

            class TestMyWire(WireContract):
                wire = MY_WIRE
                used = Usage(input_tokens=10, output_tokens=5)

                def answered(self, text, mode, name):
                    call = name if mode is Mode.TOOLS else None
                    return MyCompletion(text=text, call=call, stop="end", input=10, output=5)

                def cut_off(self, mode):
                    return MyCompletion(text="{", stop="length")

                def refused(self, mode):
                    return MyCompletion(text="I will not.", stop="refusal")

                def empty(self, mode):
                    return MyCompletion(text=None, stop="end")
    """

    wire: Wire
    conversation: ClassVar[str] = "messages"
    arguments: ClassVar[Mapping[str, Any]] = {"temperature": 0.25, "timeout": 7.5, "extra_headers": {"X-Team": "blue"}}
    used: Usage

    def answered(self, text: str, mode: Mode, name: str) -> Any:
        """Make the completion in which the model answers with the JSON `text`, at the cost of `used`.

        In a mode that calls a function, the text is the arguments of the function `name`.
        """
        raise NotImplementedError

    def cut_off(self, mode: Mode) -> Any:
        """Make the completion of an answer that hit the token limit."""
        raise NotImplementedError

    def refused(self, mode: Mode) -> Any:
        """Make the completion of a model that refuses, or of a filter."""
        raise NotImplementedError

    def empty(self, mode: Mode) -> Any:
        """Make a completion that ended well and holds nothing."""
        raise NotImplementedError

    def chunks(self, completion: Any) -> Sequence[Any] | None:
        """Cut a completion of `answered` into the chunks that the provider would stream.

        Leave it as it is for a wire that doesn't stream.
        """
        del completion
        return None

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Let pytest run a test once for each mode, each mode that calls a tool, or each binding, if it takes one."""
        choices: dict[str, Callable[[], Sequence[object]]] = {
            "mode": lambda: self.wire.modes,
            "calling_mode": self._calling_modes,
            "binding": lambda: [None, *(self.wire.bind(_SPEC, mode, True) for mode in self.wire.modes)],
        }
        for name in choices.keys() & set(metafunc.fixturenames):
            metafunc.parametrize(name, choices[name]())

    def test_has_a_name_an_operation_and_modes(self) -> None:
        assert self.wire.name.isidentifier()
        assert all(part.isidentifier() for part in self.wire.operation.split("."))
        assert len(set(self.wire.modes)) == len(self.wire.modes) > 0

    def test_reads_the_answer_as_the_provider_sent_it(self, mode: Mode) -> None:
        assert _parse(self._reader(self._answered(_ANSWER, mode), mode)()) == _parse(_ANSWER)

    def test_an_answer_has_a_part_for_each_call_and_one_for_text(self, mode: Mode) -> None:
        parts = self.wire.read(self._answered(_ANSWER, mode), mode, ["Pet", _SPEC.name])
        assert [part.tool for part in parts] == [_SPEC.name if mode in self._calling_modes() else ""]

    def test_reask_answers_the_call_of_any_tool_of_ours(self, calling_mode: Mode) -> None:
        completion, error = self.answered(_WRONG, calling_mode, "Pet"), ValueError("That age is wrong.")
        again = self.wire.reask(self._write(calling_mode), completion, error, calling_mode, ["Pet", _SPEC.name])
        assert "The arguments are not valid" in _texts(again[self.conversation])

    def test_the_call_of_another_function_is_no_answer(self, calling_mode: Mode) -> None:
        completion = self.answered(_ANSWER, calling_mode, "find_person")
        error = _raised(ResponseParsingError, self._reader(completion, calling_mode))
        assert error.raw_response is completion
        assert "find_person" in str(error)
        assert "'Person'" in str(error)
        again = self.wire.reask(self._write(calling_mode), completion, error, calling_mode)
        assert str(error) in _texts(again[self.conversation])

    def test_our_function_is_known_by_a_name_that_the_model_changed(self, calling_mode: Mode) -> None:
        for name in ("functions.Person", "default_api:Person", "person", "PERSON", "Person_1", "functions.person:0"):
            completion, error = self.answered(_ANSWER, calling_mode, name), ValueError("That age is wrong.")
            assert _parse(self._reader(completion, calling_mode)()) == _parse(_ANSWER), name
            again = self.wire.reask(self._write(calling_mode), completion, error, calling_mode)
            assert "That age is wrong." in _texts(again[self.conversation])

    def test_a_request_carries_the_model_the_messages_and_the_schema(self, mode: Mode) -> None:
        text = _dump(self._write(mode))
        assert "some-model" in text
        assert "Ada is 36." in text
        assert _MARK in text

    def test_without_a_binding_no_schema_is_sent(self) -> None:
        request = self.wire.write(_messages(), None, "some-model", {})
        assert _MARK not in _dump(request)
        assert "tool" not in _dump(request)

    def test_keeps_the_callers_arguments(self, binding: Binding | None) -> None:
        request = self.wire.write(_messages(), binding, "some-model", self.arguments)
        for name, value in self.arguments.items():
            assert _holds(request, name, value), f"write lost {name}={value!r}"

    def test_bind_and_write_change_no_argument(self, mode: Mode) -> None:
        spec, messages, arguments = deepcopy((_SPEC, _messages(), dict(self.arguments)))
        binding = self.wire.bind(spec, mode, True)
        before = deepcopy(binding)
        self.wire.write(messages, binding, "some-model", arguments)
        assert (spec, messages, arguments) == (_SPEC, _messages(), dict(self.arguments))
        assert binding == before

    def test_the_same_call_writes_the_same_request(self, mode: Mode) -> None:
        assert _dump(self._write(mode)) == _dump(self._write(mode))

    def test_any_capabilities_write_a_request_with_the_schema_and_ask_for_the_call(self, mode: Mode) -> None:
        choices: tuple[ToolChoice, ...] = ("named", "required", "auto", "omitted")
        schemas: tuple[SchemaSubset, ...] = ("openai_strict", "anthropic", "anchored", "plain")
        for choice, schema in product(choices, schemas):
            capabilities = Capabilities(tool_choice=choice, schema=schema)
            binding = self.wire.bind(_SPEC, mode, True, capabilities)
            text = _dump(self.wire.write(_messages(), binding, "some-model", {}, capabilities))
            assert _MARK in text
            assert _SPEC.name in text or mode not in self._calling_modes()

    def test_turns_that_hold_nothing_are_not_sent(self, binding: Binding | None) -> None:
        contents: tuple[Any, ...] = ("", None, [], " ")
        empty = [{"role": "assistant", "content": content} for content in contents]
        request = self.wire.write([*_messages(), *empty, *_messages()], binding, "some-model", {})
        assert request == self.wire.write([*_messages(), *_messages()], binding, "some-model", {})

    def test_the_callers_functions_may_be_in_any_providers_form(self, binding: Binding | None) -> None:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}}
        named = {"name": "weather", "description": "How it is."}
        forms: list[dict[str, Any]] = [
            {"type": "function", "function": {**named, "parameters": schema}},
            {"type": "function", **named, "parameters": schema, "strict": False},
            {**named, "input_schema": schema},
            {"function_declarations": [{**named, "parameters_json_schema": schema}]},
        ]
        written = {_dump(self.wire.write(_messages(), binding, "some-model", {"tools": [tool]})) for tool in forms}
        assert len(written) == 1

    def test_an_answer_below_the_tools_own_name_is_read(self, mode: Mode) -> None:
        completion = self._answered(f'{{"{_SPEC.name}": {_ANSWER}}}', mode)
        [part] = self.wire.read(completion, mode, [_SPEC.name], [_SPEC])
        assert _parse(part.text) == _parse(_ANSWER)

    def test_strictness_can_be_refused(self, mode: Mode) -> None:
        binding = self.wire.bind(_SPEC, mode, False)
        request = self.wire.write(_messages(), binding, "some-model", {})
        assert not _holds(request, "strict", True)

    def test_reask_adds_the_answer_and_what_was_wrong(self, mode: Mode) -> None:
        request = self._write(mode)
        again = self.wire.reask(request, self._answered(_WRONG, mode), ValueError("That age is wrong."), mode)
        old, new = request[self.conversation], again[self.conversation]
        assert new[: len(old)] == old
        assert "That age is wrong." in _dump(new[len(old) :])
        assert _mentions(new[len(old) :], orjson.loads(_WRONG))
        assert _without(again, self.conversation) == _without(request, self.conversation)

    def test_reask_after_an_empty_answer_tells_the_error(self, mode: Mode) -> None:
        again = self.wire.reask(self._write(mode), self.empty(mode), ValueError("There was nothing."), mode)
        assert "There was nothing." in _dump(again[self.conversation])

    def test_reask_can_be_repeated(self, mode: Mode) -> None:
        request = self._write(mode)
        for count in range(3):
            completion = self._answered(_WRONG, mode)
            request = self.wire.reask(request, completion, ValueError(f"Problem {count}."), mode)
        assert all(f"Problem {count}." in _dump(request) for count in range(3))

    def test_reask_changes_no_argument(self, mode: Mode) -> None:
        request, completion = self._write(mode), self._answered(_WRONG, mode)
        before = deepcopy((request, completion))
        self.wire.reask(request, completion, ValueError("That age is wrong."), mode)
        assert (request, completion) == before

    def test_reask_names_the_field_that_did_not_validate(self, mode: Mode) -> None:
        error = _raised(pydantic.ValidationError, lambda: _Person.model_validate_json(_WRONG))
        again = _dump(self.wire.reask(self._write(mode), self._answered(_WRONG, mode), error, mode))
        assert "age: Input should be greater than 0" in again
        assert "errors.pydantic.dev" not in again

    def test_an_answer_that_was_cut_off_is_incomplete(self, mode: Mode) -> None:
        completion = self.cut_off(mode)
        error = self._judged(IncompleteOutputException, completion, mode)
        assert error.last_completion is completion

    def test_a_refusal_is_an_error_of_its_own(self, mode: Mode) -> None:
        completion = self.refused(mode)
        error = self._judged(RefusalError, completion, mode)
        assert error.last_completion is completion

    def test_an_empty_completion_has_no_answer(self, mode: Mode) -> None:
        completion = self.empty(mode)
        error = self._judged(ResponseParsingError, completion, mode)
        assert error.raw_response is completion
        assert error.mode == mode.name

    def test_a_whole_completion_is_sound_whatever_it_says(self, mode: Mode) -> None:
        for name, text in product((_SPEC.name, "find_person"), (_ANSWER, "{}")):
            self.wire.check(self.answered(text, mode, name))

    def test_a_completion_of_null_is_no_answer_and_is_asked_for_again(self, mode: Mode) -> None:
        error = self._judged(ResponseParsingError, None, mode)
        request = self._write(mode)
        again = self.wire.reask(request, None, error, mode)
        *old, added = again[self.conversation]
        assert old == request[self.conversation]
        assert added["role"] == "user"
        assert str(error) in _texts(added)
        assert self.wire.usage(None) == Usage()

    def test_tools_that_are_no_list_are_named(self, binding: Binding | None) -> None:
        for tools in (5, "x"):
            write = partial(self.wire.write, _messages(), binding, "some-model", {"tools": tools})
            assert "tools" in str(_raised(ConfigurationError, write))

    def test_counts_the_tokens(self, mode: Mode) -> None:
        first, second = (self.wire.usage(self._answered(_ANSWER, mode)) for _ in range(2))
        assert first == self.used
        assert (first + second).total_tokens == 2 * self.used.total_tokens

    def test_a_wire_that_streams_has_chunks(self) -> None:
        for mode in self.wire.modes:
            has_chunks = self.chunks(self._answered(_ANSWER, mode)) is not None
            assert has_chunks == (getattr(self.wire, "streaming", None) is not None), (
                "say how completions are cut: chunks()"
            )

    def test_a_stream_is_put_together_to_the_answer_in_one_piece(self) -> None:
        for mode, (chunks, fold) in self._streams():
            deltas = [delta for chunk in chunks for delta in fold.add(chunk)]
            body = fold.finish().body
            tool = _SPEC.name if mode in self._calling_modes() else ""
            assert _parse("".join(delta.text for delta in deltas if delta.tool == tool)) == _parse(_ANSWER)
            assert _parse(self._reader(body, mode)()) == _parse(_ANSWER)
            assert self.wire.usage(body) == self.used

    def test_a_stream_that_ends_early_is_an_error(self) -> None:
        for mode, (chunks, _) in self._streams():
            assert isinstance(self._finished(chunks[:1]), ProviderError)
            for count in range(len(chunks)):
                whole = self._finished(chunks[:count])
                assert isinstance(whole, ProviderError) or _parse(self._reader(whole, mode)()) == _parse(_ANSWER)

    def test_asking_for_a_stream_changes_neither_the_request_nor_what_it_asks(self) -> None:
        streaming: Streaming | None = getattr(self.wire, "streaming", None)
        if streaming is None:
            return
        for mode in self.wire.modes:
            request = self._write(mode)
            before = deepcopy(request)
            streamed = streaming.write(request, [_SPEC.name])
            assert request == before
            assert _without(streamed, "tools", *streaming.arguments) == _without(request, "tools")

    def _streams(self) -> Iterator[tuple[Mode, tuple[Sequence[Any], Fold]]]:
        streaming: Streaming | None = getattr(self.wire, "streaming", None)
        for mode in self.wire.modes if streaming else ():
            chunks = self.chunks(self._answered(_ANSWER, mode))
            if streaming is not None and chunks is not None:
                yield mode, (chunks, streaming.fold(self._write(mode), [_SPEC]))

    def _finished(self, chunks: Sequence[Any]) -> Any:
        """What a stream of these chunks is put together to, or why it isn't."""
        streaming: Streaming = getattr(self.wire, "streaming")  # noqa: B009 - a wire may lack it
        fold = streaming.fold({}, [_SPEC])
        try:
            for chunk in chunks:
                list(fold.add(chunk))
            return fold.finish().body
        except ProviderError as error:
            return error

    def _write(self, mode: Mode) -> Request:
        binding: Binding = self.wire.bind(_SPEC, mode, True)
        return self.wire.write(_messages(), binding, "some-model", {})

    def _answered(self, text: str, mode: Mode) -> Any:
        return self.answered(text, mode, _SPEC.name)

    def _calling_modes(self) -> list[Mode]:
        return [mode for mode in self.wire.modes if mode in {Mode.TOOLS, Mode.RESPONSES_TOOLS}]

    def _judged(self, kind: type[_Error], completion: Any, mode: Mode) -> _Error:
        """Return what `read` raises, which is what `check` raises too."""
        error = _raised(kind, self._reader(completion, mode))
        same = _raised(kind, lambda: self.wire.check(completion))
        assert (type(same), str(same)) == (type(error), str(error))
        return error

    def _reader(self, completion: Any, mode: Mode) -> Callable[[], str]:
        return lambda: self.wire.read(completion, mode, [_SPEC.name])[0].text


def _messages() -> Messages:
    return [{"role": "system", "content": "Be exact."}, {"role": "user", "content": "Ada is 36."}]


def _dump(value: Any) -> str:
    """Write a request as JSON, which also proves that it can be sent."""
    return orjson.dumps(value).decode()


def _without(request: Request, *names: str) -> Request:
    return {key: value for key, value in request.items() if key not in names}


def _holds(request: Request, name: str, value: Any) -> bool:
    """Whether a member `name` with this value is anywhere in a request; some SDKs want it within a config.

    A wire may add to a mapping, such as a header of its own to the caller's.
    """
    return any(is_mapping(node) and name in node and _covers(node[name], value) for node in _walk(request))


def _covers(found: Any, value: Any) -> bool:
    return value.items() <= found.items() if is_mapping(value) and is_mapping(found) else found == value


def _mentions(turns: Any, answer: Any) -> bool:
    """Whether an answer is in a conversation, as a value or as JSON text."""
    texts = (node for node in _walk(turns) if isinstance(node, str))
    return any(node == answer for node in _walk(turns)) or any(_parse(text) == answer for text in texts)


def _texts(turns: Any) -> str:
    return "\n".join(node for node in _walk(turns) if isinstance(node, str))


def _parse(text: str) -> Any:
    try:
        return orjson.loads(find_json(text) or "null")
    except orjson.JSONDecodeError:
        return None


def _walk(node: Any) -> Iterator[Any]:
    yield node
    children = node.values() if is_mapping(node) else node if is_list(node) else ()
    for child in children:
        yield from _walk(child)


def _raised(kind: type[_Error], call: Callable[[], Any]) -> _Error:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised.")

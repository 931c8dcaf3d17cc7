"""The messages of a row: its own text, templates filled with its fields, or what a function makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

import orjson
from pydantic import BaseModel

from instructor.checks import check_messages
from instructor.describing import describe_value, refuse
from instructor.exceptions import ArgumentError, ConfigurationError, ValidationError
from instructor.jobs.sources import is_missing
from instructor.messages import Conversation, Messages, Value

if TYPE_CHECKING:
    from jinja2 import nodes as template_nodes

Prompt = Callable[[Any], str]
Writer = Callable[[Any], Conversation]
"""Makes the messages of a row."""

_TEXT_FIELDS = frozenset({"text", "message", "content"})
_NO_TEXT = "the record has no text"
_SPACES = " A field whose name has spaces is {{ record['Full name'] }}."
_MESSAGES = 'a list such as [{"role": "user", "content": "{{ text }}"}], or a function of the row; for one text there is prompt='


def make_writer(prompt: str | Prompt | None, messages: Messages | Writer | None) -> Writer:
    """Make the function that turns a row into the messages of its call.

    `prompt` is the text of a user's message, as a template or a function of the row. `messages` is a conversation in
    whose texts the row's fields are filled in, or a function of the row. With neither, a row that is a list is a
    conversation, and of any other its own text is sent.
    """
    if prompt is not None and messages is not None:
        raise ArgumentError("prompt= and messages= both say what to ask about a row. Leave one of them out.")
    for name, function in (("prompt", prompt), ("messages", messages)):
        if iscoroutinefunction(function):
            raise ArgumentError(
                f"{name}= is an async function. Pass a plain one; await what it needs in the rows' source."
            )
    if callable(messages):
        return messages
    if messages is not None:
        return _Conversation(messages).write
    if callable(prompt):
        return lambda row: [{"role": "user", "content": _check_text(prompt(row))}]
    write = make_prompt(prompt)
    if prompt is not None:
        return lambda row: [{"role": "user", "content": write(row)}]

    def write_messages(row: Value) -> Conversation:
        return _check_conversation(row) if type(row) is list else [{"role": "user", "content": write(row)}]

    return write_messages


def _check_conversation(row: Value) -> Conversation:
    """Refuse a list that isn't one: that is this row's own fault, where a call's wrong argument is that of every row."""
    try:
        check_messages(row, {})
    except ArgumentError as error:
        raise ValidationError(f"the record is a list, and not a conversation: {error}") from error
    return row


def _check_text(text: object) -> str:
    """Refuse what a user's function made of a row, unless it is a text."""
    if not isinstance(text, str):
        raise ValidationError(f"the prompt is {describe_value(text)}, and not a text: return one from prompt=")
    return _check(text)


class _Conversation:
    """Messages whose texts are templates. One that names no field is sent as it is."""

    def __init__(self, messages: Messages) -> None:
        if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
            raise refuse("messages", messages, _MESSAGES)
        texts = {index: message.get("content") for index, message in enumerate(messages)}
        filled = {index: text for index, text in texts.items() if isinstance(text, str) and "{{" in text}
        if not filled:
            raise ArgumentError(
                "messages= names no field, so every row would be the same question. Write the name of a field in double "
                "braces, such as {{ text }}, or pass a function of the row."
            )
        self._messages = messages
        self._templates = {index: _Template(text) for index, text in filled.items()}

    def write(self, row: Value) -> Messages:
        """Fill the templates with a row."""
        texts = {index: template.render(row) for index, template in self._templates.items()}
        return [
            {**message, "content": texts[index]} if index in texts else message
            for index, message in enumerate(self._messages)
        ]


def make_prompt(template: str | None) -> Prompt:
    """Make the function that turns a record into the text of the user's message.

    `template` is a Jinja2 template over the record's fields, such as ``"Classify: {{ text }}"``; a plain line has the field
    ``text``, and ``record`` is the record as a whole. Without one the record's text is sent: the line itself, the one field
    named text, message or content, or else the record as JSON. Raises ConfigurationError for a malformed template, or one
    that names no field.
    """
    if template is None:
        return show_record
    if not isinstance(template, str):
        raise refuse("prompt", template, 'a template such as "Sort: {{ text }}", or a function of the row')
    return _Template(template).render


def show_record(data: Value) -> str:
    """Return a record's own text; raise `ValidationError` if it has none."""
    if isinstance(data, str):
        return _check(data)
    data = _fields_of(data)
    named = [name for name in data if name.strip().lower() in _TEXT_FIELDS]
    if len(named) == 1:
        value = data[named[0]]
        return _check(value if isinstance(value, str) else "" if is_missing(value) else _dump(value))
    return _check(_dump(data) if data else "")


def _fields_of(row: Value) -> Mapping[str, Value]:
    """The fields of a row by name; what has none is the field ``text``."""
    if isinstance(row, str):
        return {"text": row}
    if isinstance(row, Mapping):
        return cast("Mapping[str, Value]", row)
    if isinstance(row, BaseModel):
        return dict(row)
    if dataclasses.is_dataclass(row):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    named: Any = getattr(row, "_asdict", None)
    return named() if named is not None else {"text": row}


class _Template:
    def __init__(self, source: str) -> None:
        from jinja2 import StrictUndefined, TemplateSyntaxError, meta
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_write)
        environment.filters["tojson"] = _dump
        try:
            tree = environment.parse(source)
            names = meta.find_undeclared_variables(tree)  # fails for filters and tests that don't exist
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            reason = (error.message or "").rstrip(".")
            hint = _SPACES if reason.startswith("expected token 'end of print statement'") else ""
            raise ConfigurationError(f"prompt= cannot be read: {reason} (line {error.lineno}).{hint}") from error
        except (RecursionError, SyntaxError) as error:  # from Python, to which Jinja compiles
            raise ConfigurationError(f"prompt= cannot be read: {error}. Nest it less deeply.") from error
        self._names = names - environment.globals.keys() - _find_guarded(tree) - {"record"}
        if not names:
            raise ConfigurationError(
                "prompt= names no field, so every record would be the same question. "
                "Write the name of a field in double braces, such as {{ text }}."
            )

    def render(self, data: Value) -> str:
        """Fill the template. The text of a record is never read as a template itself."""
        fields: Mapping[str, Value] = cast("dict[str, Value]", data) if type(data) is dict else _fields_of(data)
        if not self._names <= fields.keys():
            raise ConfigurationError(
                f"prompt= names the field {min(self._names - fields.keys())!r}, which the record does not have. "
                f"It has {', '.join(sorted(fields)) or 'none'}."
            )
        if self._names and all(_is_blank(fields[name]) for name in self._names):
            raise ValidationError(_NO_TEXT)
        try:
            text = self._template.render({"record": data, **fields})
        except Exception as error:  # a template may do anything with a field
            raise ValidationError(f"the prompt cannot be filled: {str(error) or type(error).__name__}") from error
        return _check(text)


def _find_guarded(tree: template_nodes.Template) -> set[str]:
    """Return the names that the template lets be missing: ``{{ name | default("") }}``, ``name is defined``."""
    from jinja2 import nodes

    guards = [node.node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    guards += [node.node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    return {node.name for node in guards if isinstance(node, nodes.Name)}


def _write(value: Value) -> Value:
    """What a template shows of a value: nothing of one that is missing."""
    return "" if is_missing(value) else value


def _is_blank(value: object) -> bool:
    return not value.strip() if isinstance(value, str) else is_missing(value)


def _dump(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _check(text: str) -> str:
    if not text.strip():
        raise ValidationError(_NO_TEXT)
    return text

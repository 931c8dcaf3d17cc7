"""The prompt of a record: its own text, or a template filled with its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from instructor.cli.records import Data
from instructor.exceptions import ConfigurationError, ValidationError

if TYPE_CHECKING:
    from jinja2 import nodes as template_nodes

Prompt = Callable[[Data], str]

_TEXT_FIELDS = frozenset({"text", "message", "content"})


def make_prompt(template: str | None) -> Prompt:
    """Make the function that turns a record into the text of the user's message.

    `template` is a Jinja2 template over the record's fields, such as ``"Classify: {{ text }}"``; a plain line has the field
    ``text``, and ``record`` is the record as a whole. Without one the record's text is sent: the line itself, the one field
    named text, message or content, or else the record as JSON. Raises ConfigurationError for a malformed template, or one
    that names no field.
    """
    return show_record if template is None else _Template(template).render


def show_record(data: Data) -> str:
    """Return a record's own text; raise `ValidationError` if it has none."""
    if isinstance(data, str):
        return _check(data)
    named = [name for name in data if name.strip().lower() in _TEXT_FIELDS]
    if len(named) == 1:
        value = data[named[0]]
        return _check(value if isinstance(value, str) else _dump(value))
    return _check(_dump(data) if data else "")


class _Template:
    def __init__(self, source: str) -> None:
        from jinja2 import StrictUndefined, TemplateSyntaxError, meta
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        environment.filters["tojson"] = _dump
        try:
            tree = environment.parse(source)
            names = meta.find_undeclared_variables(tree)  # fails for filters and tests that don't exist
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            reason = (error.message or "").rstrip(".")
            raise ConfigurationError(f"--prompt cannot be read: {reason} (line {error.lineno}).") from error
        except (RecursionError, SyntaxError) as error:  # from Python, to which Jinja compiles
            raise ConfigurationError(f"--prompt cannot be read: {error}. Nest it less deeply.") from error
        self._names = names - environment.globals.keys() - _find_guarded(tree)
        if not names:
            raise ConfigurationError(
                "--prompt names no field, so every record would be the same question. "
                "Write the name of a field in double braces, such as {{ text }}."
            )

    def render(self, data: Data) -> str:
        """Fill the template. The text of a record is never read as a template itself."""
        fields: dict[str, object] = {"text": data} if isinstance(data, str) else data
        missing = sorted(self._names - fields.keys() - {"record"})
        if missing:
            raise ConfigurationError(
                f"--prompt names the field {missing[0]!r}, which the record does not have. "
                f"It has {', '.join(sorted(fields)) or 'none'}."
            )
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


def _dump(value: object) -> str:
    return orjson.dumps(value, default=str).decode()


def _check(text: str) -> str:
    if not text.strip():
        raise ValidationError("the record has no text")
    return text

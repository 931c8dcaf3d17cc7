"""The cache key: SHA-256 over everything in a call that can affect the answer, in one canonical form."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

from instructor.cache.canonical import CONTEXT, MARK_TEXT, REQUEST, canonical_text, ignore, unreadable
from instructor.exceptions import ConfigurationError
from instructor.headers import describe_header, keyed_headers
from instructor.mode import Mode

FORMAT = 3
"""Raised when the same call would be answered differently, or gets another key; older entries are then not found."""

EXCLUDED_FROM_KEY = frozenset(
    {
        "api_key",
        "cache",
        "cache_namespace",
        "cache_ttl",
        "hooks",
        "max_retries",
        "max_seconds",
        "on_invalid",
        "timeout",
        "token_budget",
    }
)
"""Arguments that change how an answer is fetched, not which one it is."""


def make_cache_key(
    *, messages: object, model: str | None, response_model: object, mode: Mode | str | None = None, **rest: object
) -> str:
    """Make the key under which the answer of a call is stored. The client's own keys are made the same way.

    Use it to look an answer up by hand, or to key a cache of your own. The same call makes the same key in any
    process and on any machine.

    Args:
        messages: The conversation, as passed to ``create``.
        model: The model's name without the vendor's prefix.
        response_model: A pydantic model or any other type whose JSON Schema enters the key; None for none.
        mode: A `Mode` or its name, such as ``"TOOLS"``. Default: None.
        **rest: Whatever else makes a difference; None is the same as absent. The client adds ``provider``,
            ``endpoint``, ``wire``, ``shape``, ``arguments``, ``context``, ``strict``, ``namespace`` and ``format``.

    Returns:
        64 hexadecimal digits.

    Raises:
        NoCanonicalFormError: A value has no form that is the same in every process; the message names it.
        ConfigurationError: The response model is not a type.

    Example:
        >>> make_cache_key(messages=[], model="gpt-6-luna", response_model=int, mode="TOOLS")[:8]
        '7bd63500'
    """
    members = {
        "messages": messages,
        "mode": mode.name if isinstance(mode, Mode) else mode,
        "model": model,
        "schema": schema_of(response_model),
    }
    members.update((name, value) for name, value in rest.items() if value is not None)
    return digest({name: _member_text(name, value) for name, value in members.items()})


class KeyBuilder:
    """Makes the keys of one client's calls: the same as `make_cache_key`, but writes what never changes only once.

    Args:
        fixed: The members that never change, such as ``provider``, ``wire``, ``endpoint`` and ``mode``; None is the
            same as absent. ``format`` is added.

    Example:
        >>> builder = KeyBuilder({"mode": "TOOLS"})
        >>> key, plain = builder.key("null", "null", "gpt-6-luna", [], None, True, None, {})
        >>> len(key), plain
        (64, True)
    """

    def __init__(self, fixed: Mapping[str, object]) -> None:
        self._members = {**fixed, "format": FORMAT}

    @cached_property
    def _fixed_texts(self) -> dict[str, str]:
        return {name: _member_text(name, value) for name, value in self._members.items() if value is not None}

    def key(
        self,
        schema: str,
        shape: str,
        model: str,
        messages: object,
        context: Mapping[str, object] | None,
        strict: bool,
        namespace: str | None,
        arguments: Mapping[str, object],
        note: Callable[[object], None] = ignore,
    ) -> tuple[str, bool]:
        """Make the key of a call.

        Args:
            schema: The canonical text of the response model's schema.
            shape: The canonical text of what else a request shows of the response model.
            model: As for `make_cache_key`.
            messages: As for `make_cache_key`.
            context: The values that filled the templates in the messages.
            strict: Whether the answer is validated strictly.
            namespace: The partition of the cache.
            arguments: The call's other arguments, of which `keyed_arguments` enter the key.
            note: See `Form.note`.

        Returns:
            The key, and whether the call holds plain JSON data only: then equal encodings of two calls mean equal
            calls, and a `KeyMemo` may lead from the encoding to the key.

        Raises:
            NoCanonicalFormError: A value in the call has no form that is the same in every process.
        """
        members = {
            "arguments": keyed_arguments(arguments) or None,
            "context": context,
            "messages": messages,
            "model": model,
            "namespace": namespace,
            "strict": None if strict else False,
        }
        texts = {name: _member_text(name, value, note) for name, value in members.items() if value is not None}
        plain = not any(MARK_TEXT in text for text in texts.values())
        return digest({**self._fixed_texts, "schema": schema, "shape": shape, **texts}), plain


def digest(texts: Mapping[str, str]) -> str:
    """Hash an object whose members are given as canonical JSON texts.

    It hashes the text of ``json.dumps(members, sort_keys=True)``, without writing members that are the same for many
    calls, such as the schema, once more.
    """
    members = ", ".join(f"{_quoted(name)}: {texts[name]}" for name in sorted(texts))
    return hashlib.sha256(f"{{{members}}}".encode()).hexdigest()


_quoted = functools.lru_cache(256)(json.dumps)
"""A member's name as JSON; there are few, and each key has a dozen."""


def keyed_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """Keep the arguments that belong in a key: those that can affect the answer, unless None."""
    kept = {name: value for name, value in arguments.items() if value is not None and name not in EXCLUDED_FROM_KEY}
    value = kept.pop("extra_headers", None)
    if isinstance(value, Mapping):
        headers = cast("Mapping[str, object]", value)
        try:
            keyed = {
                name: describe_header(name, header) if isinstance(header, (str, bytes)) else header
                for name, header in keyed_headers(headers).items()
            }
        except Exception as error:
            raise unreadable("arguments.extra_headers", headers, error) from error
        kept.update({"extra_headers": keyed} if keyed else {})
    return kept


def schema_of(response_model: object) -> dict[str, Any] | None:
    """The JSON Schema of a response model of any kind; None for None."""
    if response_model is None:
        return None
    from pydantic import TypeAdapter

    from instructor.cache.json_schema import StableJsonSchema

    try:
        return TypeAdapter[object](cast("type", response_model)).json_schema(schema_generator=StableJsonSchema)
    except Exception as error:
        # For a value that is not a type, pydantic raises errors of many kinds, some of them Python's own.
        raise ConfigurationError(
            f"response_model {response_model!r} has no JSON Schema: {error}. Pass a type that pydantic can read."
        ) from error


def _member_text(name: str, value: object, note: Callable[[object], None] = ignore) -> str:
    form = CONTEXT if name == "context" else REQUEST
    return canonical_text(value, name, form._replace(note=note))

"""The cache key: SHA-256 over everything in a call that can affect the answer, in one canonical form."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from instructor.cache.call_notes import Sketch, hash_plain
from instructor.cache.canonical import CONTEXT, MARK, MARK_TEXT, REQUEST, canonical_text, ignore, unreadable
from instructor.exceptions import ConfigurationError
from instructor.headers import describe_header, keyed_headers
from instructor.mode import Mode

FORMAT = 3
"""Raised when the same call would be answered differently, or gets another key; older entries are then not found."""

EXCLUDED_FROM_KEY = frozenset(
    {
        "api_key",
        "autodetect_images",
        "cache",
        "cache_mode",
        "budget",
        "cache_namespace",
        "cache_pace",
        "cache_salt",
        "cache_tags",
        "cache_ttl",
        "hooks",
        "limits",
        "max_age",
        "max_retries",
        "max_seconds",
        "on_invalid",
        "media_policy",
        "prompt_cache",
        "refresh_early",
        "explain_misses",
        "samples",
        "schema_match",
        "stale_if_error",
        "stale_while_revalidate",
        "timeout",
        "token_budget",
        "validate_partial",
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
            ``endpoint``, ``wire``, ``shape``, ``arguments``, ``context``, ``strict``, ``namespace``, ``salt`` and ``format``.

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


KeyMembers = tuple[
    str,
    str,
    str,
    object,
    Mapping[str, object] | None,
    bool,
    str | None,
    Mapping[str, object],
    Callable[[object], None],
    str | None,
]
"""The arguments of `KeyBuilder.key`, in their order."""


class KeyBuilder:
    """Makes the keys of one client's calls: the same as `make_cache_key`, but writes what never changes only once.

    `fixed` holds the members that never change, such as ``provider``, ``wire``, ``endpoint`` and ``mode``; None is the
    same as absent. ``format`` is added.

    Example:
        >>> builder = KeyBuilder({"mode": "TOOLS"})
        >>> key, plain = builder.key("null", "null", "gpt-6-luna", [], None, True, None, {})
        >>> len(key), plain
        (64, True)
    """

    def __init__(self, fixed: Mapping[str, object]) -> None:
        self._members = {**fixed, "format": FORMAT}
        self._find_frame = functools.lru_cache(_MOST_FRAMES)(self._make_frame)

    def _make_frame(
        self, schema: str, shape: str, model: str, strict: bool, namespace: str | None, salt: str | None
    ) -> tuple[dict[str, str], str, str, bool]:
        """Write the members that many calls have in common, each and as the texts before and after the messages.

        It also says whether they hold plain JSON data only.
        """
        own = {"model": model, "namespace": namespace, "salt": salt, "strict": None if strict else False}
        texts = {name: _member_text(name, value) for name, value in own.items() if value is not None}
        fixed = {name: _member_text(name, value) for name, value in self._members.items() if value is not None}
        members = {**fixed, "schema": schema, "shape": shape, **texts}
        plain = not any(MARK_TEXT in text for text in texts.values())
        frame = {name: _write_member(name, text) for name, text in members.items()}
        before = "".join(f"{frame[name]}, " for name in sorted(frame) if name < "messages")
        after = "".join(f", {frame[name]}" for name in sorted(frame) if name > "messages")
        return frame, before, after, plain

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
        salt: str | None = None,
    ) -> tuple[str, bool]:
        """Make the key of a call, and say whether the call holds plain JSON data only.

        If so, equal encodings of two calls mean equal calls, and a `KeyMemo` may lead from the encoding to the key.
        `schema` and `shape` are canonical texts: of the response model's schema, and of what else a request shows of it.
        `context` holds what filled the templates in the messages, `arguments` what `keyed_arguments` chooses from, and
        `salt` a text of the caller's that makes another key.

        Raises NoCanonicalFormError if a value in the call has no form that is the same in every process.
        """
        frame, before, after, plain = self._find_frame(schema, shape, model, strict, namespace, salt)
        text = _write_flat(messages) or _member_text("messages", messages, note)
        plain = plain and MARK_TEXT not in text
        if not arguments and context is None:  # as in most calls: the frame is in order
            return _hash_text(f'{before}"messages": {text}{after}'), plain
        members, more = _join(frame, text, arguments, context, note)
        return _hash_members(members), plain and not any(MARK_TEXT in text for text in more)

    def describe(
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
        salt: str | None = None,
    ) -> dict[str, str]:
        """The canonical texts of what is in a call's key, without ``format``. The arguments and errors are those of `key`."""
        frame, *_ = self._find_frame(schema, shape, model, strict, namespace, salt)
        members, _ = _join(frame, _member_text("messages", messages, note), arguments, context, note)
        return {name: text[len(_write_member(name, "")) :] for name, text in members.items() if name != "format"}

    def sketch(
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
        salt: str | None = None,
        *,
        response_model: str = "",
    ) -> Sketch:
        """What a call is compared with others by, without writing its messages. The arguments are those of `key`."""
        frame, before, after, _ = self._find_frame(schema, shape, model, strict, namespace, salt)
        more = keyed_arguments(arguments) if arguments else {}
        hashed = tuple(sorted((name, hash_plain(value)) for name, value in more.items())) if more else ()
        filled = 0 if context is None else hash_plain(context)
        members = (schema, shape, model, messages, context, strict, namespace, arguments, note, salt)
        return Sketch(
            frame,
            hash((before, after, hashed, filled)),
            hash_plain(messages),
            hashed,
            filled,
            response_model,
            messages,
            functools.partial(self.describe, *members),
        )


def _join(
    frame: Mapping[str, str],
    messages: str,
    arguments: Mapping[str, object],
    context: Mapping[str, object] | None,
    note: Callable[[object], None],
) -> tuple[dict[str, str], list[str]]:
    """Write the members of a key that has more than a frame and messages; also, as texts, those that were added."""
    members = {**frame, "messages": _write_member("messages", messages)}
    more = {"arguments": keyed_arguments(arguments) or None if arguments else None, "context": context}
    texts = {name: _member_text(name, value, note) for name, value in more.items() if value is not None}
    return members | {name: _write_member(name, text) for name, text in texts.items()}, list(texts.values())


_MOST_FRAMES = 256
"""Pairs of a response model and a namespace, or the like, whose texts a `KeyBuilder` remembers."""


def digest(texts: Mapping[str, str]) -> str:
    """Hash an object from its members' canonical JSON texts.

    It hashes the text of ``json.dumps(members, sort_keys=True)``, without writing members that are the same for many
    calls, such as the schema, once more.
    """
    return _hash_members({name: _write_member(name, text) for name, text in texts.items()})


def _hash_members(members: Mapping[str, str]) -> str:
    return _hash_text(", ".join(map(members.__getitem__, sorted(members))))


def _hash_text(text: str) -> str:
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


def _write_member(name: str, text: str) -> str:
    return f"{_quoted(name)}: {text}"


_quoted = functools.lru_cache(256)(json.dumps)
"""A member's name as JSON; there are few, and each key has a dozen."""


def _write_flat(messages: object) -> str | None:
    """Write messages that are a list of dicts of texts, as most are: they are their own canonical form. None for others."""
    if type(messages) is not list:
        return None
    texts: list[str] = []
    for message in cast("list[object]", messages):
        if type(message) is not dict:
            return None
        members = cast("dict[object, object]", message)
        for name, value in members.items():
            if type(value) is not str or type(name) is not str or name[:1] == MARK:
                return None
        named = cast("dict[str, str]", members)
        texts.append(", ".join([f"{_quoted(name)}: {_quote(named[name])}" for name in sorted(named)]))
    return f"[{', '.join([f'{{{text}}}' for text in texts])}]"


_quote = json.encoder.encode_basestring_ascii
"""Writes a text as ``json`` does, without the encoder around it."""


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
    # No provider sees a namespace, so no two are written alike, as with contexts. A member of a `StrEnum` is its text.
    form = CONTEXT if name == "context" or (name == "namespace" and type(value) is str) else REQUEST
    return canonical_text(value, name, form._replace(note=note))

"""Completions as text and back: what `Adapter.dump` and `Adapter.load` do, for any SDK built on pydantic."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import field
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

import orjson

from instructor.exceptions import CacheEntryError
from instructor.received import Received
from instructor.records import record

_MISSING = object()
"""Stands for an attribute that a completion lacks."""


@record
class Codec:
    """How one SDK's completions are written and read.

    The text holds a tag of `kinds`, never the name of something to import, so that nobody who can write to a
    store chooses what is loaded.

    Attributes:
        kinds: The SDK's classes of completions, by tag: ``{"ChatCompletion": "openai.types.chat"}`` means the
            class of that name in that module.
        read: Makes a completion of its class and its data.
        write: Turns a completion into data that `write_json` takes; None where that takes the completion itself.
        private: Attributes that the SDK sets beside the data, kept where they are there.
        takes_data: Whether completions may be made here of the data of a live answer, as the SDK itself makes them.
    """

    kinds: Mapping[str, str]
    read: Callable[[Any, Any], Any]
    write: Callable[[Any], Any] | None = None
    private: tuple[str, ...] = field(default=())
    takes_data: bool = field(default=False)

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        if type(completion) is Received:
            return self._write(completion.kind, completion.private, completion.data)
        kind = type(completion).__name__
        if kind not in self.kinds or self._loaded(kind) is not type(completion):
            raise CacheEntryError(f"A completion of type {_full_name(completion)} cannot be stored.")
        private: dict[str, str | None] = {}
        for name in self.private:
            value = getattr(completion, name, _MISSING)
            if value is None or isinstance(value, str):  # the SDK sets None where the server sent no such header
                private[name] = value
        return self._write(kind, private, completion)

    def _write(self, kind: str, private: Mapping[str, str | None], completion: Any) -> str:
        try:
            body = completion if self.write is None else self.write(completion)
            return write_json({"kind": kind, "private": private, "body": body})
        except (TypeError, ValueError, RecursionError) as error:
            raise CacheEntryError(f"The completion cannot be stored: {error}") from error

    def complete(self, received: Received) -> Any:
        """Make the completion of an answer that came as data."""
        return _attach(self.make(received.kind, received.data), received.private)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote; a ``SimpleNamespace`` where the SDK is not installed."""
        try:
            data = json.loads(text)
            kind, body = data["kind"], data["body"]
            private = {name: _read_text(data["private"][name]) for name in self.private if name in data["private"]}
            module = self.kinds[kind]
        except (ValueError, KeyError, TypeError) as error:
            raise CacheEntryError(f"The stored completion cannot be read: {error!r}") from error
        try:
            return _attach(self.make(kind, body), private)
        except (ValueError, TypeError) as error:
            raise CacheEntryError(f"The installed {module.partition('.')[0]} cannot make it: {error}") from error

    def make(self, kind: str, body: Any) -> Any:
        """Make a completion of its class's name and its data; a ``SimpleNamespace`` where the SDK is not installed.

        A stream is put together under the name of OpenAI's class, for which the SDK may have another.
        """
        kind = kind if kind in self.kinds else next(iter(self.kinds))
        try:
            model = getattr(import_module(self.kinds[kind]), kind)
        except (ImportError, AttributeError):
            return _make_namespace(body)
        return self.read(model, body)

    def _loaded(self, kind: str) -> Any:
        # The completion exists, so its module is loaded; nothing is imported to look.
        return getattr(sys.modules.get(self.kinds[kind]), kind, None)


class DataCodec:
    """Writes and reads completions that are plain JSON data, such as the dicts that boto3 returns.

    The whole completion is stored, so a function that returns one should leave credentials and cookies out of it.
    """

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        if not is_plain(completion):
            raise CacheEntryError("The completion cannot be stored: it holds something that JSON cannot express.")
        return write_json(completion)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        try:
            return json.loads(text)
        except ValueError as error:
            raise CacheEntryError(f"The stored completion cannot be read: {error!r}") from error

    def make(self, kind: str, body: Any) -> Any:
        """Return the data, which is the completion."""
        del kind
        return body


def is_plain(value: object) -> bool:
    """Whether a value is JSON data that reads back equal. Subclasses do not count: an enum's member may be a str too."""
    if type(value) is dict:
        return all(type(key) is str and is_plain(member) for key, member in cast("dict[Any, Any]", value).items())
    if type(value) is list:
        return all(map(is_plain, cast("list[Any]", value)))
    return value is None or type(value) in (str, int, float, bool)


def construct_members(model: Any, body: Any) -> Any:
    """Make a completion as an SDK that validates nothing does: unknown members and values stay as they are."""
    return model.construct(**body)


def write_json(data: Any) -> str:
    """Write plain data, and objects that `write_object` knows, as one line of JSON that any store can encode.

    A provider's JSON may hold what only ``json`` writes and reads back, and a faster writer doesn't: integers of any
    size, ``NaN``, and halves of surrogate pairs, which no UTF-8 text can hold unescaped.
    """
    from instructor.wires.members import write_object, write_plain

    try:
        return orjson.dumps(write_plain(data)).decode()
    except TypeError:
        return json.dumps(data, separators=(",", ":"), default=write_object)


def _make_namespace(body: Any) -> Any:
    return json.loads(json.dumps(body), object_hook=lambda members: SimpleNamespace(**members))


def _read_text(value: Any) -> str | None:
    return None if value is None else str(value)


def _attach(completion: Any, private: Mapping[str, str | None]) -> Any:
    for name, value in private.items():
        setattr(completion, name, value)
    return completion


def _full_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"

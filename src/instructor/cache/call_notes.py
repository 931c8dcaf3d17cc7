"""What a process remembers of the calls whose answers are stored, to say why another call missed.

Nothing of what was asked is kept but hashes that mean nothing outside of the process. The other members of a key, such
as the schema, are shared by many calls, so their texts are kept and can be compared.
"""

from __future__ import annotations

import json
import marshal
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from instructor.cache.misses import COLD, EXPIRED, GONE, Diagnosis, name_cause
from instructor.locks import make_lock

if TYPE_CHECKING:
    from instructor.cache.differing import Difference

MOST_CALLS, MOST_BYTES = 2_048, 4 << 20
"""Calls that a store's handle remembers, and an estimate of their bytes."""

_MOST_ALIKE = 8
"""Calls with the same messages that are compared."""

_BYTES_OF_CALL = 500
_EXACT = 2  # marshal's format that depends on nothing but the value

Frame = Mapping[str, str]
"""The members of a key that many calls share, each as it is written there. Calls that have all in common share it."""


class Sketch(NamedTuple):
    """What a call consists of, cheaply.

    Attributes:
        frame: What it shares with other calls.
        settings: A hash of all but the messages.
        prompt: A hash of the messages.
        arguments: Names and hashes of the arguments in the key.
        context: A hash of the context; 0 for none.
        response_model: The name of the response model.
        messages: The messages, which are not remembered.
        describe: Writes all members, as canonical JSON.
    """

    frame: Frame
    settings: int
    prompt: int
    arguments: tuple[tuple[str, int], ...]
    context: int
    response_model: str
    messages: object
    describe: Callable[[], dict[str, str]]


def hash_plain(value: Any) -> int:
    """Hash what is likely plain data, for comparisons in this process."""
    try:
        return hash(marshal.dumps(value, _EXACT))
    except ValueError:  # an object, such as a medium: by its repr, which names what its hash is made of
        return hash(repr(value))


class Noted(NamedTuple):
    """A call whose answer is stored; the members are those of its `Sketch`, and those of its entry."""

    key: str
    expires: float | None
    frame: Frame
    settings: int
    prompt: int
    arguments: tuple[tuple[str, int], ...]
    context: int
    response_model: str


class CallNotes:
    """The latest calls whose answers were stored in, or served from, one store."""

    def __init__(self) -> None:
        self._lock = make_lock()
        self._calls: dict[str, Noted] = {}
        self._added: OrderedDict[str, Noted] = OrderedDict()
        self._by_prompt: dict[int, list[Noted]] = {}
        self._by_settings: dict[int, Noted] = {}
        self._frames: dict[int, int] = {}
        self._bytes = 0

    def note(self, key: str, expires: float | None, sketch: Callable[[], Sketch | None]) -> None:
        """Remember a call. `sketch` is only made of one that isn't remembered yet."""
        known = self._added.get(key) or self._calls.get(key)
        if known is not None and known.expires == expires:
            return
        made = sketch()
        if made is None:
            return
        noted = Noted(
            key, expires, made.frame, made.settings, made.prompt, made.arguments, made.context, made.response_model
        )
        with self._lock:
            self._added.pop(key, None)
            self._added[key] = noted
            if len(self._added) > MOST_CALLS:
                self._added.popitem(last=False)
        if id(noted.frame) not in self._frames:  # whose bytes are to be counted
            self._sort_in()

    def _sort_in(self) -> None:
        """Enter what was added into the tables by which calls are compared. Most programs never ask for that."""
        with self._lock:
            for key, noted in self._added.items():
                self._remove(key)
                self._add(noted)
            self._added.clear()
            while len(self._calls) > MOST_CALLS or (self._bytes > MOST_BYTES and len(self._calls) > 1):
                self._remove(next(iter(self._calls)))

    def _add(self, noted: Noted) -> None:
        self._calls[noted.key] = noted
        alike = self._by_prompt.setdefault(noted.prompt, [])
        alike.insert(0, noted)
        del alike[_MOST_ALIKE:]
        self._by_settings[noted.settings] = noted
        self._count(noted.frame, 1)

    def _remove(self, key: str) -> None:
        noted = self._calls.pop(key, None)
        if noted is None:
            return
        alike = [one for one in self._by_prompt.pop(noted.prompt, ()) if one is not noted]
        if alike:
            self._by_prompt[noted.prompt] = alike
        if self._by_settings.get(noted.settings) is noted:
            del self._by_settings[noted.settings]
        self._count(noted.frame, -1)

    def _count(self, frame: Frame, number: int) -> None:
        name = id(frame)
        uses = self._frames.get(name, 0) + number
        if uses == 0:
            del self._frames[name]
        else:
            self._frames[name] = uses
        changed = uses == 0 or (uses == 1 and number == 1)
        self._bytes += number * (_BYTES_OF_CALL + (sum(map(len, frame.values())) if changed else 0))

    def diagnose(self, key: str, now: float, sketch: Callable[[], Sketch | None]) -> Diagnosis:
        """Say why nothing is stored for a call."""
        self._sort_in()
        known = self._calls.get(key)
        if known is not None:
            return Diagnosis(EXPIRED if known.expires is not None and known.expires <= now else GONE)
        asked = sketch()
        if asked is None:
            return Diagnosis(COLD)
        if asked.prompt not in self._by_prompt:
            same = self._by_settings.get(asked.settings)
            return _COLD if same is None else Diagnosis(_OTHER_PROMPT, same.key, _where(same))
        alike = list(self._alike(asked))
        return _tell(*min(alike, key=lambda one: len(one[1])), asked) if alike else _COLD

    def other_versions(self, sketch: Sketch) -> list[str]:
        """The keys of calls that differ in nothing but the schema of a response model of one name, the latest first."""
        self._sort_in()
        return [
            noted.key
            for noted, names in self._alike(sketch)
            if noted.response_model == sketch.response_model and {*names} <= {"schema", "shape"}
        ]

    def with_settings(self, sketch: Sketch) -> list[str]:
        """The keys of calls that differ in nothing but their messages, the latest first."""
        self._sort_in()
        with self._lock:
            return [key for key, noted in reversed(self._calls.items()) if noted.settings == sketch.settings]

    def _alike(self, asked: Sketch) -> Iterator[tuple[Noted, list[str]]]:
        """Calls with the same messages, and in which other members they differ."""
        for noted in self._by_prompt.get(asked.prompt, ())[:]:
            yield noted, list(_compare(noted, asked))


_COLD = Diagnosis(COLD)
_OTHER_PROMPT = name_cause(["messages"])


def _compare(noted: Noted, asked: Sketch) -> Iterator[str]:
    if noted.frame is not asked.frame:
        names = dict.fromkeys((*asked.frame, *noted.frame))
        yield from (name for name in names if noted.frame.get(name) != asked.frame.get(name))
    if noted.arguments != asked.arguments:
        yield from (f"arguments.{name}" for name, _ in {*noted.arguments} ^ {*asked.arguments})
    if noted.context != asked.context:
        yield "context"


def _tell(noted: Noted, names: list[str], asked: Sketch) -> Diagnosis:
    cause = name_cause(dict.fromkeys(sorted(names)))
    shown = next((name for name in ("schema", *names) if name in names and name in {*noted.frame, *asked.frame}), None)
    if shown is None or cause.reason == "namespace":
        return Diagnosis(cause, noted.key, _where(noted))
    difference = _find(noted.frame.get(shown), asked.frame.get(shown))
    others = [name for name in dict.fromkeys(sorted(names)) if name not in (shown, "shape")]
    detail = ", ".join([difference.field if difference is not None else shown, *others])
    return Diagnosis(cause._replace(detail=detail), noted.key, _where(noted), difference)


def _where(noted: Noted) -> str:
    return f"under the key {noted.key[:12]}"


@lru_cache(64)
def _find(stored: str | None, asked: str | None) -> Difference | None:
    """The first difference in a member; many calls share it, as after a change of a response model."""
    from instructor.cache.differing import find_difference
    from instructor.cache.redaction import Redactor  # few misses need it

    redact = Redactor()
    one, other = (redact(json.loads(f"{{{text or ''}}}")) for text in (stored, asked))
    return find_difference(one, other)

"""The way of a hit from memory: from the user's words to the answer, without building a call.

Everything here is measured (``make bench``). A line more is a line on the way of every cached call.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from instructor.hooks import HookName
from instructor.locks import make_lock
from instructor.messages import Part

if TYPE_CHECKING:
    from instructor.cache.store import LocalStore
    from instructor.engine.client_stats import ClientStats
    from instructor.engine.plan import Plans
    from instructor.hooks import Hooks

_EXACT = 2
"""The version of marshal's format that depends on nothing but the value: no reference counts, no interning."""


class Missing:
    """Stands for "nothing found", because None is an answer."""


MISSING: Final = Missing()


class KeyMemo:
    """Leads from a fast, exact encoding of what a call says to its key, which takes longer to work out.

    `marshal` tells apart whatever differs in type or value, except that every buffer (a bytearray, an array) looks
    like bytes to it. So it leads only to the keys of plain JSON data, and two calls with one encoding have one key.
    Any other call has its key worked out each time. Bounded in number and in bytes; when
    full it is emptied, because what is asked again comes back at once.
    """

    def __init__(self, most_keys: int = 16_384, most_bytes: int = 32 << 20) -> None:
        self.keys: dict[bytes, str] = {}
        self._most_keys = most_keys
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = make_lock()

    def remember(self, encoding: bytes, key: str) -> None:
        """Keep a key that was worked out."""
        size = len(encoding)
        if size * 8 > self._most_bytes:
            return
        with self._lock:
            if len(self.keys) >= self._most_keys or self._bytes + size > self._most_bytes:
                self.keys = {}
                self._bytes = 0
            self.keys[encoding] = key
            self._bytes += size


def encode(
    number: int, messages: Any, context: Any, strict: bool | None, namespace: str | None, arguments: Any
) -> bytes | None:
    """Encode what a call says, exactly and fast; None if it is not plain data.

    Most calls say no more than their messages; theirs is a shorter tuple, which no longer one equals.
    """
    short = context is None and strict is None and namespace is None and not arguments
    said = (number, messages) if short else (number, messages, context, strict, namespace, arguments)
    try:
        return marshal.dumps(said, _EXACT)
    except ValueError:
        return None


def make_memory_lookup(
    local: LocalStore, plans: Plans, memo: KeyMemo, stats: ClientStats, hooks: Hooks, namespace: str | None
) -> Callable[[Any, Any, Any, bool | None, dict[str, Any]], Any]:
    """Make the function that answers from one client's memory store, where a call says nothing about its cache.

    It is a closure, because reading a variable of one takes half as long as an attribute.
    """
    find, by_class, find_plan, count = local.find, plans.by_class, plans.find, stats.hit
    dumps, handlers, hit = marshal.dumps, hooks.handlers, HookName.CACHE_HIT

    def memory_lookup(model: Any, messages: Any, context: Any, strict: bool | None, arguments: dict[str, Any]) -> Any:
        """The caller's copy of a stored answer, or `MISSING`: then the flow finds out why, and tells of it."""
        plan = by_class.get(id(model)) or find_plan(model)
        if plan is None or plan.type is None or (handlers and hit in handlers):
            return MISSING
        try:
            if context is None and strict is None and namespace is None and not arguments:
                encoding = dumps((plan.number, messages), _EXACT)
            else:
                encoding = dumps((plan.number, messages, context, strict, namespace, arguments), _EXACT)
            entry = find(memo.keys[encoding])
            if entry is None:
                return MISSING
            if plan.direct:
                validator = model.__pydantic_validator__
                value = validator.validate_json(entry.answer, strict=strict is not False, context=context)
            else:
                value = plan.type.parse((Part("", entry.answer),), strict is not False, context)
        except Exception:  # noqa: BLE001 - not plain data, not seen before, or refused: the flow judges all of them
            return MISSING
        count(entry)
        return value

    return memory_lookup

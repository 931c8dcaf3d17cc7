"""The fast path: a hit in memory, from the caller's words to the answer, without a call object and without a flow.

It is `judge` of ``engine/lookup.py``, written out for entries in memory; whatever it can't serve, the flow looks at.
Everything here is measured (``make bench``): each line runs on every cache hit.
"""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from instructor.engine.key_memo import EXACT, NOT_KEYED, shorten
from instructor.hooks import CacheEvent, Hooks, HookName

if TYPE_CHECKING:
    from instructor.cache.hits import HitLog
    from instructor.cache.store import LocalStore
    from instructor.engine.key_memo import KeyMemo
    from instructor.engine.plan import Plans


class Missing:
    """Stands for "nothing found", because None is an answer."""


MISSING: Final = Missing()


class Refused(NamedTuple):
    """The fast path found an entry that it can't serve. The flow need not look it up again.

    Attributes:
        reason: Why, for the event of the miss.
    """

    reason: str


class Memory(NamedTuple):
    """A store in this process's memory, as one client reads it.

    Attributes:
        store: The store.
        hits: Where its hits are noted.
    """

    store: LocalStore
    hits: HitLog


class Asker(NamedTuple):
    """What the fast path knows of its client. All of it stays the same for the client's life.

    Attributes:
        provider: The vendor's name, for events.
        model: The model that is asked unless a call names another.
        plans: The response models seen so far, compiled.
        memo: Leads from an encoding to a key.
        hooks: The client's handlers.
        context: For validators, where a call brings none.
        strict: Whether validation is strict, where a call doesn't say.
        find_memory: Finds the memory to read for a call with ``cache=``; None where that isn't memory.
        load: Makes a completion of its text.
    """

    provider: str
    model: str | None
    plans: Plans
    memo: KeyMemo
    hooks: Hooks
    context: Mapping[str, Any] | None
    strict: bool
    find_memory: Callable[[Any], Memory | None]
    load: Callable[[str], Any]


Lookup = Callable[[Any, Any, dict[str, Any], bool], Any]
"""Called with the response model, the messages, the other keywords, and whether the completion is wanted too."""


def make_memory_lookup(asker: Asker, memory: Memory | None) -> Lookup:
    """Make the function that answers from memory.

    It is a closure, because reading a variable of one takes half as long as an attribute.

    Args:
        asker: The client.
        memory: The client's own memory; None if its cache begins with another store.
    """
    by_class, find_plan, load = asker.plans.by_class, asker.plans.find, asker.load
    memo, handlers = asker.memo, asker.hooks.handlers
    dumps, now, hit_name = marshal.dumps, time.time, HookName.CACHE_HIT
    own_context, own_strict = asker.context, asker.strict
    own_find, own_hit = (memory.store.find, memory.hits.hit) if memory else (None, None)

    def lookup(model: Any, messages: Any, keywords: dict[str, Any], with_completion: bool) -> Any:
        """The caller's copy of a stored answer, `Refused`, or `MISSING`: then the flow finds out why, and tells."""
        plan = by_class.get(id(model)) or find_plan(model)
        if plan is None:
            return MISSING
        find, hit, context, strict, hooks = own_find, own_hit, own_context, own_strict, None
        try:
            if keywords:
                options = keywords
                if not keywords.keys().isdisjoint(NOT_KEYED):
                    chosen = find_settings(keywords, memory)
                    if chosen is None:
                        return MISSING
                    chosen_memory, hooks, options = chosen
                    find, hit = chosen_memory.store.find, chosen_memory.hits.hit
                context = options.get("context") or context
                if (given := options.get("strict")) is not None:
                    strict = given is not False
            else:
                options = keywords
            if find is None or hit is None:
                return MISSING
            text = shorten(messages) if memo.sees_long else messages
            encoding = dumps((plan.number, text, options) if options else (plan.number, text), EXACT)
            key = memo.young.get(encoding) or memo.find(encoding)
            entry = find(key) if key is not None else None
        except ValueError:  # not plain data
            return MISSING
        if entry is None or (entry.expires is not None and entry.expires <= now()):
            return MISSING
        try:
            if plan.direct:
                validator = model.__pydantic_validator__
                value = validator.validate_json(entry.parts[0].text, strict=strict, context=context)
            elif plan.type is not None:
                value = plan.type.parse(entry.parts, strict, context)
            else:
                value = load(entry.completion)
            if with_completion:
                value = (value, value if plan.type is None else load(entry.completion))
        except Exception as error:  # noqa: BLE001 - whatever today's validators raise
            return Refused(f"refused: {type(error).__name__}")
        hit(entry)
        return value

    return lookup

"""The fast path: from the caller's words to a stored answer, without a call object and without a flow.

It is `judge` of ``engine/tier_lookup.py``, written out. It reads memory for everybody, and any other store for callers that
may be blocked. Whatever it can't serve goes on to the flow, with what was found.
Everything here is measured (``make bench``): each line runs on every cache hit.
"""

from __future__ import annotations

import marshal
import sys
import time
from collections.abc import Callable, Mapping, Sized
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from instructor import debug_log
from instructor.cache.carried import Carried, Load, Saved, put_carried
from instructor.cache.entry import Entry, Tagged, make_carried
from instructor.cache.hits import MOST_NOTED
from instructor.cache.kept import Kept
from instructor.cache.listing import are_tags
from instructor.cache.misses import EXPIRED, INVALIDATED, refused
from instructor.cache_modes import LOOKING, active, is_overruled
from instructor.engine.freshness import LONGEST_TTL
from instructor.engine.key_memo import EXACT, NOT_KEYED, Frozen, name_of_frozen
from instructor.engine.parsing import parse_with
from instructor.engine.path import FindLater, Unserved
from instructor.engine.retry import KNOWN_POLICIES
from instructor.hooks import CacheEvent, HookName, Hooks
from instructor.messages import Conversation, ResponseModel, Value
from instructor.options import OPTION_NAMES

if TYPE_CHECKING:
    from instructor.cache.hits import HitLog
    from instructor.engine.key_memo import KeyMemo
    from instructor.engine.plan import Plans


class Missing:
    """Stands for "nothing found", because None is an answer."""


MISSING: Final = Missing()

_CACHE_HIT: Final = HookName.CACHE_HIT
"""To ask an enumeration for a member takes as long as five other attributes."""


Keywords = dict[str, Any]
Encoding = bytes | Frozen | None

_READ_AGAIN = -1
"""Stands for a number of flights that is never the present one, so that the flow reads the store again."""


class Reading(NamedTuple):
    """A task has to await a store before it can go on.

    Attributes:
        find: Looks the key up.
        encoding: The call's encoding; see `Unserved.encoding`.
    """

    find: FindLater
    key: str
    encoding: bytes | Frozen | None = None


ReadResult = Kept | Entry | Unserved | Reading | None


class Place(NamedTuple):
    """A store that the fast path may read, because it is memory or because the caller may be blocked.

    Attributes:
        find: Looks a key up. For a task that must not be blocked it returns how to do so, as a `Reading`.
        note: Notes what a hit saved.
        noted: What was noted and isn't counted yet.
        hits: Counts it.
        names: The class names of the stores on the path, and that of this store, for events.
        check: Whether an answer with tags may be served; None where only the flow can say. See `CachePath.check`.
    """

    find: Callable[[str], ReadResult]
    note: Callable[[Saved], None]
    noted: Sized
    hits: HitLog
    names: tuple[str, str]
    check: Callable[[Tagged], bool] | None = None


class Asker(NamedTuple):
    """What the fast path knows of its client. All of it stays the same for the client's life.

    Attributes:
        model: The model that is asked unless a call names another.
        plans: The response models seen so far, compiled.
        memo: Leads from an encoding to a key.
        context: For validators, where a call brings none.
        strict: Whether validation is strict, where a call doesn't say.
        find_place: Finds what to read for a call with ``cache=``; None where the fast path may not read it.
        load: Makes an entry's completion.
        load_text: Makes a completion of its text, for answers to carry.
        asynchronous: Whether handlers may have to be awaited.
    """

    provider: str
    model: str | None
    plans: Plans
    memo: KeyMemo
    hooks: Hooks
    context: Mapping[str, Any] | None
    strict: bool
    find_place: Callable[[Any], Place | None]
    load: Callable[[Kept | Entry], Any]
    load_text: Load
    asynchronous: bool


Lookup = Callable[..., Any]
"""Called with the response model, the messages, the other keywords, whether the completion is wanted too, and what a
`Reading` has brought."""


class Pending(NamedTuple):
    """A value whose handlers are still to be called: the asynchronous client awaits them before it returns the value.

    Attributes:
        hooks: Whose handlers to call.
        event: What they receive.
    """

    value: Value
    hooks: Hooks
    event: CacheEvent


def make_lookup(asker: Asker, own_place: Place | None) -> Lookup:  # noqa: C901 - `lookup` is counted in
    """Make the function that answers without a flow, for a client.

    It is a closure, because reading a variable of one takes half as long as an attribute, and takes the place apart as an
    exact tuple, which takes a third of a named one's time.

    `own_place` is the first store of the client's own path; None if the fast path may not read it.
    """
    _, _, plans, memo, own_hooks, own_context, own_strict, _, load, load_text, _ = asker
    by_class, find_plan, own_handlers = plans.by_class, plans.find_served, own_hooks.handlers
    own, dumps, now, debugging, blocks = exact(own_place), marshal.dumps, time.time, debug_log.enabled, active

    def lookup(  # noqa: C901, PLR0911, PLR0912 - calls cost more than branches here
        model: ResponseModel,
        messages: Conversation,
        keywords: Keywords,
        with_completion: bool,
        read: ReadResult = None,
        encoding: Encoding = None,
    ) -> Any:
        """The caller's copy of a stored answer; `Unserved` or `MISSING`: then the flow goes on; or a `Reading`."""
        plan = by_class.get(id(model)) or find_plan(model)
        if plan is None or (blocks and is_overruled(keywords.get("cache_mode"))):
            return MISSING
        place, context, strict, hooks, entry = own, own_context, own_strict, own_hooks, read
        try:
            if keywords:
                place, keywords, context, strict, hooks = settle(asker, own_place, keywords)
            if place is None:
                return MISSING
            find, note, noted, hits, names, check = place  # taken apart at once: an attribute of a tuple takes longer
            if read is None:
                call = (plan.number, messages, keywords) if keywords else (plan.number, messages)
                frozen = memo.freeze(call) if memo.sees_long else None
                encoding = dumps(call, EXACT) if frozen is None else name_of_frozen(frozen)
                key = memo.young.get(encoding) or memo.find(encoding)
                entry = None if key is None else find(key)
                encoding = encoding if frozen is None else frozen  # the name holds a hash in place of a long text
        except (ValueError, RuntimeError):  # not plain data, nested too deeply, or changed by another thread
            return MISSING
        if type(entry) is Kept:
            carried: Carried = entry
        elif type(entry) is Entry:
            carried = make_carried(load_text, entry)
        else:
            return MISSING if entry is None else with_encoding(entry, encoding)
        expires, tagged = entry.expires, entry.tagged
        if (expires is not None and expires <= now()) or (tagged is not None and (check is None or not check(tagged))):
            return refuse_stale(check, entry, now(), encoding)
        try:
            if plan.direct:
                value = model.__pydantic_validator__.validate_json(carried.text, strict=strict, context=context)
                if plan.carries and type(value) is model:  # a validator may return anything
                    put_carried(value, carried)
            else:
                value = parse_with(plan.type, carried, strict, context, entry.parts) if plan.type else load(entry)
            value = (value, load(entry) if plan.type is not None else value) if with_completion else value
        except Exception as error:  # noqa: BLE001 - whatever today's validators raise
            return Unserved(refused(error), None, None, encoding)
        note(carried.saved)
        if len(noted) >= MOST_NOTED:
            hits.count()
        if debugging or ((own_handlers or hooks is not own_hooks) and _CACHE_HIT in hooks.handlers):
            return announce(asker, hooks, describe_hit(asker, model, keywords, entry, carried.saved, names), value)
        return value

    return lookup


def exact(place: Place | None) -> Place | None:
    """Make a plain tuple of a named one. A type checker need not know."""
    return place and cast("Place", tuple(place))


def refuse_stale(check: Callable[[Tagged], bool] | None, entry: Kept | Entry, now: float, encoding: Encoding) -> Any:
    """What the flow begins with for an answer that has expired or was invalidated, or of which only the flow knows."""
    if entry.expires is not None and entry.expires <= now:
        return Unserved(EXPIRED, _READ_AGAIN, None, encoding)
    return MISSING if check is None else Unserved(INVALIDATED, _READ_AGAIN, None, encoding)


def announce(asker: Asker, hooks: Hooks, event: CacheEvent, value: Value) -> Any:
    """Call the handlers of a hit, or have the asynchronous client call them."""
    if asker.asynchronous:
        return Pending(value, hooks, event)
    hooks.emit(event.name, event)
    return value


def with_encoding(found: Any, encoding: Encoding) -> Unserved | Reading:
    """Add the call's encoding to what came back in place of an entry."""
    if type(found) is Reading:  # made anew, because `_replace` takes three times as long
        return Reading(found.find, found.key, encoding)
    return Unserved(found.cause, found.landed, found.error, encoding, found.entry)


Settled = tuple[Place | None, dict[str, Any], Mapping[str, Any] | None, bool, Hooks]


def settle(asker: Asker, place: Place | None, keywords: dict[str, Any]) -> Settled:
    """Sort a call's keywords.

    Returns:
        The store to read, None to leave the call to the flow; the keywords that belong into the encoding; the
        context; whether validation is strict; and whose handlers to call.
    """
    keyed: dict[str, Any] = {}
    hooks = asker.hooks
    for name, value in keywords.items():
        if name not in NOT_KEYED:
            keyed[name] = value
            continue
        fits = _FITS.get(name)
        if name in _FOR_THE_FLOW or not (fits is None or value is None or fits(value)):
            return None, keywords, None, True, hooks
        if name == "cache":
            place = asker.find_place(value)
        elif name == "hooks" and value is not None and _CACHE_HIT in value.handlers:
            hooks = hooks + value
    if keywords.get("cache_tags") and place is not None and place.check is None:
        return None, keywords, None, True, hooks
    context, strict = keyed.get("context"), keyed.get("strict")
    return (
        place,
        keyed,
        asker.context if context is None else context or None,
        asker.strict if strict is None else strict is not False,
        hooks,
    )


_SERVED = frozenset(
    {
        *("cache", "cache_mode", "cache_namespace", "cache_salt", "cache_tags", "cache_ttl"),
        *("budget", "context", "explain_misses", "hooks", "max_retries", "max_seconds", "schema_match", "strict"),
        "token_budget",
        *(
            "cache_pace",
            "limits",
            "media_policy",
            "on_invalid",
            "prompt_cache",
            "validate_partial",
        ),  # nothing to do with a hit that isn't streamed
    }
)
"""Keywords of ours with which a call may be served here."""

_FOR_THE_FLOW = OPTION_NAMES - _SERVED
"""All others, a new one among them until it's known here; such as `autodetect_images`: which files the texts name, and
what is in them, isn't known here."""


def _is_ttl(ttl: object) -> bool:
    """Whether it is a time. A hit goes by the ttl it was stored with, so no more than that matters here."""
    seconds = ttl.total_seconds() if type(ttl) is timedelta else ttl
    return type(seconds) in (int, float) and 0 <= cast("float", seconds) <= LONGEST_TTL


def _is_a(name: str, module: str) -> Callable[[Any], bool]:
    """Make the check for a class, without importing its module: who has an instance has imported it."""
    return lambda value: type(value) is getattr(sys.modules.get(module), name, None)


_is_limits = _is_a("Limits", "instructor.limits.settings")
_FITS: dict[str, Callable[[Any], bool]] = {
    "budget": _is_a("Budget", "instructor.budget"),
    "cache_mode": lambda mode: type(mode) is str and mode in LOOKING,
    "cache_tags": lambda tags: not tags or are_tags(tags),
    "cache_ttl": _is_ttl,
    "explain_misses": lambda flag: type(flag) is bool,
    "hooks": lambda hooks: type(hooks) is Hooks,
    "limits": lambda limits: limits == "auto" or _is_limits(limits),
    "max_retries": lambda retries: (type(retries) is int and retries >= 0) or type(retries) in KNOWN_POLICIES,
    "max_seconds": lambda seconds: type(seconds) in (int, float) and seconds > 0,
    "prompt_cache": lambda wish: type(wish) is not str or wish in ("auto", "5m", "1h", "off"),
    "schema_match": lambda match: match in ("exact", "compatible"),
    "timeout": lambda timeout: type(timeout) is not str,
    "token_budget": lambda budget: type(budget) is int and budget > 0,
}
"""Which values of a keyword are right at first sight, None aside. A keyword that isn't here may have any value."""


def describe_hit(
    asker: Asker,
    model: ResponseModel,
    keywords: dict[str, Any],
    entry: Kept | Entry,
    saved: Saved,
    names: tuple[str, str],
) -> CacheEvent:
    """Make the record of a hit, of all its members at once: to pass them one by one would take as long as all the rest."""
    age = time.time() - entry.created
    (seconds, usage, _, _), (stores, store) = saved, names
    return CacheEvent._make(
        (
            _CACHE_HIT,
            stores,
            asker.provider,
            keywords.get("model") or asker.model or "",
            model,
            entry.key,
            age if age > 0 else 0.0,
            seconds,
            usage.input_tokens + usage.output_tokens,
            usage,
            None,
            store,
            False,
            None,
            False,
        )
    )

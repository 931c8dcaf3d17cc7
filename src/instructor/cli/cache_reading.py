"""The commands of ``instructor cache`` that look at what is stored, and change nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from heapq import nlargest
from typing import Annotated, Any, Final, Literal

import orjson
from typer import Argument, Option

from instructor.cache import misses
from instructor.cache.copying import why_not_served
from instructor.cache.differing import find_difference, find_nearest
from instructor.cache.entry import READABLE, Entry
from instructor.cache.listing import Listed, Selection, Which, select
from instructor.cache.rows import ROW
from instructor.cli.cache_places import Place
from instructor.cli.cache_report import Report, Row, write_time
from instructor.exceptions import CacheEntryError, ConfigurationError

Key = Annotated[str, Argument(metavar="KEY", help="The key of an entry, or how it begins.")]
Tag = Annotated[str | None, Option(metavar="TAG", help="Only entries with this tag.")]
Namespace = Annotated[str | None, Option(metavar="NAME", help='Only entries of this cache_namespace; "" for none.')]
Model = Annotated[str | None, Option(metavar="MODEL", help="Only answers of this model.")]
ResponseModel = Annotated[str | None, Option(metavar="CLASS", help="Only answers for this response model.")]
OlderThan = Annotated[
    str | None, Option(metavar="TIME", help='Only answers that are older, such as "90s", "12h" or "30d".')
]
Limit = Annotated[int, Option(min=1, metavar="N", help="How many rows to show.")]
Sort = Literal["created", "bytes", "tokens", "seconds"]
By = Literal["model", "response_model", "namespace", "provider", "tag", "day"]

SERVED, EXPIRED, INVALIDATED = "served", misses.EXPIRED.reason, misses.INVALIDATED.reason
FOREIGN, OTHER_FORMAT = "not an entry", "an entry of another version of this package"
"""What becomes of an entry when a call asks for it. Any other verdict says what is damaged."""

SOUND = frozenset({SERVED, EXPIRED, INVALIDATED, FOREIGN, OTHER_FORMAT})

_START = re.compile(rb"[0-9a-f]{8} \[(\d+),")
_UNITS: Final[dict[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def stats(place: Place) -> Report:
    """Say how much is stored: how many answers of which models, from when, and what they took to get."""
    everything = list(place.entries())
    answers = [listed for listed in everything if listed.origin.provider != ROW]
    created = [listed.created for listed in answers if listed.created]
    row = {
        "place": place.shown,
        "store": type(place.store).__name__,
        "entries": len(answers),
        "rows_beside": len(everything) - len(answers) or None,
        "bytes": sum(listed.size for listed in everything),
        "disk_bytes": place.disk_bytes(),
        "oldest": write_time(min(created, default=0)),
        "newest": write_time(max(created, default=0)),
        "with_ttl": sum(listed.expires is not None for listed in answers),
        "with_tags": sum(bool(listed.tagged) for listed in answers),
        "tokens": sum(listed.usage.total_tokens for listed in answers),
        "seconds": round(sum(listed.seconds for listed in answers), 3),
        "models": sorted({listed.origin.model for listed in answers} - {""}),
        "response_models": sorted({listed.origin.response_model for listed in answers} - {""}),
        "namespaces": sorted({listed.origin.namespace for listed in answers} - {""}),
    }
    return Report([row], is_single=True)


def top(
    place: Place,
    *,
    by: Annotated[By, Option(help="What the rows are about.")] = "model",
    sort: Annotated[Literal["entries", "bytes", "tokens", "seconds"], Option(help="What comes first.")] = "bytes",
    limit: Limit = 20,
) -> Report:
    """Say what takes most: add up the entries of each model, response model, namespace, provider, tag or day."""
    groups: dict[str, dict[str, Any]] = {}
    for listed in place.answers():
        for name in _GROUPS[by](listed):
            row = groups.setdefault(name, {by: name, "entries": 0, "bytes": 0, "tokens": 0, "seconds": 0.0})
            row["entries"] += 1
            row["bytes"] += listed.size
            row["tokens"] += listed.usage.total_tokens
            row["seconds"] = round(row["seconds"] + listed.seconds, 3)
    return _cut(nlargest(limit, groups.values(), key=lambda row: row[sort]), len(groups))


_GROUPS: Final[dict[By, Callable[[Listed], tuple[str, ...]]]] = {
    "model": lambda listed: (listed.origin.model,),
    "response_model": lambda listed: (listed.origin.response_model,),
    "namespace": lambda listed: (listed.origin.namespace,),
    "provider": lambda listed: (listed.origin.provider,),
    "tag": lambda listed: listed.tags,
    "day": lambda listed: ((write_time(listed.created) or "")[:10],),
}
"""The groups that an entry counts for."""


def ls(
    place: Place,
    *,
    tag: Tag = None,
    namespace: Namespace = None,
    model: Model = None,
    response_model: ResponseModel = None,
    older_than: OlderThan = None,
    sort: Annotated[Sort, Option(help="What comes first: the newest, or the largest number.")] = "created",
    limit: Limit = 50,
) -> Report:
    """List entries, without their answers."""
    selection = choose(tag, namespace, model, response_model, older_than) or Selection()
    rows = [describe(listed) for listed in place.answers() if selection.fits(listed)]
    return _cut(nlargest(limit, rows, key=lambda row: row[sort] or ""), len(rows))


def show(
    place: Place,
    key: Key,
    *,
    completion: Annotated[bool, Option("--completion", help="Show the provider's whole completion, too.")] = False,
) -> Report:
    """Show one entry with its answer, and whether it would be served."""
    key = find_key(place, key)
    try:
        entry = place.read_entry(key)
    except CacheEntryError as error:
        raise ConfigurationError(f"The entry {key} can't be shown. {error}") from None
    if entry is None:
        raise ConfigurationError(f"There is no entry {key} in {place.shown}.")
    described = Listed(
        key,
        len(place.read(key) or b""),
        entry.created,
        entry.expires,
        entry.origin,
        entry.tagged,
        entry.seconds,
        entry.usage,
    )
    row = {**describe(described), "verdict": judge(place, key), "attempts": entry.attempts}
    row["request"] = place.request(key)
    row["answer"] = _answer_of(entry)
    if completion:
        row["completion"] = _parse(entry.completion)
    return Report([row], is_single=True)


def explain(
    place: Place,
    key: Key,
    other: Annotated[
        str | None, Argument(metavar="[OTHER]", help="What to compare it with; the nearest if left out.")
    ] = None,
) -> Report:
    """Say whether an entry is served and, if not, why; and in what its call differs from the nearest one, or from OTHER.

    Two calls with one answer would have one key. A cassette holds the calls themselves, and other stores those of
    clients with explain_misses; else they hold the provider, the model, the namespace and the response model, so a
    difference in the prompt alone isn't seen there.
    """
    key = find_key(place, key)
    calls = _calls_of(place, key)
    wanted = None if other is None else find_key(place, other)
    others = [(name, call) for name, call in calls.items() if name != key and wanted in (None, name)]
    nearest = find_nearest(calls.get(key, {}), others)
    difference = None if nearest is None else find_difference(calls[nearest], calls.get(key, {}))
    row = {
        "key": key,
        "verdict": judge(place, key),
        "nearest" if other is None else "other": nearest,
        "difference": str(difference) if difference else None if nearest is None else _SAME,
    }
    return Report([row], is_single=True)


_SAME = "none in what this store holds of a call: the prompts or the parameters differ"


def verify(place: Place) -> Report:
    """Read every entry, and check its checksums, its format and its completion. Exit status 1 if one is damaged."""
    rows: list[Row] = []
    count = 0
    for listed in place.entries():
        count += 1
        verdict = judge(place, listed.key)
        if verdict not in SOUND:
            rows.append({"key": listed.key, "bytes": listed.size, "problem": verdict})
    note = f"{count:,} entries were read, and {f'{len(rows):,} of them are' if rows else 'none is'} damaged."
    return Report(rows, note=note, failed=bool(rows))


def judge(place: Place, key: str) -> str:
    """Say what becomes of an entry when a call asks for it."""
    try:
        text = place.read(key)
        if text is None:
            return EXPIRED
        start = _START.match(text)
        if start is None or int(start[1]) not in READABLE:
            return OTHER_FORMAT if start else FOREIGN
        entry = place.read_entry(key)
        assert entry is not None, "it was read a moment ago"
        _ = entry.completion
    except CacheEntryError as error:
        return str(error)
    cause = why_not_served(place.store, entry)
    return SERVED if cause is None else cause.reason


def describe(listed: Listed) -> Row:
    """An entry as a row, without its answer."""
    origin = listed.origin
    return {
        "key": listed.key,
        "provider": origin.provider,
        "model": origin.model,
        "answered_by": origin.answered_by if origin.answered_by != origin.model else "",
        "response_model": origin.response_model,
        "namespace": origin.namespace,
        "created": write_time(listed.created),
        "expires": write_time(listed.expires),
        "bytes": listed.size,
        "tokens": listed.usage.total_tokens,
        "seconds": round(listed.seconds, 3),
        "tags": list(listed.tags),
    }


def find_key(place: Place, beginning: str) -> str:
    """Return the one key that begins like this."""
    if place.read(beginning) is not None:
        return beginning
    found = [listed.key for listed in place.answers() if listed.key.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found):,} keys begin" if found else "No key begins"
    raise ConfigurationError(f"{problem} with {beginning!r} in {place.shown}. instructor cache ls lists them.")


def choose(
    tag: str | None, namespace: str | None, model: str | None, response_model: str | None, older_than: str | None
) -> Selection | None:
    """Make a selection of a command's options; None if there are none."""
    which: Which = {"tag": tag, "namespace": namespace, "model": model, "response_model": response_model}
    if older_than is not None:
        which["older_than"] = read_seconds(older_than)
    return select(which, time.time) if any(value is not None for value in which.values()) else None


def read_seconds(text: str) -> float:
    """Read a time such as ``"90s"``, ``"12h"`` or ``"30d"``.

    Example:
        >>> read_seconds("90s"), read_seconds("1.5h")
        (90.0, 5400.0)
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw])", text.strip())
    if match is None:
        raise ConfigurationError(
            f'--older-than {text} is not a time. Write a number and s, m, h, d or w, such as "30d".'
        )
    return float(match[1]) * _UNITS[match[2]]


def _calls_of(place: Place, key: str) -> dict[str, Row]:
    """What each entry says of its call: all of it where that of `key` is recorded, else where its answer is from."""
    recorded = place.requests()
    if key in recorded:
        return dict(recorded)
    return {
        listed.key: {name: value for name, value in listed.origin._asdict().items() if name != "answered_by"}
        for listed in place.answers()
    }


def _answer_of(entry: Entry) -> object:
    parts = [_parse(part.text) for part in entry.parts]
    return parts[0] if len(parts) == 1 else parts


def _parse(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _cut(rows: list[Row], count: int) -> Report:
    note = f"{count - len(rows):,} more; --limit {count} shows all." if count > len(rows) else ""
    return Report(rows, note=note)

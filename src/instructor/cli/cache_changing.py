"""The commands of ``instructor cache`` that remove, move and mend what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from instructor.cache.cassette import CassetteCache
from instructor.cache.copying import copy_entries
from instructor.cache.exporting import export_entries
from instructor.cache.rows import record_key
from instructor.cache.store import BaseCache, deleting, listing, tagging
from instructor.cli.cache_places import Place, is_cassette, open_place
from instructor.cli.cache_reading import (
    EXPIRED,
    INVALIDATED,
    SOUND,
    Model,
    Namespace,
    OlderThan,
    ResponseModel,
    Tag,
    choose,
    find_key,
    judge,
)
from instructor.cli.cache_report import Report
from instructor.exceptions import ConfigurationError

_BATCH = 1000


def rm(
    place: Place,
    keys: Annotated[list[str] | None, Argument(metavar="[KEY]...", help="Keys, or how they begin.")] = None,
    *,
    tag: Tag = None,
    namespace: Namespace = None,
    model: Model = None,
    response_model: ResponseModel = None,
    older_than: OlderThan = None,
) -> Report:
    """Remove the entries of some keys, or those that fit all of the options.

    With --tag alone the tag is invalidated, too: answers that are just being asked for aren't served either.
    """
    selection = choose(tag, namespace, model, response_model, older_than)
    if bool(keys) is (selection is not None):
        raise ConfigurationError(
            "Name keys, or what to remove: --tag, --namespace, --model, --response-model, --older-than."
        )
    if selection is None:
        found = [find_key(place, key) for key in keys or ()]
        removed = deleting(place.store).delete_many(found)
        deleting(place.store).delete_many(list(map(record_key, found)))  # what was asked goes with its answer
        return _removed(place, removed)
    if selection.only_tag is not None:
        tagging(place.store).invalidate_tag(selection.only_tag)
    batches = listing(place.store).list_entries()
    return _removed(place, sum(deleting(place.store).delete_many(selection.keys_of(batch)) for batch in batches))


def purge(
    place: Place,
    *,
    everything: Annotated[bool, Option("--all", help="Remove all entries.")] = False,
) -> Report:
    """Remove what can't be served any more: what has expired, was invalidated by a tag, or is damaged.

    An entry of another version of this package, and what isn't an entry at all, stay.
    """
    if everything:
        count: int = place.store.clear()
        return _removed(place, count)
    removed = 0
    for keys in _batches(_unusable(place)):
        removed += deleting(place.store).delete_many(keys)
    return _removed(place, removed)


def compact(place: Place) -> Report:
    """Give the space of removed entries back. A directory's file is written anew, which takes as long as a copy of it."""
    before = place.disk_bytes()
    place.store.compact()
    if before is None:
        return Report([{"place": place.shown}], is_single=True, note="Its server gives space back by itself.")
    return Report([{"place": place.shown, "bytes_before": before, "disk_bytes": place.disk_bytes()}], is_single=True)


def export(
    place: Place,
    target: Annotated[str, Argument(metavar="TARGET", help="A new .jsonl file, or another place.")],
    *,
    redact: Annotated[bool, Option("--redact", help="Replace what looks like a secret. For a file only.")] = False,
) -> Report:
    """Copy all answers that can be served to a file of JSON lines, or to another place."""
    if is_cassette(target):
        count = export_entries(place.store, Path(target), redact=redact)
        return _copied(count, target, CassetteCache)
    if redact:
        raise ConfigurationError("--redact is for a .jsonl file: redacted answers aren't what the provider answered.")
    with open_place(target, create=True) as into:
        return _copied(copy_entries(place.store, into.store), into.shown, type(into.store))


def import_entries(
    place: Place,
    source: Annotated[str, Argument(metavar="SOURCE", help="A .jsonl file, or another place.")],
) -> Report:
    """Copy all answers of a file or of another place into this one, which is made if it isn't there."""
    with open_place(source) as from_place:
        return _copied(copy_entries(from_place.store, place.store), place.shown, type(place.store))


def _unusable(place: Place) -> Iterator[str]:
    for listed in place.entries():
        verdict = judge(place, listed.key)
        if verdict in (EXPIRED, INVALIDATED) or verdict not in SOUND:
            yield listed.key


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, _BATCH)):
        yield batch


def _copied(count: int, target: str, kind: type[BaseCache]) -> Report:
    return Report([{"copied": count, "to": target, "store": kind.__name__}], is_single=True)


def _removed(place: Place, count: int) -> Report:
    return Report([{"removed": count, "place": place.shown}], is_single=True)

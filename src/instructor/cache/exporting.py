"""All answers of a store as a file of lines, which `CassetteCache` reads: to keep them, to look at them, to move them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from instructor.cache.cassette_lines import GENERATION, describe_answer, make_entry, make_line, read_line, request_of
from instructor.cache.copying import served_entries
from instructor.cache.entry import Entry, Tagged, encode_entry
from instructor.cache.redaction import Redactor
from instructor.cache.store import BaseCache
from instructor.exceptions import CacheEntryError, CacheError


def export_entries(source: BaseCache, path: Path, *, redact: bool = False) -> int:
    """Write the answers of a store as lines, each with its times and tags; return how many there were.

    What has expired, was invalidated by a tag or can't be read stays behind. `redact` replaces what looks like a secret,
    so that others may see the file. It is written whole or not at all, for its owner only.
    """
    if path.exists():
        raise CacheError(f"{path} exists already. Delete it, or name another file.")
    hide = Redactor() if redact else None
    try:
        descriptor, made = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.absolute().parent)
    except OSError as error:
        raise CacheError(f"{path} can't be written: {error.strerror}. Name a file in a directory of yours.") from None
    count = 0
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            for entry in served_entries(source):
                stream.write(_write_line(entry, hide) + "\n")
                count += 1
        Path(made).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(made).unlink()
        raise
    return count


def _write_line(entry: Entry, hide: Redactor | None) -> str:
    """Write an entry so that the very same one is read again. A text that its data don't lead to is kept as it is."""
    times = {"created": entry.created, "expires": entry.expires, "seconds": entry.seconds, "tags": list(entry.tags)}
    kept = {name: value for name, value in times.items() if value}
    line = make_line(request_of(entry, entry.key), describe_answer(entry, hide or _leave) | kept)
    if hide is None and not _is_faithful(line.text, entry):
        tagged = None if entry.tagged is None else Tagged(entry.tags, GENERATION)
        line = make_line({"key": entry.key}, {"value": encode_entry(replace(entry, tagged=tagged))})
    return line.text


def _leave(value: object) -> object:
    return value


def _is_faithful(text: str, entry: Entry) -> bool:
    try:
        read = make_entry(read_line(text), entry.key, 0.0)
    except (CacheEntryError, ValueError):
        return False
    plain, own = (replace(one, tagged=None, carried=None) for one in (read, entry))
    return read.tags == entry.tags and plain == own

"""The numbers of tags in the file: what a damaged page of them costs, and how much room they take."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from instructor.cache import DiskCache, sqlite_layout
from instructor.cache.entry import Entry, Generations, Tagged, encode_entry, make_origin
from instructor.messages import Part

PAGE = 4096
TAGS = [f"doc:{number}" for number in range(20)]


def write(cache: DiskCache, tag: str, generation: int) -> None:
    """Store an answer that has a tag."""
    tagged = Tagged((tag,), generation)
    entry = Entry(tag, (Part("User", "{}"),), b"", make_origin("openai", "gpt-6-luna"), 1.0, tagged=tagged)
    cache.set(tag, encode_entry(entry))


def page_of(path: Path, name: str) -> range:
    """Where the root page of a table or an index lies in a closed file."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        (number,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    return range((number - 1) * PAGE, number * PAGE)


@pytest.mark.parametrize("name", ["tag", "tag_again"])
def test_a_flipped_bit_serves_no_answer_that_was_invalidated(name: str, tmp_path: Path) -> None:
    with DiskCache(tmp_path / "original") as cache:
        generation = cache.generations(()).latest
        for tag in TAGS:
            write(cache, tag, generation)
        for tag in TAGS[:10]:
            cache.invalidate_tag(tag)
    original = cache.path.read_bytes()
    places = [at for at in page_of(cache.path, name) if original[at]]
    for number, at in enumerate(places[::37]):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / cache.path.name
        path.write_bytes(original[:at] + bytes([original[at] ^ 1 << number % 8]) + original[at + 1 :])
        with DiskCache(path.parent) as damaged:
            fresh = {tag for tag in TAGS if damaged.generations([tag]).cover(generation)}
            assert not fresh & set(TAGS[:10]), f"bit {number % 8} of byte {at}"
            for _ in range(2):  # the first one may find the damage, and begin with new numbers
                now = damaged.generations(()).latest
                write(damaged, "doc:new", now)
            assert damaged.generations(["doc:new"]).cover(now), "it goes on with what is stored from now on"
        shutil.rmtree(path.parent)


def test_tags_take_up_a_part_of_the_limit_and_drive_no_answers_out(tmp_path: Path) -> None:
    with DiskCache(tmp_path, size_limit=1 << 20) as cache:
        most = cache._shares.tags
        generation = cache.generations(()).latest
        cache.invalidate_tag("gone")
        for number in range(3 * most):
            write(cache, f"doc:{number}", generation)
        with contextlib.closing(sqlite3.connect(cache.path)) as raw:
            assert raw.execute("SELECT count(*) FROM tag").fetchone()[0] <= most + 3
        assert len(cache) > most, "each tag has an answer, and there is room for more answers than tags"
        assert not cache.generations(["gone"]).cover(generation), "an invalidation isn't forgotten for a count"
        assert [cache.invalidate_tag(f"doc:{number}") for number in (0, 3 * most - 1)] == [1, 0], "not all are counted"


WITH_TAGS = 5
"""The layout that has all that tags need."""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="it makes a file that can't be written")
@pytest.mark.parametrize("layout", range(1, sqlite_layout.FORMAT))
def test_a_file_of_an_older_layout_that_cannot_be_written_serves_what_it_has(
    layout: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as raw:
        for step in sqlite_layout.MIGRATIONS[:layout]:
            step(raw)
        raw.execute(f"PRAGMA user_version = {layout}")
        raw.execute(f"PRAGMA application_id = {sqlite_layout._mark(layout)}")
        raw.execute("INSERT INTO entry (key, value, size, used) VALUES ('key', CAST('text' AS BLOB), 4, 0)")
        raw.commit()
    monkeypatch.setattr("instructor.cache.sqlite_file._may_write", lambda _: False)
    with DiskCache(tmp_path) as cache:
        assert cache.get("absent") is None
        assert cache.get("key") == b"text"
        if layout < WITH_TAGS:
            assert cache.generations(["tag"]) == Generations(0, 0, [0])

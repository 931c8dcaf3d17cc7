"""Erasing by tag leaves nothing of the data: not in the SQLite file, nor in the files beside it."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from instructor.cache import DiskCache
from instructor.cache.entry import Entry, Tagged, encode_entry, make_origin, pack_completion
from instructor.exceptions import CacheError
from instructor.messages import Part

SECRET, OTHER = "Zoe-Quill-7731", "Adam-Bede-1859"


def make_text(cache: DiskCache, key: str, tag: str, word: str, size: int) -> str:
    tagged = Tagged((tag,), cache.generations(()).latest)
    body = f"{word} " * (1 + size // len(word))
    origin = make_origin("openai", "gpt", response_model="User")
    return encode_entry(Entry(key, (Part("", body),), pack_completion(body), origin, 1.0, tagged=tagged))


def fill(cache: DiskCache) -> None:
    """Short and long answers of two people, in turn, some overwritten, so that the data go through many pages."""
    sizes = random.Random(7)
    for number in range(160):
        word, tag = ((SECRET, "person:zoe"), (OTHER, "person:adam"))[number % 2]
        key = f"{number * 7919 % 120:064}"
        cache.set(key, make_text(cache, key, tag, word, sizes.choice((20, 300, 1500, 9000))))
    cache.delete(f"{0:064}")


def files_with(folder: Path, word: str) -> list[str]:
    return [path.name for path in folder.iterdir() if word.encode() in path.read_bytes()]


def test_erasing_by_tag_leaves_no_byte_of_the_data(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache:
        fill(cache)
        (tmp_path / f"{cache.path.name}.damaged-1").write_text(SECRET)
        assert files_with(tmp_path, SECRET)
        removed = cache.invalidate(tag="person:zoe", erase=True)
        assert removed > 0
        assert files_with(tmp_path, SECRET) == []
        assert files_with(tmp_path, "person:zoe") == []
        assert files_with(tmp_path, OTHER), "the others' answers are there"
        assert cache.invalidate(tag="person:zoe", erase=True) == 0


def test_an_answer_that_was_asked_for_before_the_erasure_is_not_stored_after_it(tmp_path: Path) -> None:
    with DiskCache(tmp_path) as cache, DiskCache(tmp_path) as other:
        text = make_text(cache, "key", "person:zoe", SECRET, 300)
        other.invalidate(tag="person:zoe", erase=True)
        cache.set("key", text)
        assert cache.get("key") is None
        assert files_with(tmp_path, SECRET) == []


def test_an_erasure_that_leaves_something_says_so(tmp_path: Path) -> None:
    with DiskCache(tmp_path, timeout=0.05) as cache:
        fill(cache)
        reader = sqlite3.connect(cache.path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        with pytest.raises(CacheError, match="another program is reading"):
            cache.invalidate(tag="person:zoe", erase=True)
        reader.close()
        cache.compact()
        assert files_with(tmp_path, SECRET) == []

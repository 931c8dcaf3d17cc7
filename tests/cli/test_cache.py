"""``instructor cache``: each command on a directory, a cassette and a server."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from instructor import AutoCache, from_provider
from instructor.cache import CassetteCache, DiskCache, KeyLog, RedisCache, SealedCache
from instructor.cache.entry import Entry, Tagged, decode_entry, encode_entry, make_origin, pack_completion
from instructor.cache.store import BaseCache
from instructor.cli import main
from instructor.messages import Part
from instructor.usage import Usage

KEYS = [f"{letter}" * 64 for letter in "abc"]


def make_entry(key: str, **members: Any) -> Entry:
    """An entry of one minute ago; its answer is the first letter of its key."""
    origin = make_origin("openai", f"gpt-{key[0]}", "", "tenant" if key[0] == "b" else "", "User")
    parts = (Part("User", json.dumps({"name": key[0]})),)
    more = {"created": time.time() - 60, "seconds": 1.5, "usage": Usage(10, 5)} | members
    return Entry(key, parts, pack_completion('{"id":"x"}'), origin, **more)


def put(store: BaseCache, *entries: Entry) -> None:
    for entry in entries:
        store.set(entry.key, encode_entry(entry))


class Command:
    """Runs ``instructor cache`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: object, status: int = 0) -> str:
        """Run a command that ends with a status; return what it printed, errors included."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["cache", *map(str, words)])
        done = self._capsys.readouterr()
        assert ended.value.code == status, done
        return done.out + done.err

    def rows(self, *words: object, status: int = 0) -> list[dict[str, Any]]:
        """Run a command with ``--json``; return its rows."""
        return [json.loads(line) for line in self(*words, "--json", status=status).splitlines()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with three entries, of which the last has a tag."""
    with DiskCache(tmp_path / "kept") as cache:
        put(cache, *map(make_entry, KEYS[:2]))
        put(cache, make_entry(KEYS[2], tagged=Tagged(("doc:1",), cache.generations([]).latest)))
    return tmp_path / "kept"


def test_stats_add_up_what_is_stored(run: Command, place: Path) -> None:
    (row,) = run.rows("stats", place)
    assert (row["entries"], row["tokens"], row["seconds"], row["with_tags"]) == (3, 45, 4.5, 1)
    assert row["models"] == ["gpt-a", "gpt-b", "gpt-c"]
    assert row["namespaces"] == ["tenant"]
    assert row["disk_bytes"] > row["bytes"] > 0
    assert row["newest"] is not None
    assert "gpt-a, gpt-b, gpt-c" in run("stats", place / "answers.sqlite3")


def test_top_groups_entries_and_begins_with_the_largest(run: Command, place: Path) -> None:
    rows = run.rows("top", place, "--by", "namespace", "--sort", "tokens")
    assert [(row["namespace"], row["entries"], row["tokens"]) for row in rows] == [("", 2, 30), ("tenant", 1, 15)]
    assert [row["tag"] for row in run.rows("top", place, "--by", "tag")] == ["doc:1"]


def test_ls_lists_what_fits(run: Command, place: Path) -> None:
    assert [row["key"] for row in run.rows("ls", place, "--model", "gpt-b")] == [KEYS[1]]
    assert [row["tags"] for row in run.rows("ls", place, "--tag", "doc:1")] == [["doc:1"]]
    assert run.rows("ls", place, "--older-than", "1h") == []
    assert len(run.rows("ls", place, "--older-than", "30s", "--namespace", "")) == 2
    assert "2 more" in run("ls", place, "--limit", "1")


def test_show_prints_the_answer_of_a_key_that_is_cut_short(run: Command, place: Path) -> None:
    (row,) = run.rows("show", place, "bbbb", "--completion")
    assert (row["key"], row["answer"], row["verdict"]) == (KEYS[1], {"name": "b"}, "served")
    assert row["completion"] == {"id": "x"}
    assert "No key begins with 'x'" in run("show", place, "x", status=2)


def test_nothing_in_an_answer_reaches_the_terminal_as_a_command(run: Command, place: Path) -> None:
    with DiskCache(place) as cache:
        put(cache, replace(make_entry("d" * 64), parts=(Part("", "\x1b[2J\x07[bold]"),)))
    shown = run("show", place, "dddd")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"\x1b[2J\x07[bold]" in shown


def test_explain_names_the_nearest_entry_and_the_first_difference(run: Command, place: Path, tmp_path: Path) -> None:
    (row,) = run.rows("explain", place, "aaaa", "cccc")
    assert row["difference"] == "model, character 4: stored 'gpt-c', asked 'gpt-a'"
    cassette = CassetteCache(tmp_path / "calls.jsonl")
    client = from_provider("offline/demo", cache=cassette)
    for text in ("Anna is 25.", "Anna is 26.", "Something else, 3"):
        client.create(response_model=int, messages=[{"role": "user", "content": text}])
    lines = [json.loads(line) for line in cassette.path.read_text().splitlines()]
    key = cassette.recorded()[[line["request"]["messages"][0]["content"] for line in lines].index("Anna is 25.")]
    (row,) = run.rows("explain", cassette.path, key)
    assert row["difference"] == "messages[0].content, character 9: stored 'Anna is 26.', asked 'Anna is 25.'"


def test_explain_compares_the_calls_that_a_client_has_kept(run: Command, tmp_path: Path) -> None:
    client = from_provider("offline/demo", cache=DiskCache(tmp_path / "kept"), explain_misses=True)
    keys = [
        client.create_with_reply(response_model=int, messages=[{"role": "user", "content": text}]).key
        for text in ("Anna is 25.", "Anna is 26.", "Something else, 3")
    ]
    (row,) = run.rows("explain", tmp_path / "kept", keys[0])
    assert (row["nearest"], row["verdict"]) == (keys[1], "served")
    assert row["difference"] == "messages[0].content, character 9: stored 'Anna is 26.', asked 'Anna is 25.'"
    (row,) = run.rows("show", tmp_path / "kept", keys[0])
    assert row["request"]["messages"][0]["content"] == "Anna is 25."


def test_rm_removes_keys_or_what_fits(run: Command, place: Path) -> None:
    assert run.rows("rm", place, "aaaa", KEYS[1]) == [{"removed": 2, "place": str(place)}]
    assert [row["key"] for row in run.rows("ls", place)] == [KEYS[2]]
    assert "--older-than" in run("rm", place, status=2)
    assert "--older-than" in run("rm", place, "cccc", "--model", "gpt-c", status=2)
    assert "soon is not a time" in run("rm", place, "--older-than", "soon", status=2)


def test_rm_leaves_a_sealed_answer_whose_age_nobody_can_see(run: Command, tmp_path: Path) -> None:
    with DiskCache(tmp_path) as inner:
        client = from_provider("offline/demo", cache=SealedCache(inner, keys=[SealedCache.new_key()]))
        client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
    assert run.rows("rm", tmp_path, "--older-than", "30d")[0]["removed"] == 0
    assert run.rows("rm", tmp_path, "--namespace", "")[0]["removed"] == 0


def test_what_was_asked_is_shown_with_its_answer_and_goes_with_it(run: Command, tmp_path: Path) -> None:
    """The rows that stand beside an answer are entries of the store, and aren't answers."""
    options: dict[str, Any] = {"explain_misses": True, "schema_match": "compatible"}
    with DiskCache(tmp_path) as cache:
        client = from_provider("offline/demo", cache=cache, **options)
        keys = [client.create_with_reply(int, f"Anna is {age}.", cache_tags=["a"]).key for age in (25, 26)]
        (row,) = run.rows("stats", tmp_path)
        assert (row["entries"], row["with_tags"], row["rows_beside"]) == (2, 2, len(cache) - 2)
        assert {row["key"] for row in run.rows("ls", tmp_path)} == {*keys}
        assert [row["entries"] for row in run.rows("top", tmp_path, "--by", "provider")] == [2]
        assert run.rows("rm", tmp_path, *keys)[0]["removed"] == 2
        assert not any(b"Anna" in (cache.peek(one.key) or b"") for batch in cache.list_entries() for one in batch)


def test_people_are_shown_a_result_of_zero(run: Command, place: Path) -> None:
    assert run("rm", place, "--tag", "none").split()[:2] == ["removed", "0"]


def test_an_entry_of_the_format_before_is_served_and_checked(run: Command, place: Path) -> None:
    entry = make_entry("d" * 64)
    answer = encode_entry(entry).encode()[9:].removesuffix(entry.completion_data).replace(b"[7,", b"[6,", 1)
    with DiskCache(place) as cache:
        cache.set(entry.key, b"%08x %b%b" % (crc32(answer), answer, entry.completion_data))
        assert run.rows("show", place, entry.key)[0]["verdict"] == "served"
        damage(place, entry.key)
        assert [row["key"] for row in run.rows("verify", place, status=1)] == [entry.key]


def test_rm_of_a_tag_is_about_answers_under_way_too(run: Command, place: Path) -> None:
    with DiskCache(place) as cache:
        before = cache.generations(["doc:1"])
        assert run.rows("rm", place, "--tag", "doc:1")[0]["removed"] == 1
        assert not cache.generations(["doc:1"]).cover(before.latest)


def test_no_limit_of_other_processes_is_changed_by_looking_after_a_cache(run: Command, place: Path) -> None:
    """Of the limits that processes set the largest holds for a day, so a removal must not raise it."""
    run("rm", place, "aaaa")
    with DiskCache(place, size_limit=1 << 18) as cache:
        cache.set("key", "text")
        assert cache._run(lambda connection: cache._eviction.find_limit(connection, time.time())) == 1 << 30


def damage(place: Path, key: str, old: bytes = b'"name"', new: bytes = b'"nome"') -> None:
    with DiskCache(place) as cache:
        text = cache.peek(key)
        assert text is not None
        cache.set(key, text.replace(old, new))


def test_verify_reads_every_checksum(run: Command, place: Path) -> None:
    assert run.rows("verify", place) == []
    assert "3 entries were read, and none is damaged" in run("verify", place)
    damage(place, KEYS[0])
    (row,) = run.rows("verify", place, status=1)
    assert row["key"] == KEYS[0]
    assert "checksum" in row["problem"]
    damage(place, KEYS[1], b'"id"', b'"di"')
    assert {row["key"] for row in run.rows("verify", place, status=1)} == {*KEYS[:2]}


def test_purge_removes_what_cannot_be_served_and_nothing_else(run: Command, place: Path) -> None:
    damage(place, KEYS[0])
    with DiskCache(place) as cache:
        cache.set("other", "no entry")
        cache.set("older", '5f0c2a1e [4,"older"]\n')
        put(cache, make_entry("old", expires=time.time() - 1))
        cache.invalidate(tag="doc:1")
    assert run.rows("purge", place)[0]["removed"] == 3
    assert {row["key"] for row in run.rows("ls", place)} == {KEYS[1], "other", "older"}
    assert run.rows("purge", place, "--all")[0]["removed"] == 3


def test_compact_gives_space_back(run: Command, place: Path) -> None:
    with DiskCache(place) as cache:
        cache.set("large", "x" * 500_000)
    (row,) = run.rows("rm", place, "large")
    (row,) = run.rows("compact", place)
    assert row["disk_bytes"] < row["bytes_before"] - 400_000


def test_what_is_exported_and_imported_is_the_same(run: Command, place: Path, tmp_path: Path) -> None:
    """With its times and tags; also a text from which no data lead back to it."""
    odd = replace(
        make_entry("e" * 64, expires=time.time() + 1000), parts=(Part("", '{ "a":1}'), Part("", "\x85\ud7ff"))
    )
    strange = replace(make_entry("f" * 64), completion_data=pack_completion('{"a" : 1}'))
    with DiskCache(place) as cache:
        put(cache, odd, replace(strange, tagged=Tagged(("doc:1",), cache.generations([]).latest)))
        stored = {key: cache.peek(key) for key in (*KEYS[:2], odd.key)}
    file, other = tmp_path / "all.jsonl", tmp_path / "other"
    assert run.rows("export", place, file)[0]["copied"] == 5
    assert "exists already" in run("export", place, file, status=2)
    assert "none/all.jsonl can't be written: No such file" in run(
        "export", place, tmp_path / "none/all.jsonl", status=2
    )
    assert file.stat().st_mode & 0o077 == 0
    assert run.rows("import", other, file)[0]["copied"] == 5
    with DiskCache(other) as cache:
        assert {key: cache.peek(key) for key in stored} == stored
        assert decode_entry(cache.peek(strange.key) or b"", strange.key).completion == '{"a" : 1}'
        assert cache.invalidate(tag="doc:1") == 2
    assert run.rows("export", place, tmp_path / "third")[0]["copied"] == 5
    assert run.rows("export", place, place)[0]["copied"] == 5


def test_an_export_may_be_without_secrets(run: Command, place: Path, tmp_path: Path) -> None:
    with DiskCache(place) as cache:
        put(cache, replace(make_entry("d" * 64), parts=(Part("", "sk-proj-abcdefghijklmnop1234"),)))
    run("export", place, tmp_path / "all.jsonl", "--redact")
    assert "abcdefghijklmnop" not in (tmp_path / "all.jsonl").read_text()
    assert run.rows("stats", tmp_path / "all.jsonl")[0]["entries"] == 4


def test_to_look_through_a_cache_is_not_to_use_it(run: Command, place: Path) -> None:
    """Otherwise the next eviction would remove what the listing showed first."""

    def uses(cache: DiskCache) -> list[tuple[str, float]]:
        return cache._run(lambda raw: raw.execute("SELECT key, used FROM entry ORDER BY key").fetchall())

    with DiskCache(place) as cache:
        before = uses(cache)
    for words in (("verify",), ("show", "aaaa"), ("explain", "aaaa"), ("export", str(place) + ".jsonl")):
        run(words[0], place, *words[1:])
    run("rm", place, KEYS[1])  # a write would note the uses
    with DiskCache(place) as cache:
        assert uses(cache) == [row for row in before if row[0] != KEYS[1].encode()]


def test_a_server_is_a_place(run: Command, valkey: Any, tmp_path: Path) -> None:
    url = f"redis://localhost:{valkey.port}/0"
    with RedisCache(url=url, prefix="cli:") as cache:
        cache.clear()
        put(cache, *map(make_entry, KEYS))
        assert run.rows("stats", url, "--prefix", "cli:")[0]["entries"] == 3
        assert run.rows("show", url, "aaaa", "--prefix", "cli:")[0]["answer"] == {"name": "a"}
        assert run.rows("export", url, tmp_path / "all.jsonl", "--prefix", "cli:")[0]["copied"] == 3
        assert run.rows("rm", url, "--model", "gpt-a", "--prefix", "cli:")[0]["removed"] == 1
        assert "gives space back" in run("compact", url, "--prefix", "cli:")
        cache.clear()


@pytest.mark.parametrize("url", ["file://{}/folder", "sqlite:///{}/answers.db"])
def test_object_stores_and_databases_are_places(run: Command, place: Path, tmp_path: Path, url: str) -> None:
    url = url.format(tmp_path)
    with DiskCache(place) as cache:
        cache.delete(KEYS[2])  # its tag needs a store that numbers tags
    assert run.rows("export", place, url)[0]["copied"] == 2
    assert run.rows("stats", url)[0]["entries"] == 2
    assert run.rows("show", url, "aaaa")[0]["verdict"] == "served"
    assert run.rows("rm", url, "--model", "gpt-a")[0]["removed"] == 1


@pytest.mark.parametrize("url", ["redis://ann:tiger@localhost:1/0", "redis://:tiger@localhost:1/0?password=tiger"])
def test_the_password_of_a_server_is_never_shown(run: Command, url: str) -> None:
    shown = run("stats", url, status=2)
    assert "redis://localhost:1/0 can't be used: ConnectionError" in shown
    assert "tiger" not in shown


def test_a_wrong_place_is_an_error_and_makes_nothing(run: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no JSON")
    assert "it has no answers.sqlite3" in run("stats", tmp_path / "none", status=2)
    assert "There is no file" in run("ls", tmp_path / "none.jsonl", status=2)
    assert "isn't a cassette" in run("ls", tmp_path / "notes.txt", status=2)
    assert "no store for http://" in run("verify", "http://localhost", status=2)
    assert "no such file" in run("stats", f"sqlite:///{tmp_path}/none.db", status=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_directory_is_not_named_like_a_file(run: Command, place: Path, tmp_path: Path) -> None:
    shown = run("export", place, tmp_path / "answers.csv", status=2)
    assert "would be the directory of a DiskCache. For a file write " in " ".join(shown.split())
    assert not (tmp_path / "answers.csv").exists()


def test_simulate_replays_a_key_log(run: Command, tmp_path: Path) -> None:
    """An evaluation of 24 prompts in a store of 20: an LRU serves none of it."""
    client = from_provider("offline/demo", cache=AutoCache())
    with KeyLog(tmp_path / "keys.log") as log:
        log.follow(client)
        for number in [*range(24)] * 10:
            client.create(response_model=int, messages=[{"role": "user", "content": f"Anna is {number}."}])
    assert "--policies is 'fifo'. Pass one of 'auto'" in run("simulate", log.path, "--policies", "fifo", status=2)
    (tmp_path / "notes.log").write_text("an evening in the country\n")
    assert "isn't a key log" in run("simulate", tmp_path / "notes.log", status=2)
    rows = run.rows("simulate", log.path, "--sizes", "20", "--policies", "tinylfu,lru")
    rates = {(row["entries"], row["policy"]): row["hit_rate"] for row in rows}
    assert rates[20, "lru"] == 0
    assert rates[20, "tinylfu"] > 0.5
    assert rates[24, "no limit"] == 0.9
    assert "--sizes x" in run("simulate", log.path, "--sizes", "x", status=2)
    assert "can't be read" in run("simulate", tmp_path / "none", status=2)
    (tmp_path / "answers.jsonl").write_text('{"key": "abc"}')
    assert "isn't a key log" in run("simulate", tmp_path / "answers.jsonl", status=2)

"""Recorded answers: what stands in the file, which call is answered by which line, and what never gets into it."""

from __future__ import annotations

import asyncio
import difflib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

import instructor
from canaries import CANARIES
from instructor import AutoCache, DiskCache, Image, Mode, from_provider
from instructor.cache import BaseCache, CassetteCache, copy_entries
from instructor.cache.cassette_lines import make_entry, make_line, read_line
from instructor.cache.entry import Entry, Origin, decode_entry, encode_entry, pack_completion
from instructor.cache.exporting import export_entries
from instructor.cache.redaction import KINDS, Redactor
from instructor.exceptions import ArgumentError, CacheError, CacheMiss
from instructor.messages import Part
from instructor.testing import ScriptedReply
from instructor.testing.stores import KEY, StoreContract
from instructor.usage import Usage
from streams import CUTS, JASON, TOOL_WIRES, StreamServer, answer_of, connect, dumped, encode, settle, take, wire_of
from worlds import MESSAGES, User, World, both


class TestCassetteCache(StoreContract):
    @pytest.fixture(autouse=True)
    def _prepare(self, tmp_path: Path) -> None:
        self.path = tmp_path / "x.jsonl"

    def make(self) -> BaseCache:
        return CassetteCache(self.path)

    def test_returns_a_whole_entry(self) -> None:
        """But for what differs from run to run: times, and the time that is left."""
        store = CassetteCache(self.path)
        origin = Origin("openai", "gpt", "gpt-2", "tenant", "User")
        entry = Entry(
            KEY, (Part("User", '{"a": 1}'),), pack_completion('{"id":"é"}'), origin, 1.5, 9.25, 0.5, attempts=2
        )
        store.set(KEY, encode_entry(entry))
        found = decode_entry(CassetteCache(self.path).get(KEY) or "", KEY)
        assert found == replace(entry, created=found.created, expires=None, seconds=0.0)
        assert found.created > 1.5

    def test_does_what_its_abilities_say(self) -> None:
        """It counts what is in the file."""
        store = self.make()
        store.set(KEY, "text")
        assert store.stats().entries == 1
        assert store.stats().bytes == self.path.stat().st_size

    def test_numbers_the_invalidations_of_tags(self) -> None:
        """A tag invalidates nothing that was recorded, or a replay would miss where the recording did not."""
        store = CassetteCache(self.path)
        assert store.invalidate(tag="a") == 0
        assert store.generations(("a",)).cover(0)


def ask(cassette: Any, text: str = "Anna is 25.", model: Any = None, mode: Any = "use", **keywords: Any) -> Any:
    client = from_provider("offline/demo", cache=cassette, cache_mode=mode)
    return client.create(model or Person, [{"role": "user", "content": text}], **keywords)


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "x.jsonl"


def test_an_answer_is_a_sorted_line_with_its_request(path: Path) -> None:
    for text in ("Cleo is 3.", "Anna is 25.", "Ben is 30.", "Anna is 25."):
        ask(CassetteCache(path), text)
    lines = path.read_text().splitlines()
    assert lines == sorted(lines)
    records = [json.loads(line) for line in lines]
    assert [record["request"]["messages"][0]["content"] for record in records] == [
        "Anna is 25.",
        "Ben is 30.",
        "Cleo is 3.",
    ]
    assert records[0]["answer"] == [{"tool": "Person", "spaced": {"name": "Anna", "age": 25}}]
    assert records[0]["completion"]["kind"] == "ChatCompletion"
    assert oct(path.stat().st_mode)[-3:] == "644"
    assert list(path.parent.iterdir()) == [path]


def test_a_changed_prompt_is_a_difference_of_two_lines(path: Path) -> None:
    for text in ("Anna is 25.", "Ben is 30.", "Cleo is 3."):
        ask(CassetteCache(path), text)
    before = path.read_text().splitlines()
    cassette = CassetteCache(path)
    for text in ("Anna is 25.", "Benedict is 30.", "Cleo is 3."):
        ask(cassette, text)
    assert cassette.prune() == 1
    changed = [line for line in difflib.ndiff(before, path.read_text().splitlines()) if line[0] in "+-"]
    assert len(changed) == 2


def test_recording_the_same_answer_again_changes_nothing(path: Path) -> None:
    """Though the provider gives every completion another id, and counts other tokens."""
    world = World(CassetteCache(path))
    world.reply = lambda: ScriptedReply({"name": "same"}, usage=Usage(world.asked))
    world.ask()
    before = path.read_bytes()
    assert world.ask(cache_mode="refresh") == "same"
    assert (world.asked, path.read_bytes()) == (2, before)
    world.reply = lambda: {"name": "other"}
    world.ask(cache_mode="refresh")
    assert CassetteCache(path).size()[0] == 1
    assert '"other"' in path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1.5,"é":[true,null]}',
        '{"a": 1, "b": "x y"}',
        '{"a":1,\n "b":2}',
        '{"a":1.50}',
        '{"a":1,"a":2}',
        "plain",
        "NaN",
        "",
    ],
)
def test_the_text_of_an_answer_is_kept_character_by_character(text: str) -> None:
    entry = Entry(KEY, (Part("User", text), Part("", "x")), b"", Origin("p", "m"), 1.0, steps="3,4")
    cassette_line = make_line({"key": KEY}, describe(entry))
    found = make_entry(read_line(cassette_line.text), KEY, 1.0)
    assert (found.parts, found.steps) == (entry.parts, "3,4")


def describe(entry: Entry) -> dict[str, Any]:
    from instructor.cache.cassette_lines import describe_answer

    return describe_answer(entry, Redactor())


# --- Which call is answered by which line


OTHERWISE: dict[str, dict[str, Any]] = {
    "messages[0].content": {"messages": [{"role": "user", "content": "hello!"}]},
    "model": {"model": "another"},
    "arguments.temperature": {"temperature": 0.5},
    "context.a": {"context": {"a": 2}},
    "strict": {"strict": False},
    "namespace": {"cache_namespace": "tenant"},
    "salt": {"cache_salt": "v2"},
    "response_model": {"response_model": create_model("Other", name=(str, ...))},
    "messages[0].content: stored": {
        "messages": [{"role": "user", "content": ["hello", Image.from_url("https://a.example/b.png")]}]
    },
}


@pytest.mark.parametrize("field", OTHERWISE)
def test_a_call_that_differs_is_not_answered_and_the_difference_is_named(path: Path, field: str) -> None:
    plain = {"response_model": User, "messages": MESSAGES, "context": {"a": 1}}
    World(CassetteCache(path)).client.create(**plain)
    offline = World(CassetteCache(path), cache_mode="replay")
    assert offline.client.create(**plain).name == "answer 1"
    with pytest.raises(CacheMiss) as caught:
        offline.client.create(**plain | OTHERWISE[field])
    assert f"The first difference: {field}" in str(caught.value)
    assert f"line 1 of {path}" in str(caught.value)
    assert offline.asked == 0


def test_the_explanation_quotes_the_place(path: Path) -> None:
    for text in ("Something else entirely", "The name of the user is Anna and her age is 25."):
        ask(CassetteCache(path), text)
    with pytest.raises(CacheMiss) as caught:
        ask(CassetteCache(path), "The name of the user is Anne and her age is 25.", mode="replay")
    assert "line 2 of" in str(caught.value)
    assert "character 27: stored '... the user is Anna and her age is 25.', asked '... the user is Anne and" in str(
        caught.value
    )


def test_the_key_is_the_clients_own(path: Path) -> None:
    """So that the file can fill any other cache."""
    keys: dict[str, list[str]] = {}
    for name, cache in (("memory", AutoCache()), ("cassette", CassetteCache(path))):
        world = World(cache)
        world.client.on("cache:miss", lambda event, name=name: keys.setdefault(name, []).append(event.key))
        world.ask(temperature=1, context={"é": (1, 2.5)}, cache_namespace="n", cache_salt="s", strict=False)
        world.ask(samples=2)
        world.ask(samples=2)
        world.client.create(None, MESSAGES)
    assert keys["cassette"] == keys["memory"]
    assert sorted(CassetteCache(path).recorded()) == sorted(keys["memory"])


def test_a_compatibly_changed_model_is_answered_and_another_is_not(path: Path) -> None:
    ask(CassetteCache(path))
    same_name = {"__base__": BaseModel}
    wider = create_model("Person", **same_name, age=(float, ...), name=(str, ...), city=(str, "?"))  # type: ignore[call-overload]
    assert ask(CassetteCache(path), model=wider, mode="replay").model_dump() == {"age": 25, "name": "Anna", "city": "?"}
    narrower = create_model("Person", **same_name, city=(str, ...))  # type: ignore[call-overload]
    with pytest.raises(CacheMiss, match=r"isn't valid for the response model of today.*schema\.properties\.city"):
        ask(CassetteCache(path), model=narrower, mode="replay")
    cassette = CassetteCache(path)
    ask(cassette, model=narrower)
    ask(cassette)
    assert (cassette.size()[0], cassette.unused()) == (2, [])
    assert ask(CassetteCache(path), mode="replay") == Person(name="Anna", age=25)


@both
def test_plain_calls_and_streams_of_either_client_share_a_line(path: Path, asynchronous: bool) -> None:
    assert World(CassetteCache(path), asynchronous).ask() == "answer 1"
    for kind in (False, True):
        world = World(CassetteCache(path), kind, cache_mode="replay")
        assert world.ask() == world.stream()[-1] == "answer 1"
        assert world.asked == 0
    assert CassetteCache(path).size()[0] == 1


def test_samples_have_lines_of_their_own(path: Path) -> None:
    world = World(CassetteCache(path))
    assert [world.ask(samples=2) for _ in range(3)] == ["answer 1", "answer 2", "answer 1"]
    offline = World(CassetteCache(path), cache_mode="replay")
    assert [offline.ask(samples=2) for _ in range(3)] == ["answer 1", "answer 2", "answer 1"]
    samples = [json.loads(line)["request"].get("sample", 0) for line in path.read_text().splitlines()]
    assert sorted(samples) == [0, 1]


def test_tags_and_ttls_of_the_program_do_not_matter(path: Path) -> None:
    settings: dict[str, Any] = {"cache_tags": ["doc:1"], "cache_ttl": 1}
    cassette = CassetteCache(path)
    World(cassette).ask(**settings)
    cassette.invalidate(tag="doc:1")
    assert World(CassetteCache(path), cache_mode="replay").ask(**settings) == "answer 1"


def test_behind_memory_a_cassette_records_the_same(path: Path) -> None:
    World([AutoCache(), CassetteCache(path)]).ask()
    assert '"messages"' in path.read_text()
    offline = World([AutoCache(), CassetteCache(path)], cache_mode="replay")
    assert (offline.ask(), offline.ask()) == ("answer 1", "answer 1")


# --- Secrets


def test_there_is_a_canary_of_each_kind() -> None:
    assert list(CANARIES) == [kind for kind, *_ in KINDS]
    assert len(CANARIES) >= 20


@pytest.mark.parametrize("kind", CANARIES)
def test_a_secret_reaches_neither_the_file_nor_an_error(path: Path, kind: str) -> None:
    """In a prompt, an argument or an answer; and the call is the same with another secret, or with what stands for it."""
    secret, text = CANARIES[kind]
    ask_with = {"messages": [{"role": "user", "content": text}], "context": {"note": json.dumps({"deep": [text]})}}
    world = World(CassetteCache(path))
    world.reply = lambda: {"name": text}
    assert world.client.create(User, **ask_with).name == text, "the live answer is the provider's"
    written = path.read_text()
    assert not leaks(secret, written)
    clean = json.loads(written)["request"]
    offline = World(CassetteCache(path), cache_mode="replay")
    replayed = offline.client.create(User, **ask_with)
    assert offline.client.create(User, messages=clean["messages"], context=clean["context"]) == replayed
    assert not leaks(secret, replayed.name)
    with pytest.raises(CacheMiss) as caught:
        offline.client.create(User, **ask_with, temperature=0.5)
    assert not leaks(secret, str(caught.value))


def leaks(secret: str, text: str) -> bool:
    """Whether a text holds a secret, or a piece of it that is long enough to be of use."""
    pieces = {secret[at : at + 12] for at in range(max(1, len(secret) - 11))}
    return any(piece in text for piece in pieces)


@pytest.mark.parametrize(("model", "mode"), TOOL_WIRES, ids=str)
async def test_secrets_cut_at_every_chunk_boundary_are_not_in_the_file(
    path: Path, stream_server: StreamServer, model: str, mode: Mode
) -> None:
    """All of them in one answer, one character in a chunk, over the real SDKs. Then replayed with the server gone."""
    value = JASON | {"tags": [text for _, text in CANARIES.values()]}
    tagged = create_model("User", name=(str, ...), age=(int, ...), tags=(list[str], ...))
    messages = [{"role": "user", "content": "Jason"}]
    events = CUTS[wire_of(model, mode)](answer_of(model, mode, value), 1)
    end = [b"data: [DONE]\n\n"] if wire_of(model, mode) == "openai_chat" else []
    stream_server.script([*map(encode, events), *end])
    async with connect(stream_server, model, mode=mode, cache=CassetteCache(path)) as client:
        live = list(client.create_partial(tagged, messages))
    assert live[-1].tags == value["tags"]
    written = await asyncio.to_thread(path.read_text)
    assert not [kind for kind, (secret, _) in CANARIES.items() if leaks(secret, written)]
    assert '"steps"' not in written, "they are places in a text that isn't the same any more"
    asked = len(stream_server.requests)
    for is_async in (False, True):
        async with connect(
            stream_server, model, mode=mode, cache=CassetteCache(path), cache_mode="replay", async_client=is_async
        ) as client:
            streamed = (await take(client.create_partial(tagged, messages)))[-1]
            plain, completion = await settle(client.create_with_completion(tagged, messages))
            assert streamed == plain
            assert plain.name == JASON["name"]
            assert not leaks(CANARIES["OpenAI key"][0], json.dumps(dumped(completion)))
    assert len(stream_server.requests) == asked


def test_secrets_of_your_own_are_replaced(path: Path) -> None:
    cassette = CassetteCache(path, redact=[r"ACME-\d+"])
    ask(cassette, "Anna of ACME-12345 is 25.")
    assert "ACME" not in path.read_text()
    assert ask(cassette, "Anna of ACME-99 is 25.", mode="replay") == Person(name="Anna", age=25)
    for wrong in ("ACME", ["("], [3]):
        with pytest.raises(ArgumentError, match="redact"):
            CassetteCache(path, redact=wrong)  # type: ignore[arg-type]


def test_a_client_may_use_a_cassette_for_some_calls_only(path: Path) -> None:
    """What it remembers of the same call elsewhere doesn't lead past the redaction."""
    prompts = [[{"role": "user", "content": CANARIES[kind][1]}] for kind in ("OpenAI key", "Groq key")]
    world = World(AutoCache())
    for _ in range(2):
        for messages in prompts:
            world.client.create(User, messages)
            world.client.create(User, messages, cache=CassetteCache(path))
    assert world.asked == 4


def test_json_in_texts_is_read_as_json() -> None:
    """However deep: the quotes and escapes in a password don't end it."""
    secret = 'ab"cd\\efgh\nijkl'
    text = json.dumps({"login": json.dumps([{"password": secret, "user": "ann"}])})
    redacted = Redactor()(text)
    assert json.loads(json.loads(redacted)["login"]) == [{"password": "[REDACTED secret]", "user": "ann"}]
    assert Redactor()(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "The password is short.",
        "a basic understanding",
        "https://example.com/home/page",
        "sk-1",
        "user@example.com",
        "12:30",
        "{not json",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor()(text) == text


# --- The file


def test_a_line_that_cannot_be_read_is_named(path: Path) -> None:
    ask(CassetteCache(path))
    path.write_text("<<<<<<< ours\n" + path.read_text())
    with pytest.raises(CacheError, match=r"Line 1 of the cassette .*x\.jsonl can't be read.*merge"):
        ask(CassetteCache(path), mode="replay")
    path.write_bytes(b"\xff\n")
    with pytest.raises(CacheError, match="isn't UTF-8"):
        ask(CassetteCache(path), mode="replay")


def test_a_file_may_be_edited_by_hand(path: Path) -> None:
    """Its key is made of the request that stands there. Windows' line ends, blank lines and any order are fine."""
    ask(CassetteCache(path))
    ask(CassetteCache(path), "Ben is 30.")
    edited = path.read_text().replace("Anna is 25.", "Anna is how old?").replace('"age": 25', '"age": 26')
    path.write_bytes("\r\n".join(["", *reversed(edited.splitlines()), ""]).encode())
    assert ask(CassetteCache(path), "Anna is how old?", mode="replay").age == 26
    assert ask(CassetteCache(path), "Ben is 30.", mode="replay").age == 30


def test_what_two_writers_record_is_kept(path: Path) -> None:
    """They began with the same file, and either sees what the other has recorded."""
    one, other = CassetteCache(path), CassetteCache(path)
    for cassette, text in ((one, "Anna is 25."), (other, "Ben is 30."), (one, "Cleo is 3.")):
        ask(cassette, text)
    assert [ask(other, text, mode="replay").name for text in ("Anna is 25.", "Cleo is 3.")] == ["Anna", "Cleo"]
    assert CassetteCache(path).size()[0] == 3


def test_threads_record_side_by_side(path: Path) -> None:
    cassettes = [CassetteCache(path) for _ in range(2)]

    def record(number: int) -> None:
        cassettes[number % 2].set(f"{number}", f"text {number}")

    threads = [threading.Thread(target=record, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(CassetteCache(path).recorded(), key=int) == [str(number) for number in range(16)]


def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cassette = CassetteCache(path)
    ask(cassette)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    assert ask(cassette, "Ben is 30.").name == "Ben", "the answer is paid for"
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.undo()


def test_verify_compares_and_writes_nothing(path: Path) -> None:
    World(CassetteCache(path)).ask()
    before = path.read_bytes()
    cassette = CassetteCache(path, verify=True)
    world = World(cassette, cache_mode="refresh")
    world.reply = lambda: {"name": "answer 1"}
    world.ask()
    assert cassette.differences == []
    world.reply = lambda: {"name": "answer 2"}
    world.ask()
    world.ask(temperature=0.5)
    assert path.read_bytes() == before
    assert [text.split(" from ")[0] for text in cassette.differences] == ["User", "User"]
    assert "answer[0].name, character 7: stored 'answer 1', asked 'answer 2'" in cassette.differences[0]
    assert "isn't recorded" in cassette.differences[1]


def test_unused_lines_are_known_and_pruned(path: Path) -> None:
    for text in ("Anna is 25.", "Ben is 30."):
        ask(CassetteCache(path), text)
    cassette = CassetteCache(path)
    ask(cassette, "Ben is 30.", mode="replay")
    assert len(cassette.unused()) == cassette.prune() == 1
    assert ask(CassetteCache(path), "Ben is 30.", mode="replay").name == "Ben"
    assert CassetteCache(path).prune() == 1
    assert not path.exists()


def test_a_path_is_needed() -> None:
    for wrong in ("", None, 3):
        with pytest.raises(ArgumentError, match="path"):
            CassetteCache(wrong)  # type: ignore[arg-type]


# --- Other stores


def test_a_cassette_fills_another_cache_and_back(path: Path, tmp_path: Path) -> None:
    ask(CassetteCache(path))
    ask(CassetteCache(path), "Ben is 30.")
    disk = DiskCache(tmp_path / "disk")
    assert copy_entries(CassetteCache(path), disk) == 2
    assert ask(disk, mode="replay") == Person(name="Anna", age=25)
    again = CassetteCache(tmp_path / "again.jsonl")
    assert copy_entries(disk, again) == 2
    assert ask(again, "Ben is 30.", mode="replay") == Person(name="Ben", age=30)


def test_what_may_not_be_served_is_not_copied(tmp_path: Path) -> None:
    source, target = DiskCache(tmp_path / "one"), DiskCache(tmp_path / "two")
    ask(source, "Anna is 25.", cache_tags=["gone"])
    ask(source, "Ben is 30.", cache_tags=["kept"], cache_ttl=100)
    source.set("a text", "no entry")
    source.invalidate(tag="gone")
    memory = AutoCache()  # which keeps what has expired
    memory.keep(Entry(KEY, (), b"", Origin("p", "m"), 1.0, expires=time.time() - 1))
    assert (copy_entries(source, target), copy_entries(memory, target)) == (1, 0)
    assert export_entries(memory, tmp_path / "none.jsonl") == 0
    assert ask(target, "Ben is 30.", mode="replay", cache_tags=["kept"]).name == "Ben"
    target.invalidate(tag="kept")
    with pytest.raises(CacheMiss):
        ask(target, "Ben is 30.", mode="replay", cache_tags=["kept"])


# --- use_cache


@both
def test_a_block_gives_every_client_its_cache(asynchronous: bool) -> None:
    """One with a cache of its own too, but not a call with one; also in tasks, and only in the block."""
    before, own, store, calls_own = (
        World(None, asynchronous),
        World(AutoCache(), asynchronous),
        AutoCache(),
        AutoCache(),
    )
    own.reply = lambda: {"name": "its own"}
    own.ask()
    with instructor.use_cache(store):
        inside = World(None, asynchronous)
        assert before.ask() == "answer 1"
        assert own.ask() == inside.ask() == "answer 1"
        own.ask(cache=calls_own)
    assert (before.asked, own.asked, inside.asked) == (1, 2, 0)
    assert (len(store), len(calls_own)) == (1, 1)
    assert before.ask() == "answer 2"
    with pytest.raises(ArgumentError, match="CassetteCache"), instructor.use_cache(None):
        pass


def test_the_mode_of_such_a_block_counts_before_all_others() -> None:
    world = World(None)
    with instructor.use_cache(AutoCache(), mode="replay"):
        for keywords in ({}, {"cache_mode": "refresh"}, {"cache_mode": "bypass"}):
            with pytest.raises(CacheMiss):
                world.ask(**keywords)
        with pytest.raises(CacheMiss), instructor.cache_mode("refresh"):
            world.ask()
    with instructor.use_cache(AutoCache()), instructor.cache_mode("refresh"):
        assert [world.ask(), world.ask(), world.ask(cache_mode="use")] == ["answer 1", "answer 2", "answer 2"]


def test_a_block_for_everywhere_holds_in_other_threads_and_earlier_tasks() -> None:
    world, other, store, found = World(None), World(None, asynchronous=True), AutoCache(), list[str]()

    async def main() -> None:
        go = asyncio.Event()

        async def earlier() -> None:
            await go.wait()
            found.append((await other.client.create(User, MESSAGES)).name)

        task = asyncio.create_task(earlier())
        await asyncio.sleep(0)
        with instructor.use_cache(store, everywhere=True):
            thread = threading.Thread(target=lambda: found.append(world.ask()))
            thread.start()
            await asyncio.to_thread(thread.join)
            go.set()
            await task

    asyncio.run(main())
    assert found == ["answer 1", "answer 1"]
    assert len(store) == 1

"""Memory before Redis or Valkey: what one process changes, the others stop serving, whatever the link does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.cluster
import redis.sentinel

from forks import Template
from instructor.cache import AutoCache, DiskCache, MemoryCache, RedisCache, SealedCache, TieredCache
from instructor.cache import redis_link as link_module
from instructor.cache.redis_steps import name_posted
from servers import Cluster, Relay, Sentinel, Valkey
from worlds import Process, World, both, tracker_of, until


@pytest.fixture
def closing() -> Iterator[contextlib.ExitStack]:
    """Closes what the test has opened."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats so quick that no test waits for one."""
    monkeypatch.setattr(link_module, "BEAT_SECONDS", 0.02)


def open_store(valkey: Valkey, closing: contextlib.ExitStack, **options: Any) -> RedisCache:
    return closing.enter_context(RedisCache(port=valkey.port, **options))


CHANGES: dict[str, tuple[Callable[[Process, Valkey], object], str]] = {
    "overwrite": (lambda other, valkey: other.ask(cache_mode="refresh"), "theirs"),
    "delete": (lambda other, valkey: other.store.delete(next(iter(other.memory._held))), "answer 2"),  # type: ignore[attr-defined]
    "clear": (lambda other, valkey: other.world.client.cache.clear(), "answer 2"),
    "invalidate": (lambda other, valkey: other.store.invalidate(model="m"), "answer 2"),
    "FLUSHALL": (lambda other, valkey: valkey.command("FLUSHALL"), "answer 2"),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
@both
def test_what_another_process_changes_is_not_served_from_memory(
    change: Callable[[Process, Valkey], object],
    expected: str,
    asynchronous: bool,
    valkey: Valkey,
    closing: contextlib.ExitStack,
) -> None:
    one, other = (Process(open_store(valkey, closing), asynchronous) for _ in range(2))
    other.world.reply = lambda: {"name": "theirs"}
    assert one.warm() == other.warm() == "answer 1"
    change(other, valkey)
    until(lambda: len(one.memory) == 0)
    assert one.ask() == expected


@both
def test_a_hit_in_memory_asks_the_server_nothing(
    asynchronous: bool, valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    one = Process(open_store(valkey, closing), asynchronous, MemoryCache())
    one.warm()
    one.tracker.close()
    until(lambda: len(one.memory) == 0)
    one.warm()
    reads = one.store.stats().hits
    assert [one.ask() for _ in range(5)] == ["answer 1"] * 5
    assert (one.store.stats().hits - reads, one.asked) == (0, 1)


def test_an_own_new_answer_is_served_at_once_in_place_of_the_old_one(
    valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    one = Process(open_store(valkey, closing))
    for number in range(1, 20):
        assert one.warm() == f"answer {number}"
        assert one.ask(cache_mode="refresh") == one.ask() == f"answer {number + 1}"


def test_what_is_invalidated_by_tag_is_not_served_from_the_moment_on_at_which_that_is_done(
    valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    one, other = (Process(open_store(valkey, closing)) for _ in range(2))
    for number in range(1, 20):
        assert one.warm(cache_tags=["doc"]) == f"answer {number}"
        other.store.invalidate(tag="doc")
        assert one.ask(cache_tags=["doc"]) == f"answer {number + 1}"


def test_a_sealed_store_keeps_memory_right_under_each_of_its_keys(
    valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    old, new = SealedCache.new_key(), SealedCache.new_key()
    one = Process(SealedCache(open_store(valkey, closing), keys=[new, old], mode="sign"))
    other = Process(SealedCache(open_store(valkey, closing), keys=[old], mode="sign"))
    assert other.warm() == one.warm()
    other.ask(cache_mode="refresh")
    until(lambda: len(one.memory) == 0)
    assert one.ask() == "answer 2"


def test_a_new_answer_is_kept_right_before_a_sealed_store_too(valkey: Valkey, closing: contextlib.ExitStack) -> None:
    """Memory has it by its key, and the server by another name."""
    key = SealedCache.new_key()
    one, other = (Process(SealedCache(open_store(valkey, closing), keys=[key], mode="sign")) for _ in range(2))
    one.warm(cache_namespace="another")  # so that the link is there
    assert one.ask() == "answer 2"
    other.world.reply = lambda: {"name": "theirs"}
    other.ask(cache_mode="refresh")
    until(lambda: one.ask() == "theirs")


CLIENTS: dict[str, Callable[[int], Any]] = {
    "client": lambda port: {"client": redis.Redis(port=port)},
    "async_client": lambda port: {"async_client": redis.asyncio.Redis(port=port)},
    "url": lambda port: {"url": f"redis://localhost:{port}/3"},
}


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
def test_the_link_goes_where_the_stores_own_client_goes(
    make: Callable[[int], Any], valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    store = RedisCache(**make(valkey.port))
    memory = AutoCache()
    watch = closing.enter_context(store).watch(memory)
    watch.note()
    until(lambda: tracker_of(store).is_on)
    memory.set("key", "text")
    valkey.command("SET", "instructor:key", "changed")
    until(lambda: len(memory) == 0)
    if store._client is not None:
        store._client.close()


@pytest.mark.usefixtures("patient")
def test_a_client_with_a_password_on_a_unix_socket_is_linked(tmp_path: Path, closing: contextlib.ExitStack) -> None:
    path = str(tmp_path / "s")
    server = Valkey(unixsocket=path)
    closing.callback(server.close)
    server.command("ACL", "SETUSER", "ann", "on", ">secret", "~*", "&*", "+@all")
    store = closing.enter_context(RedisCache(url=f"unix://ann:secret@{path}"))
    store.watch(AutoCache()).note()
    until(lambda: tracker_of(store).is_on)


def test_the_account_that_the_page_on_teams_names_may_do_all_that_is_needed(
    valkey: Valkey, closing: contextlib.ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "teams.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"It needs `([^`]+)`", page)
    valkey.command("ACL", "SETUSER", "crm", "reset", "on", ">secret", "~crm:*", *commands.split())
    closing.callback(valkey.command, "ACL", "DELUSER", "crm")
    one = Process(open_store(valkey, closing, prefix="crm:", username="crm", password="secret"))
    assert one.warm(cache_tags=["doc"]) == "answer 1"
    assert one.store.invalidate(tag="doc") == 1
    assert one.store.invalidate(model="m") == 1
    assert one.store.get_many(["a"]) == [None]
    one.warm()
    assert one.store.ledger().spent.count == 2
    assert valkey.command("ZCARD", name_posted("crm:")) == b":1\r\n", "a lost reply enters nothing twice"
    assert one.world.client.cache.clear() == 1
    assert caplog.records == []


def count_links(valkey: Valkey) -> int:
    return len(re.findall(rb" flags=\w*B", valkey.command("CLIENT", "LIST")))  # BCAST


def test_a_link_that_is_cut_empties_memory_and_is_made_anew(
    valkey: Valkey, relay: Relay, closing: contextlib.ExitStack
) -> None:
    one, other = Process(closing.enter_context(RedisCache(port=relay.port))), Process(open_store(valkey, closing))
    one.warm()
    valkey.hang()  # so that there's no new link before it is seen that the old one is gone
    relay.cut()
    until(lambda: not one.tracker.is_on)
    assert len(one.memory) == 0
    valkey.wake()
    other.ask(cache_mode="refresh")
    until(lambda: one.tracker.is_on)
    assert one.warm() == other.ask()


@pytest.mark.parametrize("dead", ["a server that hangs", "a network that lets nothing through"])
@pytest.mark.usefixtures("quick")
def test_a_link_that_is_dead_is_found_though_nobody_closes_it(
    dead: str, valkey: Valkey, relay: Relay, closing: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Process(closing.enter_context(RedisCache(port=relay.port)))
    one.warm()
    monkeypatch.setattr(link_module, "ANSWER_SECONDS", 0.02)
    (valkey.hang if "hangs" in dead else relay.silence)()
    until(lambda: not one.tracker.is_on)
    assert len(one.memory) == 0
    monkeypatch.setattr(link_module, "ANSWER_SECONDS", 30.0)
    (valkey.wake if "hangs" in dead else relay.go_on)()
    until(lambda: one.tracker.is_on)


def test_a_dead_link_is_found_within_a_second() -> None:
    assert link_module.BEAT_SECONDS + link_module.ANSWER_SECONDS < 1.0


def test_a_server_that_is_slow_is_no_dead_link_if_its_answer_has_come(
    valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    """The thread may have been kept from reading it: by a busy program, or because the process was stopped."""
    with contextlib.ExitStack() as stack:
        (link,) = link_module.open_links(redis.Redis(port=valkey.port), "p:", stack)
        assert link.go_on(link._last + link_module.BEAT_SECONDS) > 0  # sends a beat
        until(lambda: link.socket.recv(1, 2))  # MSG_PEEK: the answer is there
        link.read(lambda names: None)
        assert link.go_on(link._last) > 0
        late = link._last + link_module.BEAT_SECONDS
        link.go_on(late)
        with pytest.raises(link_module.LinkLostError):
            link.go_on(late + link_module.ANSWER_SECONDS)


@both
def test_while_the_server_is_down_memory_serves_what_was_asked_for_since(
    asynchronous: bool, valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    one = Process(open_store(valkey, closing), asynchronous)
    assert one.warm() == "answer 1"
    valkey.stop()
    until(lambda: not one.tracker.is_on)
    assert [one.ask() for _ in range(3)] == ["answer 2"] * 3
    valkey.start()
    until(lambda: one.tracker.is_on)
    assert len(one.memory) == 0


@pytest.mark.usefixtures("patient")
def test_a_server_that_cannot_track_leaves_memory_empty_and_says_what_to_do(
    closing: contextlib.ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    server = Valkey(rename_command="CLIENT hidden")
    closing.callback(server.close)
    one = Process(open_store(server, closing))
    one.tracker.note()
    until(lambda: caplog.records)
    assert [one.ask() for _ in range(2)] == ["answer 1"] * 2
    assert len(one.memory) == 0
    assert "RedisCache(tracking=False)" in caplog.text


def test_without_tracking_memory_keeps_what_it_has(valkey: Valkey, closing: contextlib.ExitStack) -> None:
    memory, store = AutoCache(), open_store(valkey, closing, tracking=False)
    World([memory, store]).ask()
    assert len(memory) == 1
    assert store._tracker is None


def test_a_disk_between_is_not_tracked_because_it_would_bring_back_what_is_gone(
    tmp_path: Path, valkey: Valkey, closing: contextlib.ExitStack
) -> None:
    store = open_store(valkey, closing)
    World([AutoCache(), closing.enter_context(DiskCache(tmp_path)), store]).ask()
    assert store._tracker is None


def test_many_clients_share_one_link_which_ends_with_the_store(valkey: Valkey) -> None:
    store = RedisCache(port=valkey.port, lease=None)  # whose thread would hold the store until it looks again
    cache = TieredCache(AutoCache(), store)
    for _ in range(3):
        World(cache).ask()
    tracker = tracker_of(store)
    until(lambda: tracker.is_on)
    until(lambda: count_links(valkey) == 1)  # those of tests before may be closing still
    del cache, store
    until(lambda: gc.collect() >= 0 and count_links(valkey) == 0)


def test_a_forked_child_has_an_empty_memory_and_a_link_of_its_own(
    template: Template, valkey: Valkey, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(f"""
import os
import sys
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on forking beside threads warns
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from instructor.cache import RedisCache, redis_link
from worlds import Process, until
redis_link.ANSWER_SECONDS = redis_link.CONNECT_SECONDS = 30.0
store = RedisCache(port={valkey.port}, timeout=30.0)
one = Process(store)
one.warm()
ours = one.tracker._session._links[0].socket.fileno()
child = os.fork()
if child == 0:
    assert len(one.memory) == 0 and not one.tracker.is_on
    try:
        os.fstat(ours)  # a server that is waiting for the parent's link to be read would wait for the child too
        os._exit(7)
    except OSError:
        pass
    one.warm()
    store.set(next(iter(one.memory._held)), "changed")
    until(lambda: len(one.memory) == 0)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
until(lambda: len(one.memory) == 0)
assert one.tracker.is_on
store.close()
""")
    done = template.run(program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def sentinel(valkey: Valkey, closing: contextlib.ExitStack) -> Sentinel:
    sentinel = Sentinel(valkey)
    closing.callback(sentinel.close)
    return sentinel


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("package", ["redis", "redis.asyncio"])
def test_behind_a_sentinel_the_link_follows_the_primary(
    package: str, valkey: Valkey, sentinel: Sentinel, closing: contextlib.ExitStack
) -> None:
    module = __import__(f"{package}.sentinel", fromlist=["Sentinel"])
    client = module.Sentinel([("127.0.0.1", 1), ("127.0.0.1", sentinel.port)]).master_for("mymaster")
    store = RedisCache(**{"client" if package == "redis" else "async_client": client})
    memory = AutoCache()
    watch = closing.enter_context(store).watch(memory)
    watch.note()
    until(lambda: tracker_of(store).is_on)
    until(lambda: count_links(valkey) == 1)
    heir = Valkey()
    closing.callback(heir.close)
    memory.set("key", "text")
    sentinel.name_primary(heir)
    until(lambda: len(memory) == 0)
    until(lambda: tracker_of(store).is_on)
    assert (count_links(valkey), count_links(heir)) == (0, 1)


@pytest.mark.usefixtures("quick")
def test_a_primary_that_becomes_a_replica_is_left(
    valkey: Valkey, sentinel: Sentinel, closing: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis.sentinel.Sentinel([("127.0.0.1", sentinel.port)]).master_for("mymaster")
    server = Valkey()
    closing.callback(server.close)
    with contextlib.ExitStack() as stack:
        links = link_module.open_links(client, "p:", stack)
        valkey.command("REPLICAOF", server.host, str(server.port))
        now = links[0]._last + link_module.BEAT_SECONDS
        links[0].go_on(now)
        links[0].socket.recv(1, 2)
        with pytest.raises(link_module.LinkLostError):
            links[0].read(lambda names: None)
    with contextlib.ExitStack() as stack, pytest.raises(link_module.LinkLostError):
        link_module.open_links(client, "p:", stack)
    valkey.command("REPLICAOF", "NO", "ONE")


def test_a_client_that_reads_from_replicas_is_refused(
    valkey: Valkey, sentinel: Sentinel, cluster: Cluster, closing: contextlib.ExitStack
) -> None:
    replica = redis.sentinel.Sentinel([("127.0.0.1", sentinel.port)]).slave_for("mymaster")
    nodes = closing.enter_context(redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port))
    nodes.read_from_replicas = True
    for client in (replica, nodes, object()):
        with contextlib.ExitStack() as stack, pytest.raises(link_module.TrackingRefusedError, match="tracking=False"):
            link_module.open_links(client, "p:", stack)


def cluster_store(cluster: Cluster, asynchronous: bool) -> RedisCache:
    node = redis.cluster.ClusterNode("127.0.0.1", cluster.nodes[0].port)
    if not asynchronous:
        return RedisCache(client=redis.RedisCluster(startup_nodes=[node]))
    return RedisCache(async_client=redis.asyncio.RedisCluster(port=node.port, host=node.host))


@both
def test_on_a_cluster_changes_are_heard_from_each_node(
    asynchronous: bool, cluster: Cluster, closing: contextlib.ExitStack
) -> None:
    store = closing.enter_context(cluster_store(cluster, asynchronous))
    writer = redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[1].port)
    closing.callback(writer.close)
    memory = AutoCache()
    store.watch(memory).note()
    until(lambda: tracker_of(store).is_on)
    assert [count_links(node) for node in cluster.nodes] == [1, 1, 1]
    keys = [f"key {number}" for number in range(12)]
    assert len({writer.get_node_from_key(f"instructor:{key}").port for key in keys}) == 3
    for key in keys:
        memory.set(key, "text")
        writer.set(f"instructor:{key}", "changed")
        until(partial(lambda key: key not in memory, key))
    if asynchronous:
        asyncio.run(store._async_client.aclose())
    else:
        store._client.close()


@pytest.mark.usefixtures("quick")
def test_when_slots_move_memory_is_emptied_and_all_nodes_are_linked_anew(
    cluster: Cluster, closing: contextlib.ExitStack
) -> None:
    store = closing.enter_context(cluster_store(cluster, False))
    closing.callback(store._client.close)
    memory = AutoCache()
    store.watch(memory).note()
    until(lambda: tracker_of(store).is_on)
    memory.set("key", "text")
    first, second, _ = cluster.nodes
    cluster.move_slot(0, first, second)
    until(lambda: len(memory) == 0)
    until(lambda: tracker_of(store).is_on)
    cluster.move_slot(0, second, first)


def test_a_cluster_serves_lists_removes_and_invalidates(cluster: Cluster, closing: contextlib.ExitStack) -> None:
    store = closing.enter_context(cluster_store(cluster, False))
    closing.callback(store._client.close)
    one = Process(store)
    assert one.warm(cache_tags=["doc"]) == "answer 1"
    assert store.invalidate(tag="doc") == 1
    assert one.ask(cache_tags=["doc"]) == "answer 2"
    for number in range(20):
        store.set(f"key {number}", "text")
    assert store.get_many([f"key {number}" for number in range(19, 22)]) == [b"text", None, None]
    assert store.clear() == 21

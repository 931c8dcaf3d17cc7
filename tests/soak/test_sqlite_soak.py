"""DiskCache under hundreds of kills and hundreds of damaged files. Run with ``pytest -m soak``."""

from __future__ import annotations

import mmap
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from cache.stores import connection_of
from instructor.cache import DiskCache
from instructor.cache.entry import Entry, Origin, decode_entry, encode_entry, pack_completion
from instructor.exceptions import CacheEntryError
from instructor.messages import Part

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

CHILD = Path(__file__).parents[1] / "cache" / "children" / "disk_write.py"
WRITERS = 3
PAGE = 4096


def start_writer(directory: Path, name: str, *numbers: int, stderr: IO[str] | None = None) -> subprocess.Popen[str]:
    arguments = map(str, numbers or [1_000_000])
    child = subprocess.Popen(
        [sys.executable, CHILD, directory, name, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    return child


def kill(child: subprocess.Popen[str]) -> list[str]:
    """Kill a writer after its first entry; return the keys that it said were stored."""
    assert child.stdout is not None
    first = child.stdout.readline().strip()
    child.send_signal(signal.SIGKILL)
    with child, child.stdout:  # not `communicate`, which would skip what the reader of the first line holds already
        return [first, *child.stdout.read().split("\n")[:-1]]


def test_no_kill_loses_what_was_stored_or_damages_the_file(tmp_path: Path) -> None:
    written: list[str] = []
    with DiskCache(tmp_path / "cache", size_limit=None, timeout=30) as cache:
        for number in range(100):
            children = [start_writer(cache.directory, f"{number} {writer} ") for writer in range(WRITERS)]
            for child in children:
                written += kill(child)
            cache.set(f"beside {number}", "text")
        assert [key for key in written if cache.get(key) != b"x" * 2000] == []
        assert connection_of(cache).raw.execute("PRAGMA integrity_check").fetchone() == (b"ok",)
    assert len(written) >= 100 * WRITERS
    assert not list(cache.directory.glob("*damaged*"))


def test_processes_that_write_without_a_pause_are_refused_nothing(tmp_path: Path) -> None:
    limit, count, log = 1 << 20, 5000, tmp_path / "warnings"
    with log.open("w") as file:
        children = [start_writer(tmp_path, f"{number} ", count, limit, stderr=file) for number in range(2)]
        written = [child.communicate()[0].split("\n")[:-1] for child in children]
    assert list(map(len, written)) == [count, count]
    assert "can store nothing new" not in log.read_text()
    with DiskCache(tmp_path, limit) as cache:
        assert cache.get(written[0][-1]) or cache.get(written[1][-1])


def test_nothing_is_read_or_recalled_that_was_replaced_before(tmp_path: Path) -> None:
    """While another process writes, and the file is closed and opened by threads that come and go."""
    shared, stale, recalled = tmp_path / "shared", list[tuple[int, int, int]](), list[int]()
    shared.write_bytes(bytes(16))
    with shared.open("r+b") as file:
        begun_and_done = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
    store = DiskCache(tmp_path / "cache", timeout=30)

    def read() -> None:
        for _ in range(random.choice([10, 1000])):
            done = begun_and_done[1]
            known = store.recall("key", may_wait=True)
            text = store.get("key") if known is None else known.text
            number = 0 if text is None else int(text.split()[0])
            if not done <= number <= begun_and_done[0]:
                stale.append((done, number, begun_and_done[0]))
            recalled.append(known is not None)
        if random.random() < 0.3:
            store.close()

    with subprocess.Popen(
        [sys.executable, CHILD.with_name("disk_number.py"), store.directory, shared, "1000"]
    ) as writer:
        while writer.poll() is None:
            threads = [threading.Thread(target=read) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert stale == []
    assert writer.returncode == 0
    assert sum(recalled) > 1000


def damage(path: Path, dice: random.Random) -> None:
    """Do to a file what a disk, a person or a full memory may do."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    page = at // PAGE * PAGE
    kinds = {
        "bit": lambda: data.__setitem__(at, data[at] ^ 1 << dice.randrange(8)),
        "bits": lambda: [data.__setitem__(dice.randrange(len(data)), dice.randrange(256)) for _ in range(50)],
        "zeros": lambda: data.__setitem__(slice(page, page + PAGE), bytes(PAGE)),
        "noise": lambda: data.__setitem__(slice(page, page + PAGE), dice.randbytes(PAGE)),
        "swap": lambda: data.__setitem__(slice(page, page + PAGE), data[:PAGE]),
        "cut": lambda: data.__delitem__(slice(at, None)),
        "longer": lambda: data.extend(dice.randbytes(5000)),
        "other": lambda: data.__setitem__(slice(None), b"this is no database" * 500),
        "empty": data.clear,
    }
    dice.choice(list(kinds.values()))()
    path.write_bytes(data)


def entry(number: int) -> Entry:
    parts = (Part("", f"text {number} " + "x" * (number * 37 % 1500)),)
    return Entry(f"{number:064}", parts, pack_completion("{}"), Origin("", ""), 1.0)


def read(cache: DiskCache, number: int) -> bool:
    """Read an entry as the engine does; return whether it is there."""
    key = f"{number:064}"
    found = cache.get(key)
    try:
        decoded = decode_entry(found, key) if found is not None else None
    except CacheEntryError:
        return False
    assert decoded is None or decoded.parts == entry(number).parts
    return decoded is not None


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_no_damage_raises_hangs_or_serves_a_wrong_answer(tmp_path: Path, suffix: str) -> None:
    original = tmp_path / "original"
    with DiskCache(tmp_path / "cache") as cache:
        for number in range(80):
            cache.set(f"{number:064}", encode_entry(entry(number)))
        if suffix == "":
            connection_of(cache).raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        shutil.copytree(cache.directory, original)  # as of a machine that stopped
    for number in range(150):
        directory = tmp_path / str(number)
        shutil.copytree(original, directory)
        damage(directory / f"answers.sqlite3{suffix}", random.Random(number))
        for _ in range(2):
            with DiskCache(directory) as cache:
                for at in range(80):
                    if not read(cache, at):
                        cache.set(f"{at:064}", encode_entry(entry(at)))
        with DiskCache(directory) as cache:
            assert all(read(cache, at) for at in range(80)), f"round {number}"
        shutil.rmtree(directory)


def test_every_bit_of_the_header_heals(tmp_path: Path) -> None:
    with DiskCache(tmp_path / "original") as cache:
        cache.set("key", "text")
    original = cache.path.read_bytes()
    for bit in range(100 * 8):
        path = tmp_path / str(bit) / "answers.sqlite3"
        path.parent.mkdir()
        path.write_bytes(original[: bit // 8] + bytes([original[bit // 8] ^ 1 << bit % 8]) + original[bit // 8 + 1 :])
        with DiskCache(path.parent) as cache:
            assert cache.get("key") in {None, b"text"}, f"bit {bit}"
            cache.set("new", "text")
            assert cache.get("new") == b"text", f"bit {bit}"
        shutil.rmtree(path.parent)

"""A fork waits for threads that are within SQLite, and they for it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from instructor.cache import DiskCache, sqlite_file, sqlite_fork
from instructor.cache.sqlite_fork import gate


def test_a_fork_waits_until_no_thread_is_within_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []

    def read() -> None:
        while not ended:
            """As a function that calls SQLite."""

    thread = threading.Thread(target=read)
    thread.start()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            ended.append(True)
            thread.join()

    monkeypatch.setattr(sqlite_fork, "_FILES", __file__)
    monkeypatch.setattr(sqlite_fork, "time", SimpleNamespace(sleep=pause, monotonic=lambda: 0.0))
    try:
        gate.close()
    finally:
        gate.open()
        ended.append(True)
    assert len(pauses) == 3


@pytest.mark.parametrize("operation", ["get", "delete", "close"])
def test_who_is_about_to_call_sqlite_waits_for_a_fork(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DiskCache(tmp_path) as cache:
        cache.set("key", "text")
        cache.get("key")
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            gate.open()

        monkeypatch.setattr(sqlite_fork, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
        monkeypatch.setattr(gate, "is_closed", True)
        getattr(cache, operation)(*["key"][: operation != "close"])
        assert len(pauses) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_does_not_keep_the_lock_that_a_thread_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inherited: list[int] = []
    real = sqlite_file._lock
    monkeypatch.setattr(
        sqlite_file, "_lock", lambda descriptor: (real(descriptor), inherited.append(os.dup(descriptor)))
    )
    for name in ("a", "b"):
        DiskCache(tmp_path, timeout=0.1).set(name, "text")  # it opens the file
    for descriptor in inherited:
        os.close(descriptor)
    assert len(inherited) == 2

"""A fork waits for threads that are within SQLite, and they for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from instructor.cache import DiskCache, sqlite_fork
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

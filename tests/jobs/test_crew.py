"""The threads of a job: who takes which task, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from instructor.jobs.crew import Crew, Tray


def make(
    perform: Callable[[int], int] = abs, goes_on: Callable[[int], bool] = bool
) -> tuple[Crew[int, int | str], SimpleQueue[int | str]]:
    done: SimpleQueue[int | str] = SimpleQueue()
    crew: Crew[int, int | str] = Crew(
        perform, done.put, lambda result: goes_on(int(result)), lambda task, _: f"no {task}"
    )
    return crew, done


def test_a_thread_that_is_done_takes_the_next_task_by_itself():
    crew, done = make()
    for task in (1, 2, 3):
        crew.submit(task)
    assert [done.get(timeout=30) for _ in range(3)] == [1, 2, 3]
    crew.dismiss()


def test_a_thread_that_may_not_go_on_waits_until_somebody_says_so():
    crew, done = make()
    for task in (1, 0, 2):
        crew.submit(task)
    assert [done.get(timeout=30) for _ in range(2)] == [1, 0]
    assert crew.withdraw(lambda _: False) == []
    assert done.empty()
    crew.begin()
    assert done.get(timeout=30) == 2
    crew.dismiss()


def test_no_more_tasks_are_under_way_than_there_may_be():
    gate, entered = threading.Semaphore(0), SimpleQueue[int]()

    def perform(task: int) -> int:
        entered.put(task)
        assert gate.acquire(timeout=30)
        return task

    crew, done = make(perform)
    crew.most = 2
    for task in (1, 2, 3, 4):
        crew.submit(task)
    assert {entered.get(timeout=30), entered.get(timeout=30)} == {1, 2}
    crew.most = 1
    gate.release()
    done.get(timeout=30)
    assert entered.empty(), "the other thread is the only one that may be at work"
    crew.most = 3
    crew.begin()
    assert {entered.get(timeout=30), entered.get(timeout=30)} == {3, 4}
    gate.release(3)
    crew.dismiss()


def test_a_task_that_waits_can_be_withdrawn():
    gate = threading.Event()
    crew, done = make(lambda task: task if gate.wait(30) else 0)
    for task in (1, 2, 3, 4):
        crew.submit(task)
    assert crew.withdraw(lambda task: task % 2 == 0) == [2, 4]
    gate.set()
    assert [done.get(timeout=30) for _ in range(2)] == [1, 3]
    crew.dismiss()


def test_where_there_is_no_thread_and_none_can_be_started_a_task_is_refused(monkeypatch: pytest.MonkeyPatch):
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    crew, done = make()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        crew.submit(1)
    assert done.get(timeout=30) == "no 1"
    crew.submit(2)
    assert done.get(timeout=30) == 2
    crew.dismiss()


def test_what_no_new_thread_can_be_started_for_is_done_by_those_that_are_there(monkeypatch: pytest.MonkeyPatch):
    gate = threading.Event()
    crew, done = make(lambda task: task if gate.wait(30) else 0)
    crew.most = 2
    crew.submit(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("no more")))
        crew.submit(2)
    gate.set()
    assert [done.get(timeout=30) for _ in range(2)] == [1, 2]
    crew.dismiss()


def test_a_task_may_be_anything_but_none():
    gate = threading.Event()
    crew, done = make(lambda task: task if gate.wait(30) else -1)
    crew.submit(1)
    crew.submit(0)  # which the thread takes by itself
    gate.set()
    assert [done.get(timeout=30) for _ in range(2)] == [1, 0]
    crew.dismiss()


def test_a_tray_holds_what_nobody_was_woken_for():
    tray = Tray[int]()
    tray.put(1)
    tray.ring()
    tray.ring()
    tray.put(2)
    tray.wait(30)
    assert list(tray.take()) == [1, 2]
    tray.wait(0.001)  # the bell rang once
    assert list(tray.take()) == []

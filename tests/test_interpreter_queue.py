"""The queue for the interpreter: one thread of a job at a time, and nobody waits for long for one that blocks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest
from pydantic import BaseModel, field_validator

import instructor
from instructor import interpreter_queue
from instructor.cache import BaseCache
from instructor.engine import drive
from instructor.engine.effects import AwaitLease, Check, Reserve, Send, Sleep, Wait
from instructor.interpreter_queue import InterpreterQueue, leave_while_waiting, waiting

ROWS = 4
FOR_EVER = 30.0


@pytest.fixture(autouse=True)
def quit_afterwards() -> Iterator[None]:
    yield
    if (queue := interpreter_queue._own.queue) is not None:
        queue.quit()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits in the queue waits until the test fails."""
    monkeypatch.setattr(interpreter_queue, "PATIENCE", FOR_EVER)
    monkeypatch.setattr(interpreter_queue, "LONGEST_WAIT", FOR_EVER)
    monkeypatch.setattr(InterpreterQueue, "_judge", lambda _: None)


def start(act: Callable[[], object]) -> SimpleQueue[object]:
    """Do something in a thread; return where its result comes."""
    results: SimpleQueue[object] = SimpleQueue()
    threading.Thread(target=lambda: results.put(act()), daemon=True).start()
    return results


def stop_clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Clocks that stand still, of the time and of the processor's."""
    clock = SimpleNamespace(now=10.0, work=0.0)
    clock.perf_counter = clock.monotonic = lambda: clock.now
    clock.thread_time = lambda: clock.work
    monkeypatch.setattr(interpreter_queue, "time", clock)
    return clock


def passes(queue: InterpreterQueue) -> bool:
    """Join a queue and quit; return whether it came to a turn."""
    queue.join()
    had_turn = has_turn()
    queue.quit()
    return had_turn


def has_turn() -> bool:
    return interpreter_queue._own.has_turn


async def see_turn() -> bool:
    return has_turn()


def test_one_thread_at_a_time_has_its_turn(patient: None):
    queue, log = InterpreterQueue(), list[str]()

    def act() -> None:
        queue.join()
        log.append("the second")
        queue.quit()

    queue.join()
    done = start(act)
    time.sleep(0.01)  # the other one would be through by now
    log.append("the first")
    queue.leave()
    done.get(timeout=FOR_EVER)
    assert log == ["the first", "the second"]


def test_who_waits_for_something_else_lets_the_next_one_go_on(patient: None):
    queue = InterpreterQueue()

    queue.join()
    with waiting:
        assert not has_turn()
        with waiting:
            assert start(lambda: passes(queue)).get(timeout=FOR_EVER)
    assert has_turn()


def test_a_thread_outside_knows_nothing_of_it():
    with waiting:
        assert not has_turn()
    assert not has_turn()
    request = SimpleNamespace(extensions={})
    leave_while_waiting(request)
    assert request.extensions == {}


def test_who_blocks_loses_its_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interpreter_queue, "PATIENCE", 0.001)
    queue = InterpreterQueue()
    begin, end = threading.Event(), threading.Event()

    def act() -> bool:
        queue.join()
        begin.set()
        assert end.wait(FOR_EVER)
        return has_turn()

    queue.join()
    done = start(act)
    assert begin.wait(FOR_EVER)
    monkeypatch.setattr(interpreter_queue, "PATIENCE", FOR_EVER)
    queue.leave()  # which takes nothing from the one that goes on
    assert not queue._turn.acquire(blocking=False)
    end.set()
    assert done.get(timeout=FOR_EVER)


def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch):
    """However many others have their turn meanwhile."""
    monkeypatch.setattr(interpreter_queue, "LONGEST_WAIT", 0.001)
    monkeypatch.setattr(interpreter_queue, "PATIENCE", FOR_EVER)
    queue = InterpreterQueue()
    queue.join()
    queue._is_watched = True
    assert start(lambda: passes(queue)).get(timeout=FOR_EVER) is False
    assert has_turn()
    queue.leave()
    assert start(lambda: passes(queue)).get(timeout=FOR_EVER) is True


@pytest.mark.parametrize(("worked", "every", "queues"), [(0.4, 4, False), (0.6, 1, True), (0.0, 5, True)])
def test_nobody_queues_while_turns_are_spent_waiting(
    monkeypatch: pytest.MonkeyPatch, worked: float, every: int, queues: bool
):
    clock = stop_clock(monkeypatch)
    queue = InterpreterQueue()
    queue.join()
    for number in range(1, interpreter_queue.JUDGED + 1):
        assert has_turn()
        clock.now += 0.001
        clock.work += 0.001 * (1.0 if number % every else worked)
        queue.leave()
        queue.stand()
    assert has_turn() is queues
    clock.now += interpreter_queue.PAUSES[0]
    queue.stand()
    assert has_turn()


def test_nobody_queues_while_turns_are_long(monkeypatch: pytest.MonkeyPatch):
    clock = stop_clock(monkeypatch)
    queue = InterpreterQueue()
    queue.join()
    for _ in range(interpreter_queue.JUDGED):
        clock.now += 0.005
        clock.work += 0.005
        queue.leave()
        queue.stand()
    assert not has_turn()


def test_the_pause_grows_until_the_threads_are_at_work_again(monkeypatch: pytest.MonkeyPatch):
    clock = stop_clock(monkeypatch)
    queue, pauses = InterpreterQueue(), list[float]()
    queue.join()
    for worked in (0.1, 0.1, 0.1, 1.0, 0.1):
        for _ in range(interpreter_queue.JUDGED):
            clock.now += 0.001
            clock.work += worked / 1000
            queue.leave()
            queue.stand()
        if not has_turn():
            pauses.append(queue._closed_until - clock.now)
            clock.now = queue._closed_until
            queue.stand()
    assert pauses == [1.0, 2.0, 4.0, 1.0]


def test_nobody_queues_where_threads_run_side_by_side(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys._is_gil_enabled", lambda: False, raising=False)
    queue = InterpreterQueue()
    queue.join()
    assert not has_turn()


class Answer(BaseModel):
    text: str


CALL = {"id": "c", "type": "function", "function": {"name": "Answer", "arguments": '{"text": "yes"}'}}
MESSAGE = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}
CHAT = {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
USE = {"type": "tool_use", "id": "c", "name": "Answer", "input": {"text": "yes"}}
CLAUDE: dict[str, Any] = {
    "id": "i",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "stop_reason": "tool_use",
    "content": [USE],
}
CLAUDE["usage"] = {"input_tokens": 1, "output_tokens": 1}


@pytest.fixture
def together() -> threading.Barrier:
    """Lets threads through once all rows have come."""
    return threading.Barrier(ROWS, timeout=10)


@pytest.fixture(params=["headers", "body"])
def address(request: pytest.FixtureRequest, together: threading.Barrier) -> Iterator[str]:
    """A server that keeps back the headers of its answers, or their bodies, until all rows have asked."""
    is_late = {"headers": request.param == "headers", "body": request.param == "body"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            data = json.dumps(CLAUDE if self.path.endswith("/messages") else CHAT).encode()
            if is_late["headers"]:
                together.wait()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.flush()
            if is_late["body"]:
                together.wait()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def run(client: Any, model: Any = Answer, rows: Any = range(ROWS), **keywords: Any) -> None:
    answers = [row.value for row in client.map(map(str, rows), model, concurrency=ROWS, progress=False, **keywords)]
    assert len(answers) == ROWS


@pytest.mark.parametrize("model", ["openai/m", "anthropic/m"])
def test_rows_wait_for_the_provider_at_once(patient: None, address: str, model: str):
    client = instructor.from_provider(model, base_url=address, api_key="none")
    assert client._adapter.leaves_queue
    run(client)


def test_rows_wait_at_once_for_a_client_of_the_callers(patient: None, address: str):
    with openai.OpenAI(base_url=address, api_key="none") as own, openai.DefaultHttpxClient() as http:
        run(instructor.from_openai(own, model="m"))
        client = instructor.from_provider("openai/m", base_url=address, api_key="none", http_client=http)
        assert not client._adapter.leaves_queue
        run(client)


def test_rows_wait_at_once_for_a_store_elsewhere(patient: None, together: threading.Barrier):
    class Store(BaseCache):
        met = 0

        def get(self, key: str) -> None:
            self.meet()

        def set(self, key: str, value: str | bytes, ttl: int | None = None) -> None:
            self.meet()

        def meet(self) -> None:
            together.wait()
            self.met += 1

    store = Store()
    run(instructor.from_provider("offline/demo", cache=store))
    assert store.met == 2 * ROWS


def test_a_row_that_runs_a_job_of_its_own_lets_others_go_on(patient: None, together: threading.Barrier):
    client = instructor.from_provider("offline/demo")

    class Inner(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def meet(cls, name: str) -> str:
            together.wait()
            return name

    class Outer(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def ask(cls, name: str) -> str:
            (row,) = client.map([name], Inner, progress=False)
            assert row.value is not None
            return name

    run(client, Outer)


@pytest.mark.parametrize(
    "effect",
    [
        Wait(cast("Any", SimpleNamespace(wait=lambda _: has_turn()))),
        AwaitLease(cast("Any", SimpleNamespace(leases=SimpleNamespace(wait=lambda *_: has_turn()))), "key", "holder"),
        Reserve(cast("Any", SimpleNamespace(wait=has_turn))),
        Sleep(0.0),
        Check(cast("Any", see_turn)),
        Send("create", {}),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_an_effect_that_waits_leaves_the_queue(patient: None, monkeypatch: pytest.MonkeyPatch, effect: Any):
    monkeypatch.setattr(time, "sleep", lambda _: has_turn())
    queue = InterpreterQueue()
    queue.join()
    assert drive.perform(effect, cast("Any", SimpleNamespace(send=lambda *_: has_turn())), []) is False
    assert has_turn()

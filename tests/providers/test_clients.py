"""How long an SDK's client lives: one for each event loop where it is ours, made without holding up any loop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import anthropic
import httpx2
import openai
import pytest
from google import genai

from instructor.exceptions import ConfigurationError
from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
from instructor.providers.clients import Copies, LoopClients, SharedClient
from instructor.providers.sdk_adapter import SdkAdapter
from replies import Reply, ReplyServer, chat_completion

KEY = "sk-secret-0001"
MESSAGES = [{"role": "user", "content": "hi"}]
CHAT = ("chat.completions.create", {"model": "m", "messages": MESSAGES}, chat_completion(content="yes"))
CALLS = {
    "openai/m": CHAT,
    "azure_openai/m": CHAT,
    "anthropic/m": (
        "messages.create",
        {"model": "m", "messages": MESSAGES, "max_tokens": 9},
        {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 1}},
    ),
    "google/m": (
        "models.generate_content",
        {"model": "m", "contents": "hi"},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}}]},
    ),
}
vendors = pytest.mark.parametrize("model", CALLS)
pytestmark = pytest.mark.usefixtures("clean_heap")


def make_adapter(model: str, server: ReplyServer, **options) -> SdkAdapter:
    server.script(Reply(CALLS[model][2]))
    return from_provider(model, async_client=True, base_url=server.url, api_key=KEY, **options)._adapter


async def send(port: SdkAdapter, model: str):
    """Send, and return the SDK's client that sent."""
    operation, request, _ = CALLS[model]
    assert await port.send(operation, request)
    return port.client


def is_closed(client) -> bool:
    inner = getattr(client, "_api_client", client)
    return getattr(inner, "_async_httpx_client" if hasattr(client, "aio") else "_client").is_closed


async def close(client) -> None:
    closing = client.close()
    if inspect.isawaitable(closing):
        await closing
    if hasattr(client, "aio"):
        await client.aio.aclose()


@vendors
def test_one_client_serves_one_asyncio_run_after_another(model, reply_server: ReplyServer):
    """Connections that were left open would warn when they are collected."""
    port = make_adapter(model, reply_server)

    async def ask_twice():
        return await send(port, model), await send(port, model)

    clients = [client for _ in range(3) for client in asyncio.run(ask_twice())]
    assert len(reply_server.requests) == 6
    assert len(set(map(id, clients))) == 3, "one for each loop"
    assert all(map(is_closed, clients)), "each with its loop"
    del clients
    gc.collect()


@vendors
def test_loops_that_take_turns_keep_their_clients(model, reply_server: ReplyServer):
    port = make_adapter(model, reply_server)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        clients = [runner.run(send(port, model)) for runner in (first, second) * 3]
        assert len(reply_server.requests) == 6
        assert [clients[0]] * 3 == clients[::2]
        assert [clients[1]] * 3 == clients[1::2]
        assert clients[0] is not clients[1]
        assert not any(map(is_closed, clients))
    assert all(map(is_closed, clients))


@vendors
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_closed_without_its_end_leaves_nothing_that_fails_on_another(model, reply_server: ReplyServer):
    """The connection itself is lost with the loop, as with the SDK; only its warning is let pass."""
    port = make_adapter(model, reply_server)
    cut_off = asyncio.new_event_loop()
    first = weakref.ref(cut_off.run_until_complete(send(port, model)))
    cut_off.close()
    complaints = []

    async def go_on():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await send(port, model)
        gc.collect()
        assert first() is None, "it is let go"
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()

    asyncio.run(go_on())
    assert len(reply_server.requests) == 2
    assert complaints == []


@pytest.mark.newest_sdks
@vendors
def test_a_port_that_is_dropped_closes_its_client_while_the_loop_runs_on(model, reply_server: ReplyServer):
    async def main():
        port = make_adapter(model, reply_server)
        client = await send(port, model)
        del port
        gc.collect()
        while not is_closed(client):
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_loop_that_ends_while_a_client_is_closed_lets_it_finish():
    """The end of a loop cancels what still runs on it; each connection takes a turn of the loop to close."""
    steps = []

    async def close_slowly(_client) -> None:
        for step in range(20):
            await asyncio.sleep(0)
            steps.append(step)

    async def main():
        clients = LoopClients(lambda: "client", close_slowly)
        assert clients.get() == "client"
        del clients
        gc.collect()
        while not steps:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert steps == list(range(20))


def test_a_loop_that_goes_on_after_its_end_gets_another_client(reply_server: ReplyServer):
    """A library may end a loop's generators by itself; the client must not stay closed."""
    port = make_adapter("openai/m", reply_server)
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(send(port, "openai/m"))
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert is_closed(first)
    with pytest.warns(ResourceWarning, match="shutdown_asyncgens"):
        second = loop.run_until_complete(send(port, "openai/m"))
    loop.run_until_complete(close(second))
    loop.close()


def test_a_client_is_copied_once_to_send_without_retries_and_again_when_it_was_changed():
    client, copies = openai.AsyncOpenAI(api_key=KEY), Copies()
    client._platform = "Linux"
    first = copies.find(client, {"max_retries": 0})
    assert (first.max_retries, first.api_key, first._platform) == (0, KEY, "Linux")
    client.chat.completions.with_raw_response  # noqa: B018 - what hangs on a client isn't a change
    assert copies.find(client, {"max_retries": 0}) is first
    client.api_key = "sk-rotated-0002"
    assert copies.find(client, {"max_retries": 0}).api_key == "sk-rotated-0002"
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_outside_a_loop_there_is_one_client_which_no_loop_uses_or_closes(reply_server: ReplyServer):
    port = make_adapter("openai/m", reply_server)
    outside = port.client
    assert port.client is outside
    assert asyncio.run(send(port, "openai/m")) is not outside
    assert port.client is outside
    assert not is_closed(outside)


@pytest.mark.newest_sdks
@pytest.mark.parametrize("way", ["openai", "anthropic", "google", "http_client"])
def test_what_the_caller_made_stays_one_and_open(way, reply_server: ReplyServer):
    models = {"anthropic": "anthropic/m", "google": "google/m"}
    model = models.get(way, "openai/m")
    reply_server.script(Reply(CALLS[model][2]))
    http_client = httpx2.AsyncClient()
    client = {
        "openai": lambda: from_openai(openai.AsyncOpenAI(api_key=KEY, base_url=reply_server.url)),
        "anthropic": lambda: from_anthropic(anthropic.AsyncAnthropic(api_key=KEY, base_url=reply_server.url)),
        "google": lambda: from_genai(
            genai.Client(api_key=KEY, http_options={"base_url": reply_server.url}), use_async=True
        ),
        "http_client": lambda: from_provider(
            model, async_client=True, api_key=KEY, base_url=reply_server.url, http_client=http_client
        ),
    }[way]()
    ended = []

    async def main():
        made = await send(client._adapter, model)
        await asyncio.get_running_loop().shutdown_asyncgens()
        ended.append(is_closed(made))
        await close(made)
        return made

    made = asyncio.run(main())
    assert ended == [False]
    assert client.client is made


@pytest.mark.newest_sdks
def test_credentials_of_the_caller_are_not_closed_with_a_loop(reply_server: ReplyServer):
    class Credentials:
        closed = False

        def __call__(self, *, force_refresh: bool = False):
            return anthropic.AccessToken(token="t")

        def close(self) -> None:
            self.closed = True

    credentials = Credentials()
    reply_server.script(Reply(CALLS["anthropic/m"][2]))
    client = from_provider(
        "anthropic/m", async_client=True, base_url=reply_server.url, credentials=credentials, api_key=None
    )
    for _ in range(2):
        assert is_closed(asyncio.run(send(client._adapter, "anthropic/m")))
    assert not credentials.closed


@vendors
async def test_a_default_executor_that_is_full_does_not_hold_up_the_first_request(model, reply_server: ReplyServer):
    """Its threads may be waiting for this very call, as those of synchronous callers of the same question do."""
    # With aiohttp, google-genai looks proxies up in the default executor, which is aiohttp's own affair.
    by_httpx = {"http_client": httpx2.AsyncClient()} if "google" in model and find_spec("aiohttp") else {}
    port = make_adapter(model, reply_server, **by_httpx)
    answered = threading.Event()
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    waiting = loop.run_in_executor(None, answered.wait, 60)
    try:
        assert await asyncio.wait_for(send(port, model), 30)
    finally:
        answered.set()
        await waiting


async def test_calls_that_start_at_once_share_one_client_and_one_thread(
    reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch
):
    threads = []
    real = openai.AsyncOpenAI

    def make(**arguments):
        threads.append(threading.current_thread())
        return real(**arguments)

    monkeypatch.setattr(openai, "AsyncOpenAI", make)
    port = make_adapter("openai/m", reply_server)
    clients = await asyncio.gather(*(send(port, "openai/m") for _ in range(8)))
    assert len(set(map(id, clients))) == len(threads) == 1
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


async def test_a_cancelled_call_leaves_the_client_to_the_others(
    reply_server: ReplyServer, monkeypatch: pytest.MonkeyPatch
):
    go_on = threading.Event()
    real = openai.AsyncOpenAI

    def make(**arguments):
        assert go_on.wait(60)
        return real(**arguments)

    monkeypatch.setattr(openai, "AsyncOpenAI", make)
    port = make_adapter("openai/m", reply_server)
    first, second = (asyncio.ensure_future(send(port, "openai/m")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await second
    assert first.cancelled()


async def test_calls_that_wait_for_a_client_that_cannot_be_made_all_learn_why(monkeypatch: pytest.MonkeyPatch):
    port = from_provider("openai/m", async_client=True)._adapter
    errors = await asyncio.gather(*(send(port, "openai/m") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [ConfigurationError] * 3
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert port.client.api_key == KEY, "and a later call may succeed"


def test_a_loop_closed_while_the_sdk_is_imported_is_let_go(monkeypatch: pytest.MonkeyPatch):
    go_on, made = threading.Event(), []
    real = openai.AsyncOpenAI

    def make(**arguments):
        assert go_on.wait(60)
        made.append(threading.current_thread())
        return real(**arguments)

    monkeypatch.setattr(openai, "AsyncOpenAI", make)
    port = from_provider("openai/m", async_client=True, api_key=KEY)._adapter

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send(port, "openai/m"), 0)
        sending = asyncio.ensure_future(send(port, "openai/m"))
        await asyncio.sleep(0)
        sending.cancel()

    asyncio.run(main())
    (worker,) = (thread for thread in threading.enumerate() if thread.name == "instructor-sdk")
    go_on.set()
    worker.join(60)
    assert made == [worker]
    assert port._clients._loader._pending == {}


FORKED = """
import os
from instructor import from_provider

client = from_provider("openai/gpt-6-luna", api_key="none")
before = client.client
child = os.fork()
if child == 0:
    print(client.client is not before, client.client is client.client, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(client.client is before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks on Windows")
def test_a_forked_child_makes_its_own_client() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", "True", "True"], done.stderr


def test_a_callers_client_that_was_used_before_a_fork_is_refused_in_the_child() -> None:
    clients = SharedClient(object, object())
    clients.reset()
    clients.use()
    clients.reset()
    with pytest.raises(ConfigurationError, match="before the process forked"):
        clients.use()

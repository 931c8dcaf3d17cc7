"""New processes for little: each is forked from a template that has imported what most programs need.

Such a process has a memory, files, signals and an end of its own, and begins in the same state each time. What it
doesn't show is how an interpreter starts: its hash seed, its options, what is imported when. Tests of these start
`sys.executable`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = (
    "anthropic.resources.messages",
    "diskcache",
    "google.genai.models",
    "instructor.cache.sqlite",
    "instructor.cli.app",
    "instructor.cli.command",
    "instructor.engine.response_type",
    "instructor.factory",
    "instructor.offline",
    "instructor.providers.anthropic",
    "instructor.providers.genai",
    "instructor.providers.openai",
    "instructor.wires.anthropic",
    "instructor.wires.genai",
    "instructor.wires.openai_chat",
    "openai.resources.chat",
    "redis.asyncio",
    "rich.live",
    "rich.table",
)
"""What the template has imported."""


class Forked:
    """A process forked from the template, with the methods of `subprocess.Popen` that tests need.

    Attributes:
        pid: Its number.
        returncode: As that of `Popen`, once it was waited for.
        stdin, stdout, stderr: This process's ends of its pipes, for texts.
    """

    def __init__(self, control: socket.socket, request: Mapping[str, Any], streams: tuple[Any, Any, Any]) -> None:
        self.returncode: int | None = None
        status, its_status = os.pipe()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, its_status)
            (self.stdin, stdin), (self.stdout, stdout), (self.stderr, stderr) = (
                _open_stream(stream, mode, stack) for stream, mode in zip(streams, "wrr", strict=True)
            )
            message = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(control, [message], [stdin, stdout, stderr, its_status])
            control.sendall(message[sent:])
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline()))
            self._status.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return its status if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def communicate(self, text: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Write `text`, read all it writes, and wait for its end; a process that takes longer is killed."""
        with ThreadPoolExecutor(2) as readers:
            read = [readers.submit(_read_all, stream) for stream in (self.stdout, self.stderr)]
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError), self.stdin as stdin:
                    stdin.write(text or "")
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return read[0].result(), read[1].result()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def _read_all(stream: IO[str] | None) -> str:
    if stream is None or stream.closed:
        return ""
    with stream:
        return stream.read()


def _open_stream(stream: Any, mode: str, stack: contextlib.ExitStack) -> tuple[IO[str] | None, int]:
    """Return this process's end of a stream and the other's, which is closed with `stack`."""
    if stream == subprocess.PIPE:
        ends = os.pipe()
        ours, theirs = ends if mode == "r" else reversed(ends)
        stack.callback(os.close, theirs)
        return os.fdopen(ours, mode, encoding="utf-8"), theirs
    if stream == subprocess.DEVNULL:
        stream = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, stream)
    return None, stream if isinstance(stream, int) else stream.fileno()


class Template:
    """The process that others are forked from."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE_", "PATH", "HOME"))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env=kept | {"PYTHONPATH": str(SOURCE), "PYTHONUTF8": "1"},
                pass_fds=[theirs.fileno()],
            )

    def start(
        self,
        *words: object,
        cwd: Path,
        env: Mapping[str, str] = os.environ,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
    ) -> Forked:
        """Start a program, and don't wait for it.

        Args:
            words: What follows ``python`` on a command line: ``-m`` and a module, or a file; then arguments.
            cwd: Its current directory.
            env: Its environment.
            stdin: As for `Popen`, and so the others.
            stdout: See there.
            stderr: See there.
        """
        request = {"words": [str(word) for word in words], "cwd": str(cwd), "env": dict(env)}
        with self._lock:
            return Forked(self._control, request, (stdin, stdout, stderr))

    def run(self, *words: object, text: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, with `text` as its standard input."""
        process = self.start(*words, stdin=subprocess.DEVNULL if text is None else subprocess.PIPE, **options)
        stdout, stderr = process.communicate(text, timeout=60)
        return subprocess.CompletedProcess(words, process.wait(), stdout, stderr)

    def stop(self) -> None:
        """End it; it leaves by itself when this process is gone."""
        self._control.close()
        self._process.wait()


def _serve(control: socket.socket) -> list[str]:
    """Fork a process for each request until nobody asks any more; return in each what it is to run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the tests are interrupted, and then nobody asks
    while True:
        message, streams, *_ = socket.recv_fds(control, 65536, 4)
        while message and not message.endswith(b"\n"):
            message += control.recv(65536)
        if not message:
            sys.exit()
        if os.fork() == 0:
            control.close()
            _attend(streams.pop(), streams)
            return _begin(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _attend(status: int, streams: list[int]) -> None:
    """Fork the process that was asked for, and return in it; tell its number and its end."""
    if (child := os.fork()) == 0:
        os.close(status)
        return
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    os.write(status, b"%d\n" % child)
    os.write(status, b"%d\n" % os.waitpid(child, 0)[1])
    os._exit(0)


def _begin(request: dict[str, Any], streams: list[int]) -> list[str]:
    """Make this process look as if it had just been started; return what it is to run."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    path = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*path, *(entry for entry in sys.path if entry != str(SOURCE))]
    words: list[str] = request["words"]
    return words


def _run(words: list[str]) -> None:
    """Do what ``python`` does with such words."""
    if words[0] == "-m":
        sys.argv[:] = words[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


def _run_and_exit(words: list[str]) -> None:
    """Run a program, and end as the interpreter does, but for clearing every module, which would copy all pages."""
    try:
        _run(words)
        code: object = None
    except SystemExit as end:
        code = end.code
    if code is not None and not isinstance(code, int):
        sys.exit(str(code))
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()  # or a child's first collection would copy all pages
    _run_and_exit(_serve(socket.socket(fileno=int(sys.argv[1]))))

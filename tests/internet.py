"""A small Internet on loopback: names with public addresses, whose connections end at a server of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

PUBLIC = "93.184.216.34"


class Internet:
    """What `socket` says of names, and where it connects to, while a test runs.

    Attributes:
        answers: What each lookup of a name returns, in turn; the last one is repeated.
        lookups: The names that were looked up.
        connections: The addresses that were connected to.
        timeouts: The seconds that each connection was given.
        answering: Clear while the name server lets everybody wait.
        port: Where connections to a public address really go.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.lookups: list[str] = []
        self.connections: list[tuple[str, int]] = []
        self.timeouts: list[float] = []
        self.port = 0
        self.answering = threading.Event()
        self.answering.set()
        self._resolve: Callable[..., Any] = socket.getaddrinfo
        self._connect: Callable[..., Any] = socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)
        monkeypatch.setattr(socket, "create_connection", self.connect)

    def serve(self, port: int, *names: str) -> None:
        """Give names a public address that leads to a port of this machine."""
        self.port = port
        self.answers |= {name: [[PUBLIC]] for name in names}

    def resolve(self, host: Any, port: Any, *arguments: Any, **keywords: Any) -> Any:
        """Look a name up; names that the test didn't make are those of the machine."""
        if host not in self.answers:
            return self._resolve(host, port, *arguments, **keywords)
        self.lookups.append(host)
        self.answering.wait()
        answers = self.answers[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    def connect(self, address: tuple[str, int], timeout: Any = None, *arguments: Any, **keywords: Any) -> socket.socket:
        """Connect; a public address leads to `port`."""
        self.connections.append(address)
        self.timeouts.append(timeout)
        wanted = ("127.0.0.1", self.port) if address[0] == PUBLIC else address
        made: socket.socket = self._connect(wanted, timeout, *arguments, **keywords)
        return made

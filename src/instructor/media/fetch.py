"""Fetching a medium from a URL that a stranger may have chosen.

The name is resolved once and every address of it checked; the connection goes to a checked address and not to the name,
so that a second answer of the name server changes nothing. The time and the size are bounded while data come in.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from instructor.daemon import start_daemon
from instructor.exceptions import MultimodalError
from instructor.media.address import is_public
from instructor.media.policy import FetchPolicy

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

_PORTS = {"http": 80, "https": 443}
_MOVED = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = re.compile(r"(?<=//)[^/]*@")
_SAFE = "/?:@!$&'()*+,;=-._~%[]"
"""What a path may hold as it is; anything else, such as a line break, is written with percent signs."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """What is left of a fetch: when it must end, and how much it may bring."""

    policy: FetchPolicy
    deadline: float
    most_bytes: int

    def remaining(self) -> float:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds


def fetch(url: str, policy: FetchPolicy, most_bytes: int) -> bytes:
    """Fetch what a URL leads to."""
    limits = _Limits(policy, time.monotonic() + policy.seconds, policy.most_bytes or most_bytes)
    address = url
    for _ in range(policy.redirects + 1):
        try:
            found = _ask(address, limits)
        except MultimodalError:
            raise
        except TimeoutError as error:
            raise _failed(
                url, f"it took longer than {policy.seconds:g} seconds. Try again, or pass the bytes"
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:  # a ValueError is a malformed URL
            raise _failed(url, f"it failed: {error or type(error).__name__}. Try again, or pass the bytes") from error
        if isinstance(found, bytes):
            return found
        address = urljoin(address, found)
    raise _failed(url, f"it redirects more than {policy.redirects} times. Pass the URL that it leads to")


def _failed(url: str, reason: str) -> MultimodalError:
    shown = _CREDENTIALS.sub("", url.partition("?")[0])  # a query may hold a signature
    return MultimodalError(f"{shown:.200} can't be fetched: {reason}.")


def _ask(url: str, limits: _Limits) -> bytes | str:
    """Ask once. Returns the body, or where to ask instead."""
    target = _take_apart(url, limits.policy)
    with _connect(target, _resolve(target, limits), limits) as connection:
        connection.sendall(_write_request(target))
        file = cast("socket.socket", _Timed(connection, limits))
        with http.client.HTTPResponse(file, method="GET") as response:  # Python 3.13 complains of one that isn't closed
            response.begin()
            location = response.getheader("Location")
            if response.status in _MOVED and location:
                return location
            if response.status != http.HTTPStatus.OK:
                raise _failed(url, f"the server answers with status {response.status}. Check the URL")
            return _read_body(url, response, limits.most_bytes)


def _take_apart(url: str, policy: FetchPolicy) -> SplitResult:
    target = urlsplit(url)
    if target.scheme not in _PORTS or not target.hostname or target.username is not None:
        raise _failed(url, "only http and https URLs with a host and without a password are. Pass such a URL")
    if policy.hosts is not None and target.hostname not in policy.hosts:
        raise _failed(url, f"{target.hostname} is not one of the hosts that media_policy allows. Pass the bytes")
    return target


def _port_of(target: SplitResult) -> int:
    return target.port or _PORTS[target.scheme]


def _resolve(target: SplitResult, limits: _Limits) -> list[str]:
    """The addresses of a host. One that isn't public is enough to refuse: which one is asked would be luck."""
    addresses = _look_up(target.hostname or "", _port_of(target)).result(limits.remaining())
    private = [address for address in addresses if not is_public(address)]
    if private and not limits.policy.private:
        raise _failed(
            target.geturl(),
            f"{target.hostname} leads to {private[0]}, which is not a public address. Pass the bytes, or "
            "media_policy=FetchPolicy(private=True) if you trust the URL",
        )
    return addresses


def _look_up(host: str, port: int) -> Future[list[str]]:
    """Look a name up in a thread, which is left behind where the name server takes too long."""

    def look_up() -> list[str]:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in answers))

    return start_daemon(look_up)


@contextmanager
def _connect(target: SplitResult, addresses: Sequence[str], limits: _Limits) -> Generator[socket.socket]:
    """Connect to one of the addresses, the first that answers."""
    plain = _open(addresses, _port_of(target), limits)
    with plain:
        if target.scheme == "http":
            yield plain
            return
        plain.settimeout(limits.remaining())
        with ssl.create_default_context().wrap_socket(plain, server_hostname=target.hostname) as secure:
            yield secure


def _open(addresses: Sequence[str], port: int, limits: _Limits) -> socket.socket:
    failure: OSError = ConnectionError("its name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), limits.remaining())
        except OSError as error:
            failure = error
    raise failure


def _write_request(target: SplitResult) -> bytes:
    path = quote(target.path or "/", safe=_SAFE) + (f"?{quote(target.query, safe=_SAFE)}" if target.query else "")
    host = target.netloc.encode("idna").decode() if not target.netloc.isascii() else target.netloc
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: */*", "Accept-Encoding: identity", "Connection: close")
    return "\r\n".join((*lines, "User-Agent: instructor", "", "")).encode("ascii")


def _read_body(url: str, response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    length = response.length
    body = b"" if length is not None and length > most_bytes else response.read(most_bytes + 1)
    if len(body) > most_bytes or (length or 0) > most_bytes:
        raise _failed(url, f"it is larger than {most_bytes:,} bytes. Make it smaller")
    if length is not None and len(body) != length:
        raise http.client.IncompleteRead(body, length - len(body))
    return body


class _Timed:
    """A socket as `HTTPResponse` uses it. Each read has only the time that is left, so that drops can't add up."""

    def __init__(self, connection: socket.socket, limits: _Limits) -> None:
        self._reader = _TimedReader(connection, limits)

    def makefile(self, mode: str) -> io.BufferedReader:
        """The file that the response is read from."""
        del mode
        return io.BufferedReader(self._reader)


class _TimedReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, limits: _Limits) -> None:
        self._connection, self._limits = connection, limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        self._connection.settimeout(self._limits.remaining())
        return self._connection.recv_into(buffer)

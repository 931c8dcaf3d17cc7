"""Hearing from Redis or Valkey what was changed: client tracking, in the mode that broadcasts all keys of a prefix.

A server is linked by a connection of its own. A beat on each link says whether the server is there, and whether it still
is the one to listen to: a server that was replaced may be healthy, and tell nothing any more. What the beat is depends on
where the servers are found:

===========  ======================================  ==========================================================
a client of  is linked with                          the link is lost when
===========  ======================================  ==========================================================
one server   it                                      it doesn't answer a PING
a Sentinel   the primary, and one of the Sentinels   it isn't the primary any more, by its own or Sentinel's word
a cluster    each primary that has keys              any of them has another map of the slots
===========  ======================================  ==========================================================

If one link is lost, all are: until they are there again nothing is kept in memory, so it doesn't matter how long it takes.
"""

from __future__ import annotations

import contextlib
import importlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from instructor.cache.redis_pool import Sdk
from instructor.cache.resp import Push, Reply, ReplyReader, ServerError, encode_command
from instructor.cache.tracking import LinkLostError, Listen, Session, TrackingRefusedError

BEAT_SECONDS, ANSWER_SECONDS = 0.3, 0.6
"""After how long a link that is quiet is tried, and how long the server may take then: together the time that passes at
most until it is noticed that a link is dead though nobody closed it."""

CONNECT_SECONDS = 1.0
"""For each step of making a link."""

_PIECE = 1 << 18

Address: TypeAlias = tuple[str, int]
Settings: TypeAlias = Mapping[str, Any]

_PASSED_ON = frozenset({"host", "port", "path", "username", "password", "credential_provider", "socket_keepalive"})
"""Settings of a client's connections that a link needs, beside those of TLS."""

_NOT_NOW = ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ERR max number of clients")
"""How errors begin that a server gives for a while."""

ADVICE = (
    "Use Redis or Valkey of version 6 or later; or RedisCache(tracking=False), so that memory serves answers for as long "
    "as they are fresh, whatever other processes store, delete or overwrite."
)


class RedisLink:
    """A connection to one server. redis-py opens it, with TLS, a password and so on; what it carries is read here."""

    def __init__(self, settings: Settings, kind: str = "Connection") -> None:
        make: Sdk = getattr(importlib.import_module("redis.connection"), kind)
        limits = {"socket_timeout": CONNECT_SECONDS, "socket_connect_timeout": CONNECT_SECONDS, "protocol": 2}
        self._connection: Sdk = make(**settings, **limits)
        self._connection.connect()
        self.socket: socket.socket = self._connection._sock  # noqa: SLF001 - nothing else is read by redis-py from now on
        self._reader = ReplyReader()
        self._pushed: list[Push] = []
        self._beat: tuple[str, ...] = ("PING",)
        self._judge: Callable[[Reply], object] = str
        self._expected: object = None
        self._last = time.monotonic()  # when the server was asked, or answered, last
        self._is_asked = False

    def ask(self, *words: str) -> Reply:
        """Send a command, and wait for the reply. Raises `ServerError` if that is an error."""
        self.socket.settimeout(CONNECT_SECONDS)
        self.socket.sendall(encode_command(words))
        answers: list[Reply] = []
        while not answers:
            replies = self._reader.feed(self._receive())
            self._pushed += [reply for reply in replies if isinstance(reply, Push)]
            answers = [reply for reply in replies if not isinstance(reply, Push)]
        if isinstance(answers[0], ServerError):
            raise answers[0]
        return answers[0]

    def track(self, prefix: str) -> None:
        """Have the server tell what is changed from now on."""
        try:
            self.ask("HELLO", "3")
            self.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix)
        except ServerError as error:
            if str(error).startswith(_NOT_NOW):
                raise
            raise TrackingRefusedError(f"the server refuses client tracking ({error}). {ADVICE}") from None

    def watch(self, judge: Callable[[Reply], object], *beat: str) -> object:
        """Expect the same reply to this command from now on, as far as `judge` goes; return what that makes of it."""
        self._beat, self._judge = beat, judge
        self._expected = judge(self.ask(*beat))
        return self._expected

    def read(self, hear: Callable[[Sequence[str] | None], None]) -> None:
        """Take in what has come."""
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while True:
                for reply in self._reader.feed(self._receive()):
                    if isinstance(reply, Push):
                        self._pushed.append(reply)
                    else:
                        self._take_answer(reply)
                self._tell(hear)
        self._tell(hear)

    def go_on(self, now: float) -> float:
        """Send a beat if it is time; return the seconds until there is something to do again."""
        limit = ANSWER_SECONDS if self._is_asked else BEAT_SECONDS
        if now < self._last + limit:
            return self._last + limit - now
        if self._is_asked:
            raise LinkLostError("the server doesn't answer")
        self.socket.settimeout(CONNECT_SECONDS)
        self.socket.sendall(encode_command(self._beat))
        self._last, self._is_asked = now, True
        return ANSWER_SECONDS

    def shut(self) -> None:
        """End it, from any thread."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def leave(self) -> None:
        """Let go of it, in a forked child."""
        with contextlib.suppress(OSError):
            socket.close(self.socket.detach())

    def close(self) -> None:
        """End it, in its own thread."""
        self._connection.disconnect()

    def _receive(self) -> bytes:
        data = self.socket.recv(_PIECE)
        if not data:
            raise LinkLostError("the server has closed the connection")
        return data

    def _take_answer(self, reply: Reply) -> None:
        if isinstance(reply, ServerError) or self._judge(reply) != self._expected:
            raise LinkLostError("it isn't the server to listen to any more")
        self._last, self._is_asked = time.monotonic(), False

    def _tell(self, hear: Callable[[Sequence[str] | None], None]) -> None:
        pushed, self._pushed = self._pushed, []
        for push in pushed:
            if push and push[0] == b"invalidate":
                names = cast("list[bytes] | None", push[1])
                hear(None if names is None else [name.decode(errors="surrogateescape") for name in names])


def make_listen(client: Sdk, prefix: str) -> Listen:
    """Make what hears of the changes under a prefix, on the servers of a client of redis-py of any kind."""

    def hear(session: Session) -> Callable[[Sequence[str] | None], None]:
        cut = len(prefix)
        return lambda names: session.hear(None if names is None else [name[cut:] for name in names])

    def listen(session: Session) -> None:
        try:
            with contextlib.ExitStack() as stack:
                links = open_links(client, prefix, stack)
                session.begin(links)
                _attend(links, session, hear(session))
        except _list_errors() as error:
            raise LinkLostError(f"{type(error).__name__}: {error}") from error

    return listen


def _attend(links: Sequence[RedisLink], session: Session, hear: Callable[[Sequence[str] | None], None]) -> None:
    """Hear what comes, until a link is lost or the session is closed."""
    with selectors.DefaultSelector() as selector:
        for link in links:
            selector.register(link.socket, selectors.EVENT_READ, link)
        wait = 0.0
        while not session.closed.is_set():
            for ready, _ in selector.select(wait):
                ready.data.read(hear)
            now = time.monotonic()
            wait = min([link.go_on(now) for link in links])


def open_links(client: Sdk, prefix: str, stack: contextlib.ExitStack) -> list[RedisLink]:
    """Link all servers that have keys of a client, and what says which these are. They are closed with the stack."""
    nodes: Sdk = getattr(client, "nodes_manager", None)
    pool: Sdk = getattr(client, "connection_pool", None)
    if nodes is None and pool is None:
        raise TrackingRefusedError(f"a {type(client).__name__} doesn't say which server it is of. {ADVICE}")
    if nodes is not None:
        kwargs: Settings = getattr(client, "connection_kwargs", None) or nodes.connection_kwargs
        links = _link_cluster(client, nodes, _Opener(kwargs, kwargs.get("connection_class"), stack), prefix)
    else:
        opener = _Opener(pool.connection_kwargs, pool.connection_class, stack)
        manager = getattr(pool, "sentinel_manager", None)
        links = _link_one(opener, prefix) if manager is None else _link_primary(pool, manager, opener, prefix)
    return links


class _Opener:
    """Opens links as a client opens its connections."""

    def __init__(self, settings: Settings, kind: type | None, stack: contextlib.ExitStack) -> None:
        self._settings = {
            name: value
            for name, value in settings.items()
            if name in _PASSED_ON or (name.startswith("ssl_") and value is not None)
        }
        name = "" if kind is None else kind.__name__
        secure = "SSL" in name or (kind is None and bool(settings.get("ssl")))
        self._kind = "UnixDomainSocketConnection" if "Unix" in name else "SSLConnection" if secure else "Connection"
        self._stack = stack

    def like(self, settings: Settings, kind: type) -> _Opener:
        """One that opens connections as another client does, on the same stack."""
        return _Opener(settings, kind, self._stack)

    def open(self, address: Address | None = None) -> RedisLink:
        """Open a link; None for the server that the settings name."""
        there = {} if address is None else {"host": address[0], "port": address[1]}
        link = RedisLink({**self._settings, **there}, self._kind)
        self._stack.callback(link.close)
        return link


def _link_one(opener: _Opener, prefix: str) -> list[RedisLink]:
    link = opener.open()
    link.track(prefix)
    link.watch(str, "PING")
    return [link]


def _link_primary(pool: Sdk, manager: Sdk, opener: _Opener, prefix: str) -> list[RedisLink]:
    if not pool.is_master:
        raise TrackingRefusedError(f"a client of Sentinel's replicas may read what is old. {ADVICE}")
    sentinel, address = _ask_sentinels(manager, pool.service_name, opener)
    link = opener.open(address)
    link.track(prefix)
    if link.watch(_read_role, "ROLE") != b"master":
        raise LinkLostError("it isn't the primary")
    return [link, sentinel]


def _ask_sentinels(manager: Sdk, service: str, opener: _Opener) -> tuple[RedisLink, Address]:
    """Link a Sentinel that knows the primary; return where that is, too."""
    for client in manager.sentinels:
        pool = client.connection_pool
        with contextlib.suppress(LinkLostError, *_list_errors()):
            link = opener.like(pool.connection_kwargs, pool.connection_class).open()
            address = link.watch(_read_address, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
            if address is not None:
                return link, cast("Address", address)
    raise LinkLostError("no Sentinel knows the primary")


def _link_cluster(client: Sdk, nodes: Sdk, opener: _Opener, prefix: str) -> list[RedisLink]:
    if getattr(client, "read_from_replicas", False) or getattr(client, "load_balancing_strategy", None):
        raise TrackingRefusedError(f"a client that reads from replicas may read what is old. {ADVICE}")
    remap: Sdk = getattr(nodes, "address_remap", None)
    for node in [*client.get_nodes(), *_startup_nodes(nodes)]:
        with contextlib.suppress(LinkLostError, *_list_errors()):
            address = (node.host, int(node.port))
            slots = _read_slots(opener.open(address).ask("CLUSTER", "SLOTS"), address[0])
            break
    else:
        raise LinkLostError("no node of the cluster answers")
    links: list[RedisLink] = []
    for primary in {address for *_, address in slots}:
        link = opener.open(primary if remap is None else remap(primary))
        link.track(prefix)
        if link.watch(partial(_read_slots, host=primary[0]), "CLUSTER", "SLOTS") != slots:
            raise LinkLostError("the nodes of the cluster don't agree yet")
        links.append(link)
    return links


def _startup_nodes(nodes: Sdk) -> Iterator[Sdk]:
    found: Any = nodes.startup_nodes
    yield from found.values() if isinstance(found, Mapping) else found


def _list_errors() -> tuple[type[Exception], ...]:
    """What is raised where a server isn't there, or can't be asked now."""
    return OSError, ServerError, importlib.import_module("redis").RedisError


def _read_role(reply: Reply) -> object:
    return reply[0] if isinstance(reply, list) and reply else None


def _read_address(reply: Reply) -> Address | None:
    if not isinstance(reply, list):
        return None
    host, port = cast("list[bytes]", reply)
    return host.decode(), int(port)


def _read_slots(reply: Reply, host: str) -> tuple[tuple[int, int, Address], ...]:
    """The map of a cluster: the first and last slot of each range, and its primary. An empty host is the one asked."""
    ranges = cast("list[list[Any]]", reply)
    return tuple(
        sorted(
            (first, last, ((primary[0] or host.encode()).decode(), primary[1])) for first, last, primary, *_ in ranges
        )
    )

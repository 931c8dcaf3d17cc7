"""Whatever a URL, its name server and its server try, only public addresses are asked, in bounds of time and size."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor.exceptions import ConfigurationError, MultimodalError
from instructor.media import PDF, FetchPolicy, Image
from instructor.media.fetch import fetch
from internet import PUBLIC, Internet
from replies import Reply, ReplyServer
from samples import JPEG, PDF_BYTES, PNG

URL = "http://cdn.example/a.png"
POLICY = FetchPolicy()
MOST = 1 << 20


@pytest.fixture
def web(internet: Internet, reply_server: ReplyServer) -> ReplyServer:
    """The server behind every public address."""
    internet.serve(urlsplit(reply_server.url).port or 0, "cdn.example", "other.example")
    return reply_server


def refused(url: str, policy: FetchPolicy = POLICY) -> str:
    with pytest.raises(MultimodalError) as caught:
        fetch(url, policy, MOST)
    return str(caught.value)


def test_a_body_is_fetched_from_the_address_that_was_checked(web: ReplyServer, internet: Internet):
    web.script(Reply(PNG))
    assert fetch(URL + "?a=b c", POLICY, MOST) == PNG
    assert internet.connections == [(PUBLIC, 80)]
    assert 0 < internet.timeouts[0] <= POLICY.seconds
    (received,) = web.requests
    assert (received.path, received.headers["Host"]) == ("/a.png?a=b%20c", "cdn.example")


PRIVATE_URLS = [
    "http://127.0.0.1/",
    "http://127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::a00:1]/",
    "http://10.0.0.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://localhost:{port}/",
]


@pytest.mark.parametrize("url", PRIVATE_URLS)
def test_a_private_address_is_refused(url: str, web: ReplyServer, internet: Internet):
    web.script(Reply(PNG))
    assert "not a public address" in refused(url.format(port=internet.port))
    assert not internet.connections


@pytest.mark.parametrize("url", PRIVATE_URLS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_private_address_is_refused(url: str, status: int, web: ReplyServer, internet: Internet):
    web.script(Reply(status=status, headers={"Location": url.format(port=internet.port)}), Reply(PNG))
    assert "not a public address" in refused(URL)
    assert internet.connections == [(PUBLIC, 80)]
    assert len(web.requests) == 1


def test_a_name_that_changes_its_address_is_asked_once_and_pinned(web: ReplyServer, internet: Internet):
    """DNS rebinding: the check sees a public address, a second lookup would see a private one."""
    internet.answers["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.script(Reply(PNG))
    assert fetch("http://rebind.example/a.png", POLICY, MOST) == PNG
    assert internet.lookups == ["rebind.example"]
    assert internet.connections == [(PUBLIC, 80)]
    assert "leads to 127.0.0.1" in refused("http://rebind.example/a.png")


def test_one_private_address_among_public_ones_is_refused(web: ReplyServer, internet: Internet):
    internet.answers["mixed.example"] = [[PUBLIC, "10.0.0.1"]]
    assert "leads to 10.0.0.1" in refused("http://mixed.example/")
    assert not internet.connections


def test_a_redirect_is_followed_and_each_is_checked(web: ReplyServer, internet: Internet):
    web.script(
        Reply(status=302, headers={"Location": "/b"}),
        Reply(status=301, headers={"Location": "//other.example/c"}),
        Reply(PNG),
    )
    assert fetch(URL, POLICY, MOST) == PNG
    assert internet.lookups == ["cdn.example", "cdn.example", "other.example"]
    assert [received.path for received in web.requests] == ["/a.png", "/b", "/c"]


def test_endless_redirects_end(web: ReplyServer):
    web.script(Reply(status=302, headers={"Location": "/a.png"}))
    assert "redirects more than 2 times" in refused(URL, FetchPolicy(redirects=2))
    assert len(web.requests) == 3


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://cdn.example/", "gopher://cdn.example/", "http://u:p@cdn.example/"]
)
def test_a_redirect_to_another_scheme_or_with_a_password_is_refused(location: str, web: ReplyServer):
    web.script(Reply(status=302, headers={"Location": location}))
    message = refused(URL)
    assert "only http and https" in message
    assert "u:p" not in message


def test_hosts_that_the_policy_does_not_name_are_refused(web: ReplyServer):
    web.script(Reply(status=302, headers={"Location": "http://other.example/"}), Reply(PNG))
    assert "other.example is not one of the hosts" in refused(URL, FetchPolicy(hosts=frozenset({"CDN.example"})))
    assert "cdn.example is not one of the hosts" in refused(URL, FetchPolicy(hosts=frozenset()))


def test_private_addresses_can_be_allowed(reply_server: ReplyServer):
    reply_server.script(Reply(PNG))
    assert fetch(reply_server.url, FetchPolicy(private=True), MOST) == PNG


def test_a_body_that_announces_its_size_is_not_read(web: ReplyServer):
    web.script(Reply(bytes(MOST + 1)))
    assert "larger than 1,048,576 bytes" in refused(URL)
    web.script(Reply(PNG))
    assert "larger than 3 bytes" in refused(URL, FetchPolicy(most_bytes=3))


@pytest.mark.parametrize("status", [401, 404, 500, 204])
def test_another_status_is_an_error(status: int, web: ReplyServer):
    web.script(Reply("no", status=status))
    assert f"status {status}" in refused(URL)


def test_a_body_that_was_cut_off_is_an_error(web: ReplyServer):
    web.script(Reply(PNG * 100, fault="truncate"))
    assert "failed" in refused(URL)


def test_a_server_that_hangs_up_or_cannot_be_reached_is_an_error(web: ReplyServer, internet: Internet):
    web.script(Reply(fault="drop"))
    assert "failed" in refused(URL)
    internet.port = 1
    assert "failed" in refused(URL)
    internet.answers["gone.example"] = [[]]
    assert "its name has no address" in refused("http://gone.example/")


def test_the_query_is_not_in_the_error(web: ReplyServer):
    web.script(Reply(status=404))
    assert "signature" not in refused(URL + "?signature=1")


@given(st.text())
def test_any_text_is_our_error(text: str):
    for url in (text, f"http://{text}", f"http://127.0.0.1:{text}"):
        assert refused(url, FetchPolicy(hosts=frozenset()))


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serves the next connection by hand; gives back the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(handle: Callable[[socket.socket], None]) -> int:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                handle(connection)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join()
    listener.close()


def test_a_body_without_end_is_stopped_at_the_limit(raw_server: Any, internet: Internet):
    sent = [0]

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent[0] += 65536

    internet.serve(raw_server(flood), "cdn.example")
    assert "larger than 1,048,576 bytes" in refused(URL)
    assert sent[0] < 64 * MOST, "what the buffers of the system hold, and no more"


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_server_that_drips_is_stopped_in_time(begin: bytes, raw_server: Any, internet: Internet):
    """Each byte comes at once, so no single read takes long; without a limit over all of them this would hang."""
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(begin)
        while not stop.wait(0.01):
            connection.sendall(b"x")

    internet.serve(raw_server(drip), "cdn.example")
    try:
        assert "longer than 0.2 seconds" in refused(URL, FetchPolicy(seconds=0.2))
    finally:
        stop.set()


def test_a_name_server_that_does_not_answer_is_given_up_in_time(web: ReplyServer, internet: Internet):
    internet.answering.clear()
    try:
        assert "longer than 0.1 seconds" in refused(URL, FetchPolicy(seconds=0.1))
    finally:
        internet.answering.set()


def test_https_checks_the_certificate_of_the_name(web: ReplyServer, monkeypatch: pytest.MonkeyPatch):
    names: list[str] = []

    class Context:
        def wrap_socket(self, plain: socket.socket, *, server_hostname: str) -> socket.socket:
            names.append(server_hostname)
            return plain

    context = ssl.create_default_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    monkeypatch.setattr(ssl, "create_default_context", Context)
    web.script(Reply(PNG))
    assert fetch("https://cdn.example/a.png", POLICY, MOST) == PNG
    assert names == ["cdn.example"]


def test_what_is_fetched_is_what_it_should_be(web: ReplyServer):
    web.script(Reply("<html>", headers={"Content-Type": "image/png"}))
    with pytest.raises(MultimodalError, match=r"http://cdn\.example/a\.png is of no known type"):
        Image.from_url(URL).fetch()
    web.script(Reply(JPEG, headers={"Content-Type": "image/png"}))
    image = Image.from_url(URL).fetch()
    assert (image.media_type, image.source) == ("image/jpeg", URL)
    assert image.fetch() is image
    assert "inline_data" in image.to_genai(), "the bytes are sent and not the URL"
    assert image.frozen().__cache_key__() == Image.from_bytes(JPEG).frozen().__cache_key__()


def test_a_public_object_of_google_cloud_storage_is_fetched_from_the_web(
    web: ReplyServer, internet: Internet, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    monkeypatch.setattr("instructor.media.fetch.fetch", lambda url, *_: asked.append(url) or PDF_BYTES)
    assert PDF.from_gs_url("gs://bucket/a.pdf").fetch().data
    assert asked == ["https://storage.googleapis.com/bucket/a.pdf"]


@pytest.mark.parametrize(
    "limits",
    [
        {"seconds": "1"},
        {"seconds": -1},
        {"redirects": None},
        {"most_bytes": 0},
        {"private": 1},
        {"hosts": "a"},
        {"seconds": True},
        {"hosts": 5},
    ],
)
def test_a_policy_checks_its_limits(limits: dict[str, Any]):
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        FetchPolicy(**limits)

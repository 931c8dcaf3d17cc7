"""The environment of a documented snippet: what its names resolve to, and what time it is.

It is imported before the snippet, and stands for /etc/hosts and the system clock, which a test may not change.
"""

import os
import socket
import time

# "name:port=address:port ...": a snippet says redis.Redis("localhost"), and no test may touch a server that
# happens to run there.
HOSTS = dict(pair.split("=") for pair in os.environ.get("SNIPPET_HOSTS", "").split())
resolve = socket.getaddrinfo


def getaddrinfo(host, port, *rest, **keywords):
    """As `socket.getaddrinfo`, with the names of SNIPPET_HOSTS."""
    address, _, number = HOSTS.get(f"{host}:{port}", "").partition(":")
    return resolve(address or host, int(number) if number else port, *rest, **keywords)


if HOSTS:
    socket.getaddrinfo = getaddrinfo

LATER = float(os.environ.get("SNIPPET_SECONDS_LATER", "0"))
now = time.time
if LATER:
    time.time = lambda: now() + LATER

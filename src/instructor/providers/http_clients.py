"""The HTTP client beneath an SDK's client, with what all such clients of a process can share."""

from __future__ import annotations

import os
from collections.abc import Hashable
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from instructor.interpreter_queue import leave_while_waiting

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
"""What a context goes by. With another value of one of these, or another file there, another context is made."""


def make_http_client(sdk: Any, *, asynchronous: bool) -> Any:
    """Make an HTTP client as the SDK itself would, over the SSL context of the process.

    To read the certificates takes 20 ms, ten times as long as a request, and a server on the same machine needs none.
    """
    import ssl

    default = sdk.DefaultAsyncHttpxClient if asynchronous else sdk.DefaultHttpxClient
    settings: tuple[object, ...] = (ssl.SSLContext, *(_state_of(os.environ.get(name)) for name in _VARIABLES))
    package = default.__bases__[0].__module__.partition(".")[0]  # httpx, or what has taken its place
    hooks = {} if asynchronous else {"request": [leave_while_waiting]}  # a job's tasks don't queue
    return _closing(cast("Hashable", default))(verify=_make_context(package, settings), event_hooks=hooks)


def _state_of(path: str | None) -> tuple[object, ...]:
    """A path, and which file is there: certificates are replaced under their name while a service runs."""
    with suppress(OSError):
        found = Path(path).stat() if path else None
        return (path, found and (found.st_ino, found.st_mtime_ns, found.st_size))
    return (path,)


@lru_cache(4)
def _make_context(package: str, _: tuple[object, ...]) -> Any:
    return import_module(package).create_ssl_context()


@cache
def _closing(default: Any) -> type[Any]:
    """The class with the end that the SDK's own client has: connections that nobody can use any more are closed."""
    return type(default.__name__, (default,), {"__del__": _close_in_task if hasattr(default, "aclose") else _close})


def _close(client: Any) -> None:
    with suppress(Exception):  # while the interpreter ends, or of one that was never complete
        client.close()


def _close_in_task(client: Any) -> None:
    with suppress(Exception):  # as above; or there is no event loop
        if not client.is_closed:
            import asyncio

            asyncio.get_running_loop().create_task(client.aclose())

"""Fixtures for every test: real servers on loopback, started once and emptied before each test that asks for one.

Each is stopped at the end of the run, and by the operating system if the run is killed.
"""

from __future__ import annotations

import compileall
import gc
import itertools
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from functools import partialmethod
from importlib import import_module
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that every test can `from servers import ...`

# Today's SDKs send through httpx2, the oldest supported ones through httpx, which has the same interface. Tests write
# httpx2 and get the library of the installed SDKs.
if not hasattr(import_module("openai._base_client"), "httpx2"):
    sys.modules["httpx2"] = import_module("httpx")

from forks import SOURCE, Template
from internet import Internet
from replies import ReplyServer
from servers import Aimock, Cluster, Relay, ServerError, Valkey
from streams import StreamServer

INSTALLS = "INSTRUCTOR_DROPIN" in os.environ
"""Whether tests install packages, which takes the authorities' certificates and gigabytes."""

# No test speaks TLS, and each client of an SDK would read the certificates of hundreds of authorities.
if not INSTALLS:
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "authority.pem")
    os.environ.pop("SSL_CERT_DIR", None)

# How long an example takes on a busy machine is nobody's failure, and each run tries the same examples.
PATIENT = hypothesis.settings(
    deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile("suite", PATIENT, max_examples=25)
hypothesis.settings.register_profile("soak", PATIENT, max_examples=500)
hypothesis.settings.load_profile("suite")  # `make soak` names the other


PATIENCE = 30.0
"""Seconds that a server on a busy machine may take for one step."""

# Most files of tests live for milliseconds: a disk would have to be waited for.
MEMORY = Path("/dev/shm")
if not INSTALLS and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Compiled files are written here, whatever the environment says, or each worker would compile every test, and each process
# that a test starts the whole package, since pytest's own imports of it are compiled for pytest alone. Those read them, and
# write none: a program that a test changes twice in a second would look unchanged.
sys.dont_write_bytecode = False
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:
    compileall.compile_dir(SOURCE, quiet=2)

gc.disable()  # until all modules are imported: they hold what they define for good


def pytest_collection_finish() -> None:
    """Look for garbage from here on, but never again among what the modules hold."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory. pytest's own fixture also leads a link to each, which takes ten times as long."""
    path = tmp_path_factory.getbasetemp() / f"test-{next(_numbers)}"
    path.mkdir(mode=0o700)
    return path


_numbers = itertools.count()


@pytest.fixture
def clean_heap() -> None:
    """For tests that collect garbage to see what is left: an SDK's connections from earlier tests are not theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    gc.freeze()  # or each collection of the test would look at a million objects of the SDKs


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """Starts processes that have imported the SDKs already."""
    template = Template()
    yield template
    template.stop()


@pytest.fixture(scope="session")
def aimock_server() -> Iterator[Aimock]:
    """The one aimock of this run; tests take `aimock`."""
    try:
        server = Aimock()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.stop()


@pytest.fixture
def aimock(aimock_server: Aimock, monkeypatch: pytest.MonkeyPatch) -> Aimock:
    """Aimock without fixtures, faults and journal, with the environment pointing the official SDKs at it."""
    aimock_server.reset()
    for name, value in aimock_server.environment.items():
        monkeypatch.setenv(name, value)
    return aimock_server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """The one Valkey of this run; tests take `valkey`."""
    try:
        server = Valkey()
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores in Redis wait longer than by default, for a machine that is busy. Tests of waiting name their own times."""
    redis, link = import_module("instructor.cache.redis"), import_module("instructor.cache.redis_link")
    monkeypatch.setattr(redis.RedisCache, "__init__", partialmethod(redis.RedisCache.__init__, timeout=PATIENCE))
    monkeypatch.setattr(link, "ANSWER_SECONDS", PATIENCE)
    monkeypatch.setattr(link, "CONNECT_SECONDS", PATIENCE)


@pytest.fixture
def valkey(valkey_server: Valkey, patient: None) -> Iterator[Valkey]:
    """A running, empty Valkey. A test may stop, start and freeze it."""
    valkey_server.reset()
    yield valkey_server
    valkey_server.wake()


@pytest.fixture
def relay(valkey: Valkey) -> Iterator[Relay]:
    """What cuts and silences connections to `valkey`."""
    relay = Relay(valkey.port)
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def cluster_servers() -> Iterator[Cluster]:
    """The one cluster of this run; tests take `cluster`."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(cluster_servers: Cluster, patient: None) -> Cluster:
    """A cluster of three, emptied."""
    for node in cluster_servers.nodes:
        node.command("FLUSHALL")
    return cluster_servers


@pytest.fixture
def reply_server() -> Iterator[ReplyServer]:
    """An HTTP server on loopback whose replies the test scripts."""
    with ReplyServer() as server:
        yield server


@pytest.fixture
def stream_server() -> Iterator[StreamServer]:
    """An HTTP server on loopback that sends scripted answers piece by piece."""
    with StreamServer() as server:
        yield server


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """Names with public addresses that lead to this machine."""
    return Internet(monkeypatch)

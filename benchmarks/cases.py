"""The rows that are timed: what is called, and what it may take. It runs in both environments, unchanged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, create_model

ASK = 'messages=[{"role": "user", "content": prompt}]'
HIT = f"create({ASK}, response_model=User)"
NEXT = 'messages=[{"role": "user", "content": next(prompts)}]'
SENT = '"messages": '
PARSE_EACH = """
import jiter
from itertools import accumulate
def text_of(chunk): return "".join(call.function.arguments for one in chunk.choices for call in one.delta.tool_calls or ())
def parse(text): return Stock.model_construct(**jiter.from_json(text.encode() or b"{}", partial_mode="trailing-strings"))
"""


class User(BaseModel):
    name: str


class B(BaseModel):
    number: int


class Article(BaseModel):
    id: int
    name: str
    price: float
    tags: list[str]
    is_sold: bool
    rating: float | None


class Stock(BaseModel):
    """An answer as they are when they are long: many items with members of all types."""

    items: list[Article]


Wide = create_model("Wide", **{f"field_{number}": (str, ...) for number in range(20)})  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Case:
    """One row. A batch of calls takes about half a millisecond, so that most batches are undisturbed."""

    name: str
    title: str
    call: str = HIT  # it knows `client`, the models, and what `prepare` defines
    bar: float | None = None  # what our median is to stay at or below, in `unit`
    unit: str = "µs"
    scale: float = 1_000  # nanoseconds of a unit; of a chunk's, times the chunks
    is_cpu: bool = False  # whether the processor's time counts, and not the clock's
    calls: int = 200  # in a batch
    batches: int = 10  # in a round
    rounds: int = 50  # at most
    base: str = ""  # what takes turns with the call, to compare with it
    compare: str = ""  # "minus": what the call takes beyond the base; "over": how many times as long
    store: str | None = "memory"  # or "disk", "redis"
    provider: str = "server"  # "scripted" and "offline" need no server: for many prompts, and for other models
    options: dict[str, Any] = field(default_factory=dict[str, Any])  # of the client
    prepare: str = ""  # statements to execute first, once
    prompts: int = 1  # each is asked once before the measurement
    size: int = 3  # characters of a prompt
    answer: int = 4  # characters of the scripted answer's only field, or of the server's streamed answer
    chunk: int = 0  # characters of a chunk of that
    items: int = 0  # the scripted answer is a list of so many
    threads: int = 0  # how many share the calls, against one as the base
    asynchronous: bool = False
    misses: bool = False  # each call is a miss
    upstream: bool = False  # upstream can do the same, and is measured

    def count_prompts(self, short: bool) -> int:
        """How many prompts there are; the short run makes a fifth of more than 5,000."""
        return self.prompts // 5 if short and self.prompts > 5_000 else self.prompts


def _option(name: str, value: str, prepare: str = "") -> Case:
    call = f"create({ASK}, response_model=User, {name}={value})"
    return Case(f"{name}=", f"... with {name}= for the call", call, 3.5, calls=100, prepare=prepare)


def _model(name: str, expression: str, bar: float) -> Case:
    call = f"create({ASK}, response_model={name})"
    title = f"... response_model={expression}"
    return Case(name.lower(), title, call, bar, calls=100, provider="offline", prepare=f"{name} = {expression}")


def _size(megabytes: int) -> Case:
    title, size = f"... a prompt of {megabytes} MB", megabytes * 1_000_000
    return Case(f"{megabytes}mb", title, bar=1_200.0 * megabytes, calls=1, batches=3, provider="scripted", size=size)


def _miss(name: str, title: str, bar: float, store: str | None, **more: Any) -> Case:
    call = f"create({NEXT}, response_model=User)"
    base, prepare = f"bare(**request | {{{NEXT.replace('messages=', SENT)}}})", "bare, request = spy_on_sdk()"
    more |= {"base": base, "compare": "minus", "prepare": prepare, "misses": True, "batches": 25}
    return Case(name, title, call, bar, calls=1, store=store, **more)


def _lease(name: str, title: str, bar: float, store: str, trip: str = "None") -> Case:
    """What a lease adds to a miss, beyond a `trip` to the server."""
    base = f"alone.create({NEXT}, response_model=User), {trip}"
    prepare = f"alone = make_client(make_store('{store}', lease=None))\nping = ping_redis()"
    more: dict[str, Any] = {"compare": "minus", "prepare": prepare, "misses": True, "batches": 25}
    call = f"create({NEXT}, response_model=User)"
    return Case(name, title, call, bar, base=base, calls=1, store=store, provider="scripted", **more)


def _stream(name: str, title: str, bar: float | None, answer: int, model: str = "Wide", **more: Any) -> Case:
    """What a stream takes beyond reading the same chunks as data, which is the least that the SDK can do."""
    call = f"for _ in client.create_partial({ASK}, response_model={model}): pass"
    base, prepare = (
        "for _ in read_data(bare(**request | {'stream': True})): pass",
        f"bare, request = spy_on_sdk({call!r})",
    )
    more = {"call": call, "base": base, "batches": 3, "rounds": 10, "is_cpu": True} | more
    more["prepare"] = prepare + more.get("prepare", "")
    return Case(name, title, answer=answer, bar=bar, calls=1, store=None, chunk=12, compare="minus", **more)


def _canned(name: str, title: str, bar: float, characters: int, also: str = "", **more: Any) -> Case:
    """Our own part alone of a stream in chunks of one character."""
    prepare = f"drain = drain_canned({characters}){also}"
    more = {"batches": 1, "rounds": 3} | more
    return Case(name, title, "drain()", bar, prepare=prepare, calls=1, store=None, is_cpu=True, **more)


OBJECTS: dict[str, Any] = {"call": "for _ in bare(**request | {'stream': True}): pass"}
WHOLE: dict[str, Any] = {"unit": "ms", "scale": 1_000_000, "batches": 1, "rounds": 5}

CASES = (
    Case("hit", "AutoCache hit", bar=1.9, upstream=True),
    Case("listener", "... with a cache:hit listener", bar=3.5, calls=50, prepare='client.on("cache:hit", lambda event: None)'),
    Case(
        "completion", "... create_with_completion, .usage read",
        f"client.create_with_completion({ASK}, response_model=User)[1].usage", 10.0, calls=5, upstream=True,
    ),
    Case(
        "raw", "... response_model=None, .usage read",
        f"create({ASK}, response_model=None).usage", 10.0, calls=5, provider="offline",
    ),
    _option("cache", "other", "other = make_store('memory')"),
    _option("cache_namespace", "'tenant'"),
    _option("cache_ttl", "60"),
    _option("hooks", "hooks", "hooks = instructor.Hooks()"),
    _option("token_budget", "1000"),
    _option("max_retries", "retrying", "import tenacity\nretrying = tenacity.Retrying(stop=tenacity.stop_after_attempt(2))"),
    Case("strict", "... from_provider(strict=False)", bar=3.5, calls=100, options={"strict": False}),
    _model("Users", "list[User]", 3.0),
    _model("Either", "User | B", 3.5),
    _model("Choice", "Literal['yes', 'no']", 2.5),
    Case("await", "... awaited", asynchronous=True, upstream=True),
    Case(
        "cyclic", "... {count:,} distinct prompts in turn", f"create({NEXT}, response_model=User)", 4.0,
        calls=50, provider="scripted", prompts=100_000,
    ),
    Case(
        "12kb", "... 5,000 prompts of 12 kB in turn", f"create({NEXT}, response_model=User)", 9.0,
        calls=20, provider="scripted", prompts=5_000, size=12_000,
    ),
    _size(1), _size(5), _size(10),
    Case("disk", "DiskCache hit", bar=12.0, calls=25, store="disk", upstream=True),
    Case(
        "disk-turns", "... {count:,} answers of 4 kB in turn, more than it remembers", f"create({NEXT}, response_model=User)",
        calls=25, store="disk", provider="scripted", prompts=5_000, answer=4_000,
    ),
    Case("disk-await", "DiskCache hit, awaited", bar=30.0, calls=50, store="disk", asynchronous=True, upstream=True),
    Case(
        "tiered", "Tiered hit in memory, over an AutoCache hit", f"tiered.{HIT}", 1.2, unit="x", compare="over",
        base=HIT, prepare="tiered = make_client([make_store('memory'), make_store('disk')])",
    ),
    Case(
        "tracked", "... before Redis, which keeps it right, over an AutoCache hit", f"tracked.{HIT}", 1.2, unit="x", compare="over",
        base=HIT, prepare=f"tracked = make_client([make_store('memory'), make_store('redis')])\nfill(lambda: tracked.{HIT}, tracked.cache.tiers[0])",
    ),
    Case(
        "heard", "Changed by another, until it is gone from memory", "change(prompt)", 50_000.0, calls=1, batches=50,
        prepare="change = make_change()",
    ),
    Case(
        "get-many", "RedisCache.get_many(100), over a bare GET", "many.get_many(keys)", 3.0, unit="x", calls=5,
        base="bare(key)", compare="over", store="redis",
        prepare="bare, key = find_redis_key()\nmany, keys = fill_redis(100)",
    ),
    Case("disk-1mb", "DiskCache hit, answer of 1 MB", bar=400.0, calls=1, store="disk", provider="scripted", answer=1_000_000),
    Case(
        "tag", "RedisCache: invalidating a tag of {count:,} answers", "store.invalidate(tag='all')", 2.0, unit="ms", scale=1_000_000,
        calls=1, store="redis", provider="scripted", prompts=10_000,
        prepare="for _ in range(count): create(messages=[{'role': 'user', 'content': next(prompts)}], response_model=User, cache_tags=['all'])",
    ),
    Case(
        "seal", "Added by SealedCache: storing an entry of 2 kB", "sealed.set('key', text)", 10.0, calls=50, base="inner.set('key', text)",
        compare="minus", prepare="from instructor.cache import SealedCache\ninner, text = make_store('memory'), make_entry('x' * 2_000)\n"
        "sealed = SealedCache(inner, [SealedCache.new_key()])",
    ),
    Case(
        "cassette", "1,000 replays from a cassette, opened anew", "replay()", 1.0, unit="s", scale=1_000_000_000, calls=1, batches=1, rounds=5,
        provider="scripted", prepare="replay = record_cassette(1_000)",
    ),
    Case(
        "redis", "RedisCache hit, over a bare GET of the same bytes", bar=1.3, unit="x", calls=10,
        base="bare(key)", compare="over", store="redis", prepare="bare, key = find_redis_key()",
    ),
    _miss("miss-none", "Added to a miss: no cache", 50.0, None),
    _miss("miss-memory", "Added to a miss: AutoCache", 100.0, "memory", upstream=True),
    _miss("miss-disk", "Added to a miss: DiskCache", 180.0, "disk"),
    _lease("lease-disk", "Added to a miss by a lease: DiskCache", 60.0, "disk"),
    _lease("lease-redis", "Added to a miss by a lease: RedisCache, beyond one PING", 60.0, "redis", "ping()"),
    _stream("chunk", "A chunk of a stream, beyond reading it: 20 fields, 10 kB", 15.0, 10_000, scale=834_000, upstream=True),
    _stream("chunk-objects", "... only the SDK's object of it", None, 10_000, scale=834_000, **OBJECTS),
    # Without upstream, which parses all that has come at each chunk, takes minutes for one stream, and 4 GB.
    _stream("90kb", "A stream of 800 items, beyond reading its 90 kB, 12 in a chunk", 60.0, 90_000, "Stock", **WHOLE),
    _stream("90kb-objects", "... only the SDK's objects of its chunks", None, 90_000, "Stock", **WHOLE | OBJECTS),
    _stream(
        "90kb-jiter", "... those, and if jiter parsed all that has come at each chunk", None, 90_000, "Stock", **WHOLE,
        call="for text in accumulate(map(text_of, bare(**request | {'stream': True}))): parse(text)", prepare=PARSE_EACH,
    ),
    _stream(
        "first", "Added to the time until the first partial object", 1_000.0, 1_000, is_cpu=False, batches=10, upstream=True,
        call=f"next(iter(client.create_partial({ASK}, response_model=Wide)))",
        base="with bare(**request | {'stream': True}) as chunks: next(iter(chunks))",
    ),
    _canned("deltas", "A stream of 116,667 characters, one in a chunk: our part", 1_000.0, 116_667, unit="ms", scale=1_000_000),
    _canned(
        "linear", "... 1 MB over 100 times 10 kB", 2.0, 1_000_000, unit="x", compare="over", rounds=1,
        base="for _ in repeat(None, 100): short()", also="\nshort = drain_canned(10_000)",
    ),
    Case(
        "replay", "A stream of 50 items from the cache", f"for _ in client.create_iterable({ASK}, response_model=User): pass",
        500.0, calls=5, provider="scripted", items=50,
    ),
    Case(
        "map", "A row of client.map from memory, its prompt a template", calls=1, scale=1_000_000, batches=5, rounds=20, is_cpu=True,
        call="for _ in client.map(texts, User, prompt='Who is it? {{ text }}', progress=False): pass", bar=20.0,
        provider="scripted", prepare="texts = ['Anna'] * 1_000\nlist(client.map(texts, User, prompt='Who is it? {{ text }}'))",
    ),
    Case(
        "map-live", "A row of client.map from the provider, over the bare SDK's call, 16 at once", unit="x", bar=1.15,
        calls=1, batches=1, rounds=8, compare="over", is_cpu=True, misses=True,
        call="for _ in client.map(name_rows(), User, concurrency=16, progress=False): pass",
        base="list(pool.map(lambda _: bare(**request), range(200)))",
        prepare="from concurrent.futures import ThreadPoolExecutor\nfrom itertools import count\npool, names = ThreadPoolExecutor(16), count()\n"
        "def name_rows(): return (f'row {next(names)}' for _ in range(200))\n"
        f"bare, request = spy_on_sdk({f'create({ASK}, response_model=User)'!r})",
    ),
    Case(
        "extract-live", "A record of instructor extract, its answer stored on disk, over the bare SDK's call, 16 at once", "extract(200)", 1.25,
        unit="x", calls=1, batches=1, rounds=8, compare="over", is_cpu=True, misses=True, base="list(pool.map(lambda _: bare(**request), range(200)))",
        prepare="from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(16)\nextract = make_extract()\n"
        f"bare, request = spy_on_sdk({f'create({ASK}, response_model=User)'!r})",
    ),
    Case("threads", "72,000 hits by 8 threads, over 1 thread", unit="x", calls=72_000, compare="over", batches=1, threads=8),
)  # fmt: skip

"""Where the time of a hit goes: each step of it by itself, then all together.

The steps are those of `instructor.engine.fast_path` for AutoCache, and of the whole flow for DiskCache, which is shown
with cProfile's eyes: its figures are larger than life, their proportions are not. Usage: ``python profile_hit.py``.
"""

from __future__ import annotations

import cProfile
import marshal
import pstats
import sys
import tempfile
import timeit
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from cases import CASES, Case, make_client
from server import ANSWERS
from sides import Server
from worker import words

from instructor.cache import AutoCache, DiskCache
from instructor.cache.entry import Entry
from instructor.client import NOT_GIVEN
from instructor.engine.client_stats import ClientStats
from instructor.engine.fast_path import KeyMemo
from instructor.engine.plan import Plans
from instructor.hooks import HookName, Hooks
from instructor.messages import Part
from instructor.mode import Mode
from instructor.wires.openai_chat import OPENAI_CHAT

REPEATS, CALLS = 400, 200  # short batches: a busy system lets most of them through in one go


class Empty:
    """A client whose `create` takes what ours takes, and returns at once."""

    def create(
        self,
        response_model: Any = None,
        messages: Any = None,
        max_retries: Any = None,  # noqa: ARG002 - the signature is what is timed
        context: Any = None,
        strict: Any = None,
        hooks: Any = None,
        *,
        cache: Any = NOT_GIVEN,
        cache_ttl: Any = None,
        cache_namespace: Any = None,
        token_budget: Any = None,  # noqa: ARG002 - as above
        **arguments: Any,
    ) -> Any:
        if hooks is None and cache is NOT_GIVEN and cache_ttl is None and cache_namespace is None:
            return self.answer(response_model, messages, context, strict, arguments)
        return None

    def answer(self, model: Any, messages: Any, context: Any, strict: Any, arguments: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        # Never called, but a class that has it looks up every attribute more slowly; and ours has it.
        raise AttributeError(name)


def time_step(statement: str, names: dict[str, Any]) -> float:
    """Microseconds for one execution: the least of many batches, without the loop's own time."""
    own, loop = (min(timeit.repeat(code, globals=names, number=CALLS, repeat=REPEATS)) for code in (statement, "pass"))
    return (own - loop) / CALLS * 1e6


def make_names(case: Case, client: Any) -> dict[str, Any]:
    """The parts of a hit, ready to be timed."""
    messages = words(case.prompt)
    local, memo, plans = AutoCache(), KeyMemo(), Plans(OPENAI_CHAT, Mode.TOOLS)
    plan = plans.make(case.model)
    encoding = marshal.dumps((plan.number, messages, None, None, "bench", {}), 2)
    key = "0" * 64
    memo.remember(encoding, key)
    from orjson import dumps

    entry = Entry(key, (Part("", dumps(ANSWERS[case.model.__name__]).decode()),), b"", "openai", "gpt", 0.0)
    local.keep(entry)
    return {
        "client": client, "empty": Empty(), "model": case.model, "prompt": case.prompt, "messages": messages,
        "local": local, "memo": memo, "plans": plans, "plan": plan, "stats": ClientStats(), "hooks": Hooks(),
        "dumps": marshal.dumps, "key": key, "entry": entry, "HookName": HookName,
        "parts": (Part("", entry.answer),),
        "validate": case.model.__pydantic_validator__.validate_json,
    }  # fmt: skip


CALL = 'create(messages=[{"role": "user", "content": prompt}], response_model=model)'
STEPS = {
    "the calls themselves, and the messages": f"empty.{CALL}",
    "plan: what is known of the model": "plans.by_class.get(id(model))",
    "hooks: does anybody listen": "hooks.has_handlers(HookName.CACHE_HIT)",
    "encode what was said, and look up its key": 'memo.keys[dumps((plan.number, messages, None, None, "bench", {}), 2)]',
    "find the entry": "local.find(key)",
    "parse and validate the answer": "plan.type.parse(parts, True, None)",
    "stats": "stats.hit(entry)",
}


def profile_memory(name: str, case: Case, client: Any) -> None:
    """Print the steps of a hit from memory."""
    client.create(messages=words(case.prompt), response_model=case.model)
    names = make_names(case, client)
    whole = time_step(f"client.{CALL}", names)
    print(f"\nAutoCache hit, {name}: {whole:.3f} µs")
    total = 0.0
    for step, statement in STEPS.items():
        taken = time_step(statement, names)
        total += taken
        print(f"  {taken:6.3f} µs  {taken / whole:4.0%}  {step}")
    print(f"  {whole - total:6.3f} µs  {(whole - total) / whole:4.0%}  between the steps")
    bare = time_step("validate(entry.answer, strict=True, context=None)", names)
    print(f"  pydantic alone takes {bare:.3f} µs of that to make the value")


def profile_disk(client: Any) -> None:
    """Print the functions of a hit from the disk, by their own time."""
    case = CASES["disk"]
    names = {"client": client, "prompt": case.prompt, "model": case.model}
    client.create(messages=words(case.prompt), response_model=case.model)
    print(f"\nDiskCache hit: {time_step(f'client.{CALL}', names):.1f} µs")
    profile = cProfile.Profile()
    profile.runcall(timeit.timeit, f"client.{CALL}", globals=names, number=5000)
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(18)


def main() -> None:
    server = Server()
    try:
        memory = make_client(f"{server.address}/profile/0/v1", AutoCache(maxsize=1000))
        for name in ("memory", "nested", "long"):
            profile_memory(name, CASES[name], memory)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            profile_disk(make_client(f"{server.address}/profile/0/v1", DiskCache(directory=folder)))
    finally:
        server.close()


if __name__ == "__main__":
    main()

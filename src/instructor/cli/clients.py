"""The client of a run: its model, its cache, and the arguments that the user wrote for the vendor's SDK."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from instructor.cli.cache_places import check_directory, is_cassette, open_store
from instructor.cli.completing import complete_mode
from instructor.cli.settings import Settings
from instructor.exceptions import CacheError, ConfigurationError, ModeError
from instructor.messages import Messages
from instructor.mode import Mode, resolve_mode

if TYPE_CHECKING:
    from instructor.budget import Budget
    from instructor.cache import BaseCache, DiskCache
    from instructor.client import Instructor
    from instructor.jobs.pace import Concurrency

_FIELD = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_MOST_AT_ONCE = 10_000
_NUMBER = re.compile("[0-9]{1,5}")
_LEAST_SIZE = 64 * 1024
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([kmgt]?)(i?)b?", re.IGNORECASE)
_BUDGET = re.compile(r"\$? *([0-9][0-9,]*(?:\.[0-9]+)?) *(tokens?)?", re.IGNORECASE)

log = logging.getLogger("instructor")

_ELSEWHERE: Final = {
    "api_key": "Write --api-key-env and the name of a variable: other users of the machine can read the command line",
    "async_client": "Leave it out",
    "base_url": "Write --base-url",
    "batch": "Write --batch",
    "budget": "Write --budget",
    "cache": "Write --cache",
    "concurrency": "Write --concurrency",
    "engine": "Write --engine",
    "hooks": "Leave it out",
    "max_retries": "Write --max-retries",
    "messages": "Write --prompt and --system",
    "mode": "Write --mode",
    "model": "Write --model",
    "response_model": "Write --response-model",
    "stream": "Leave it out",
}
"""Arguments that ``-o`` doesn't take, and what to do instead."""


def make_client(settings: Settings, cache: BaseCache) -> Instructor:
    """Make the client of a run."""
    from instructor.factory import from_provider

    if _FIELD.search(settings.system or ""):
        log.warning("--system is sent as it stands, with its braces: only --prompt is a template.")
    more: dict[str, Any] = read_options(settings)
    if settings.budget is not None:
        more["budget"] = read_budget(settings.budget, settings.price_as)
    if settings.latency:
        more["latency"] = settings.latency
    client: Instructor = from_provider(
        settings.model,
        async_client=False,
        cache=cache,
        mode=find_mode(settings.mode),
        base_url=settings.base_url,
        api_key=read_key(settings.api_key_env),
        **more,
    )
    return client


def add_system(settings: Settings, messages: Messages) -> Messages:
    """Put the message of ``--system`` before the messages of a record."""
    return messages if settings.system is None else [{"role": "system", "content": settings.system}, *messages]


def read_options(settings: Settings) -> dict[str, Any]:
    """Read ``-o NAME=VALUE`` and ``--temperature``. A value is JSON, or else text."""
    options: dict[str, Any] = {}
    for text in settings.option or ():
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"-o {text} is not a name and a value. Write them as in -o max_tokens=500.")
        if name in _ELSEWHERE:
            raise ConfigurationError(f"-o {name}= is not an argument of the request. {_ELSEWHERE[name]}.")
        if name in options:
            raise ConfigurationError(f"-o {name}= is written twice. Write it once.")
        options[name] = _read_value(value)
    if settings.temperature is not None:
        if "temperature" in options:
            raise ConfigurationError("--temperature and -o temperature= say the same. Write one of them.")
        options["temperature"] = settings.temperature
    return options


def _read_value(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def read_key(variable: str | None) -> str | None:
    """Read the key from the variable of ``--api-key-env``; None, for the vendor's own, where it is left out."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigurationError(f"--api-key-env {variable}: that variable isn't set. Set it, or name another one.")
    return key


def read_concurrency(text: str) -> Concurrency:
    """Read ``--concurrency``."""
    if text.strip() == "auto":
        return "auto"
    number = int(text) if _NUMBER.fullmatch(text.strip()) else 0
    if not 1 <= number <= _MOST_AT_ONCE:
        raise ConfigurationError(f"--concurrency {text} is neither auto nor a number from 1 to {_MOST_AT_ONCE:,}.")
    return number


def read_budget(text: str, price_as: str | None) -> Budget:
    """Read ``--budget``: dollars, which may have their sign, or tokens."""
    from instructor.budget import Budget

    match = _BUDGET.fullmatch(text.strip())
    amount = float(match[1].replace(",", "")) if match else 0.0
    if match is None or not amount:
        raise ConfigurationError(f'--budget {text} is not an amount. Write dollars such as 5.50, or "200000 tokens".')
    if match[2]:
        return Budget(tokens=int(amount))
    return Budget(usd=amount, price_as=price_as)


def find_mode(name: str | None) -> Mode | None:
    """Return the mode that ``--mode`` names, by its name or its value."""
    try:
        return None if name is None else resolve_mode(name)
    except ModeError:
        known = ", ".join(complete_mode(""))
        raise ConfigurationError(f"--mode {name}: there is no such mode. Use one of {known}.") from None


def read_size(text: str | None) -> int | None:
    """Read the bytes of ``--cache-size``; None, for no limit, where it is left out.

    Example:
        >>> read_size("65536"), read_size("2GB"), read_size("1.5 MiB")
        (65536, 2000000000, 1572864)
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f'--cache-size {text} is not a size. Write bytes, or a number such as "2GB".')
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " "))
    if size < _LEAST_SIZE:
        raise ConfigurationError(f"--cache-size {text} is too small to hold answers. Write 64KiB or more.")
    return size


def open_cache(settings: Settings) -> BaseCache:
    """Open the cache and try it: without one, a run could not go on where the last one stopped."""
    place = settings.cache
    if not place.strip():
        raise ConfigurationError("--cache names nothing. Leave it out for .instructor_cache.")
    if "://" not in place and not is_cassette(place):
        return _open_directory(place, read_size(settings.cache_size))
    if settings.cache_size is not None:
        raise ConfigurationError("--cache-size is the limit of a directory, which --cache doesn't name. Leave it out.")
    try:
        return open_store(place, create=True)
    except (CacheError, ConfigurationError) as error:
        raise ConfigurationError(f"--cache: {error}") from error


def _open_directory(directory: str, size: int | None) -> DiskCache:
    from instructor.cache import DiskCache

    check_directory(Path(directory))
    try:
        with DiskCache(directory, size) as cache:
            cache.get("")
    except (CacheError, ConfigurationError) as error:
        raise ConfigurationError(f"--cache {directory} cannot be used. {error}") from error
    if not os.access(cache.path, os.W_OK) or not os.access(cache.directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--cache {directory} cannot be written. Name another directory.")
    return cache

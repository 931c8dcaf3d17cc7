"""What both clients share: all but sending."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Self, SupportsIndex

from instructor import validation as check
from instructor.cache.key import KeyBuilder, keyed_arguments
from instructor.cache.store import BaseCache, CacheStats
from instructor.engine.call import Call, Policy, Prompt
from instructor.engine.client_stats import ClientStats
from instructor.engine.completion_copies import CompletionCopies
from instructor.engine.fast_path import Asker, Place, Reading, make_lookup
from instructor.engine.key_memo import NOT_KEYED, SEEN_LONG, Frozen, decode, encode, encode_frozen, make_memo, name_of
from instructor.engine.path import CachePath, Unserved, make_path
from instructor.engine.plan import Plan, Plans
from instructor.engine.retry import DEFAULT_RETRIES, make_retry_policy, within_budget
from instructor.exceptions import ConfigurationError, ModeError, NoCanonicalFormError
from instructor.hooks import HookName, Hooks, typed_on
from instructor.locks import make_lock
from instructor.messages import Conversation, Messages, ResponseModel, copy_values
from instructor.mode import Mode
from instructor.options import NotGiven, split_options
from instructor.providers.adapter import Adapter, sdk_attribute, sdk_client
from instructor.streams import Wanted
from instructor.templating import render_messages, watch_chance
from instructor.wires.capabilities import Capabilities, adapt_arguments, refused_arguments
from instructor.wires.content import drop_empty_turns
from instructor.wires.wire import Wire

_MOST_PATHS = 8
"""Stores given with ``cache=`` to single calls that a client remembers."""


class BaseClient:
    """The state of a client, its events and counters, and the way from a caller's keywords to a `Call`."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        wires: Mapping[Mode, Wire],
        mode: Mode | None = None,
        model: str | None = None,
        cache: BaseCache | None = None,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        hooks: Hooks | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        if mode is not None and mode not in wires:
            raise ModeError(mode.name, adapter.provider, [known.name for known in wires])
        self._adapter = adapter
        self._wires: Mapping[Mode, Wire] = wires if mode is None else {mode: wires[mode]}
        self._model = model
        self._hooks = Hooks() if hooks is None else check.check_hooks(hooks)
        self._settings, self._defaults = split_options(check.check_defaults(defaults or {}))
        self._ttl = check.check_seconds(cache_ttl)
        self._namespace = check.check_namespace(cache_namespace)
        self._key_builders: dict[Mode, KeyBuilder] = {}
        self._plans = Plans()
        self._stats = ClientStats()
        self._paths = _Paths(self._stats)
        weakref.finalize(self, self._paths.close).atexit = False
        store = check.check_cache(cache)
        check.check_cache_settings(store, cache_ttl, cache_namespace)
        self._path = None if store is None else self._paths.make_own(store)
        self._memo = make_memo(_entries_of(store))
        self._lookup = make_lookup(self._make_asker(), _place_of(adapter.asynchronous, self._path))

    def _make_asker(self) -> Asker:
        adapter, paths, place_of = self._adapter, self._paths, partial(_place_of, self._adapter.asynchronous)

        def find_place(cache: object) -> Place | None:
            return place_of(paths.find(cache))

        return Asker(
            provider=adapter.provider,
            model=self._model,
            plans=self._plans,
            memo=self._memo,
            hooks=self._hooks,
            context=check.check_context(self._settings.context),
            strict=check.check_strict(self._settings.strict),
            find_place=find_place,
            load=CompletionCopies(adapter.load).load,
            asynchronous=adapter.asynchronous,
        )

    @property
    def hooks(self) -> Hooks:
        """The handlers of this client's events. The set can be changed, and not be replaced."""
        return self._hooks

    @property
    def provider(self) -> str:
        """The vendor's name, such as ``"openai"``."""
        return self._adapter.provider

    @property
    def model(self) -> str | None:
        """The model that is asked unless a call names another."""
        return self._model

    @property
    def mode(self) -> Mode:
        """The mode that was chosen for this client, or the one that is best for its model."""
        return self._choose_mode(self._adapter.published(self._model or ""))

    @property
    def cache(self) -> BaseCache | None:
        """The store of answers; None for a client without one."""
        return None if self._path is None else self._path.tiers[-1].handle.store

    @property
    def client(self) -> Any:
        """The SDK's own client, made on first use.

        Raises:
            MissingClientError: The SDK is not installed, or a key is missing.
        """
        return sdk_client(self._adapter)

    @property
    def chat(self) -> Self:
        """This client, so that ``client.chat.completions.create`` is `create`."""
        return self

    @property
    def completions(self) -> Self:
        """This client, as `chat`."""
        return self

    @property
    def messages(self) -> Self:
        """This client, so that ``client.messages.create`` is `create`."""
        return self

    @property
    def responses(self) -> Any:
        """This client in `Mode.RESPONSES_TOOLS`, so that ``client.responses.create`` is `create`; else the SDK's."""
        return self if list(self._wires) == [Mode.RESPONSES_TOOLS] else sdk_attribute(self._adapter, self, "responses")

    @typed_on
    def on(self, hook_name: HookName | str, handler: Callable[..., Any]) -> None:
        """Register a handler for an event of this client's calls; see `Hooks.on`."""
        self.hooks.on(hook_name, handler)

    def off(self, hook_name: HookName | str, handler: Callable[..., Any]) -> None:
        """Remove a handler; see `Hooks.off`."""
        self.hooks.off(hook_name, handler)

    def clear(self, hook_name: HookName | str | None = None) -> None:
        """Remove the handlers of one event, or of all."""
        self.hooks.clear(hook_name)

    def cache_stats(self) -> CacheStats:
        """What this client's calls have met in the cache since it was made, over all stores it used."""
        return self._stats.stats()

    def __cache_key__(self) -> Any:
        """What makes this client's answers its own, for keys that it becomes part of: no credential, no store.

        `instructor_cache` asks for it where a decorated function uses a client.
        """
        settings = self._settings
        own = {"context": settings.context, "strict": settings.strict, "token_budget": settings.token_budget}
        kept = keyed_arguments(self._defaults) | {name: value for name, value in own.items() if value is not None}
        modes = [mode.name for mode in self._wires]
        return [self.provider, dict(self._adapter.endpoint), self._model, modes, self._namespace, kept]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        if name == "client":  # Python asks here too where the property raises an AttributeError
            return sdk_client(self._adapter)
        return sdk_attribute(self._adapter, self, name)

    def __repr__(self) -> str:
        shown = [f"{name}={value}" for name, value in self.__rich_repr__() if value is not None]
        return f"<{type(self).__name__} {' '.join(shown)}>"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:
        """What `repr` and the library ``rich`` show: the model, how it's asked, and where answers are kept."""
        yield "model", f"{self._adapter.provider}/{self._model}" if self._model else self._adapter.provider
        yield "mode", self.mode.name
        yield "cache", self.cache

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        raise _cannot_leave(self, "deep-copied")

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        raise _cannot_leave(self, "pickled")

    def _call(
        self,
        response_model: ResponseModel,
        messages: Conversation,
        keywords: Mapping[str, Any],
        *,
        with_completion: bool = False,
        unserved: Unserved | None = None,
    ) -> Call[Any]:
        """Freeze what was said, and sort it into a call.

        Key, request and entry all derive from one copy of what the caller passed. Where the key is remembered, the
        encoding that led to it is that copy, and a hit never unpacks it.
        """
        options, arguments = split_options(keywords)
        settings = self._settings
        plan = self._plans.find(response_model) or self._plans.make(response_model)
        context = check.check_context(settings.context if options.context is None else options.context)
        strict = check.check_strict(settings.strict if options.strict is None else options.strict)
        model = check.check_model(
            _first(arguments.pop("model", None), self._defaults.get("model")), self._model, self.provider
        )
        path = self._path if isinstance(options.cache, NotGiven) else self._paths.find(options.cache)
        namespace = (
            self._namespace if options.cache_namespace is None else check.check_namespace(options.cache_namespace)
        )
        retries = settings.max_retries if options.max_retries is None else options.max_retries
        budget = settings.token_budget if options.token_budget is None else options.token_budget
        ttl = self._ttl if options.cache_ttl is None else check.check_seconds(options.cache_ttl)
        check.check_timeout(arguments.get("timeout"))
        if path is None and isinstance(options.cache, NotGiven):
            check.check_cache_settings(None, options.cache_ttl, options.cache_namespace)
        seconds = check.check_max_seconds(settings.max_seconds if options.max_seconds is None else options.max_seconds)
        policy = DEFAULT_RETRIES if retries is None else make_retry_policy(retries)
        call: Call[Any] = Call(
            plan=plan,
            adapter=self._adapter,
            model=model,
            load_prompt=_unset,
            response_model=response_model,
            with_completion=with_completion,
            retries=policy if seconds is None else within_budget(policy),
            hooks=self._hooks if options.hooks is None else self._hooks + check.check_hooks(options.hooks),
            stats=self._stats,
            context=context,
            strict=strict,
            token_budget=check.check_budget(budget),
            deadline=None if seconds is None else time.monotonic() + seconds,
            max_seconds=seconds,
            path=path,
            policy=self._make_policy(plan, path, ttl, (retries, budget, seconds), arguments),
            unserved=unserved,
        )
        said = unserved.encoding if unserved is not None else None
        return self._freeze(call, messages, keywords, arguments, namespace, said)

    def _stream_call(self, wanted: Wanted, messages: Conversation, keywords: dict[str, Any]) -> Call[Any]:
        """Freeze a call whose answer is handed out bit by bit. It shares its key with the plain call."""
        keywords.pop("stream", None)
        call = self._call(wanted.response_model, messages, keywords)
        return call._replace(showing=wanted.show(call.strict, call.context))

    def _freeze(
        self,
        call: Call[Any],
        messages: Conversation,
        keywords: Mapping[str, Any],
        arguments: dict[str, Any],
        namespace: str | None,
        said: bytes | Frozen | None,
    ) -> Call[Any]:
        """Give a call its key, and the means to make its prompt from a copy of what was said."""
        keyed = {name: value for name, value in keywords.items() if name not in NOT_KEYED} if keywords else {}
        free = {name: value for name, value in arguments.items() if name in NOT_KEYED} if arguments else {}
        encoding = encode(call.plan.number, messages, keyed) if said is None else encode_frozen(said)
        if encoding is None:
            copied = copy_values({"messages": messages, **arguments})
            prompt = self._make_prompt(call, copied.pop("messages"), copied, call.context)
            return self._key(call, prompt, namespace, None)
        name = name_of(encoding)
        if name is not encoding:
            self._memo.sees_long = SEEN_LONG
        key = self._memo.find(name) if call.path is not None else None
        if key is not None:
            return call._replace(key=key, load_prompt=partial(self._load_prompt, call, encoding, free))
        prompt = self._load_prompt(call, encoding, free)
        keyed_call = self._key(call, prompt, namespace, name)
        if keyed_call.key is None or prompt.varies or self._memo.find(name) is not None:
            return keyed_call
        # A buffer (a bytearray, an array) is encoded as bytes; such a call is copied object by object.
        copied = copy_values({"messages": messages, **arguments})
        prompt = self._make_prompt(call, copied.pop("messages"), copied, call.context)
        return self._key(call, prompt, namespace, None)

    def _load_prompt(self, call: Call[Any], encoding: bytes, free: Mapping[str, Any]) -> Prompt:
        """Make the prompt from the encoding: what the caller said when the key was made.

        The templates are filled from the encoding's context as well: the caller may have changed its own one since.
        """
        messages, keywords = decode(encoding)
        options, arguments = split_options(keywords)
        arguments.pop("model", None)
        context = call.context if options.context is None else options.context
        return self._make_prompt(call, messages, {**arguments, **free}, context)

    def _make_prompt(
        self, call: Call[Any], messages: Conversation, arguments: Mapping[str, Any], context: Mapping[str, Any] | None
    ) -> Prompt:
        """Decide what is asked, and in which way. The messages and arguments are copies."""
        merged = {**self._defaults, **arguments}
        merged.pop("model", None)
        merged = check.check_arguments(merged)
        with watch_chance() as varies:
            rendered = render_messages(check.check_messages(messages, merged), context or None)
        conversation: Messages = drop_empty_turns(rendered)  # no wire sends them, so no key may show them
        capabilities = self._adapter.published(call.model)
        mode = self._choose_mode(capabilities)
        return Prompt(
            conversation,
            adapt_arguments(merged, capabilities),
            self._wires[mode],
            mode,
            capabilities,
            self._wires,
            left_out=refused_arguments(merged, capabilities),
            varies=bool(varies),
        )

    def _choose_mode(self, capabilities: Capabilities) -> Mode:
        return next((mode for mode in capabilities.modes if mode in self._wires), next(iter(self._wires)))

    def _key(self, call: Call[Any], prompt: Prompt, namespace: str | None, name: bytes | None) -> Call[Any]:
        """Give a call its prompt, and the key that follows from it, or say why it has none."""
        call = call._replace(load_prompt=lambda: prompt)
        if call.path is None:
            return call
        builder = self._key_builders.get(prompt.mode) or self._make_key_builder(prompt)
        owners: list[object] = []
        try:
            key, plain = builder.key(
                call.plan.schema_text,
                call.plan.shape_text,
                call.model,
                prompt.messages,
                call.context,
                call.strict,
                namespace,
                prompt.shown,
                owners.append,
            )
        except NoCanonicalFormError as error:
            return call._replace(bypass=str(error))
        if name is not None and plain and not prompt.varies:
            self._memo.remember(name, key)
        return call._replace(key=key, policy=call.policy.owned_by(owners))

    def _make_key_builder(self, prompt: Prompt) -> KeyBuilder:
        builder = self._key_builders[prompt.mode] = KeyBuilder(
            {
                "mode": prompt.mode.name,
                "provider": self._adapter.provider,
                "wire": prompt.wire.name,
                "endpoint": dict(self._adapter.endpoint) or None,
            }
        )
        return builder

    def _make_policy(
        self,
        plan: Plan,
        path: CachePath | None,
        ttl: float | None,
        limits: tuple[Any, int | None, float | None],
        arguments: Mapping[str, Any],
    ) -> Policy:
        if path is None:
            return Policy()
        timeout = arguments.get("timeout", self._defaults.get("timeout"))
        # Credentials and timeouts aren't in the key, but decide about errors. As a hash, so that none is kept here.
        private = hash((repr(timeout), repr(arguments.get("api_key")), repr(arguments.get("extra_headers"))))
        source = (self._adapter, plan, *limits, private)
        patience = [seconds for seconds in (_seconds_of(timeout), limits[-1]) if seconds is not None]
        return Policy(_lifetime(ttl, path), min(patience, default=None), source)


class _Paths:
    """The paths of one client: its own, and those of the latest stores given to single calls.

    A program may pass a new store to each call, so only a few are remembered; the counts of the others are kept.
    """

    def __init__(self, stats: ClientStats) -> None:
        self._stats = stats
        self._lock = make_lock()
        self._own: CachePath | None = None
        self._known: dict[int, CachePath] = {}

    def make_own(self, store: BaseCache) -> CachePath:
        """Make the client's own path."""
        self._own = self._add(store)
        return self._own

    def find(self, cache: object) -> CachePath | None:
        """The path of what was passed as ``cache=``; None for None."""
        path = self._known.get(id(cache))
        if path is not None:
            return path
        store = check.check_cache(cache)
        return None if store is None else self._add(store)

    def _add(self, store: BaseCache) -> CachePath:
        """Make the path of a store. It holds the store, so that its address stays its own."""
        with self._lock:
            path = self._known.get(id(store))
            if path is None:
                path = self._known[id(store)] = make_path(store)
                for tier in path.tiers:
                    self._stats.attach(tier.hits)
            if len(self._known) > _MOST_PATHS:
                oldest = next(name for name, known in self._known.items() if known is not self._own)
                self._forget(self._known.pop(oldest))
            return path

    def _forget(self, path: CachePath) -> None:
        for tier in path.tiers:
            self._stats.detach(tier.hits)
            tier.handle.detach(tier.hits)

    def close(self) -> None:
        """Let the stores go on without this client; they keep its hits."""
        for path in self._known.values():
            self._forget(path)


def _entries_of(store: BaseCache | None) -> int | None:
    """How many entries a store holds at most, as far as it says so; a user's attribute may be anything."""
    entries = getattr(store, "maxsize", None)
    return entries if type(entries) is int and entries > 0 else None


def _place_of(asynchronous: bool, path: CachePath | None) -> Place | None:
    """The first store of a path, as the fast path reads it; None for no path."""
    if path is None:
        return None
    tier = path.tiers[0]
    find_later = tier.find_later if asynchronous else None
    find = tier.find_now if find_later is None else partial(Reading, find_later)
    return Place(find, tier.hits, type(tier.handle.store).__name__)


def _cannot_leave(client: BaseClient, verb: str) -> ConfigurationError:
    """The error for a client that is to go where its connections can't: into another process, or a copy of its own."""
    return ConfigurationError(
        f"{type(client).__name__} cannot be {verb}: it holds connections, locks and perhaps a key. Threads and tasks can "
        "share it as it is. For another process, make the client there: in the function that runs there, or in the "
        "initializer= of a ProcessPoolExecutor."
    )


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _unset() -> Prompt:
    raise AssertionError("a call gets its prompt when it is frozen")


def _seconds_of(timeout: Any) -> float | None:
    """How long a call may wait for another: its own timeout, as a number or an object of an HTTP library."""
    seconds = timeout if isinstance(timeout, (int, float)) else getattr(timeout, "read", None)
    return float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else None


def _lifetime(ttl: float | None, path: CachePath) -> float | None:
    """Seconds for which an answer is served. A store that ignores its ttl is told of it instead."""
    store = path.tiers[-1].handle.store
    if not ttl or store.honours_ttl:
        return ttl
    store.note_ttl()
    return None

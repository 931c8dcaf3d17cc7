"""What both clients share: all but sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

from instructor import arguments as check
from instructor.cache.guard import guard_of
from instructor.cache.store import BaseCache, CacheStats
from instructor.engine.effects import Call, Reply
from instructor.engine.keyring import Keyring
from instructor.engine.plan import Plans
from instructor.engine.recall import MISSING, Memo, Recall, encode
from instructor.engine.retry import make_retry_policy
from instructor.engine.tally import Tally
from instructor.exceptions import ModeError, NoCanonicalFormError
from instructor.hooks import HookName, Hooks
from instructor.mode import Mode
from instructor.providers.port import Port, sdk_attribute
from instructor.wires.wire import Wire

DEFAULT_MAX_RETRIES = 3

_ENGINE_KEYWORDS = ("max_retries", "context", "strict", "token_budget")
"""Keywords of ``create`` that a factory may be given as defaults, beside the provider's own."""


class NotGiven:
    """Stands for a keyword that was left out, where None has a meaning of its own."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


class BaseClient:
    """The state of a client, its events and counters, and the way from a user's keywords to a `Call`."""

    def __init__(
        self,
        port: Port,
        *,
        wires: Mapping[Mode, Wire],
        mode: Mode,
        model: str | None = None,
        cache: BaseCache | None = None,
        cache_ttl: float | timedelta | None = None,
        cache_namespace: str | None = None,
        hooks: Hooks | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        if mode not in wires:
            raise ModeError(mode.name, port.provider, [known.name for known in wires])
        self.mode = mode
        self._hooks = Hooks() if hooks is None else check.check_hooks(hooks)
        self._port = port
        self._model = model
        self._defaults = dict(defaults or {})
        self._cache = check.check_cache(cache)
        self._ttl = check.check_seconds(cache_ttl)
        self._namespace = check.check_namespace(cache_namespace)
        self._keyring = Keyring(port, wires[mode], mode)
        self._plans = Plans(wires[mode], mode)
        self._memo = Memo()
        self._tally = Tally()
        self._recall = self._make_recall()

    def _make_recall(self) -> Callable[..., Any]:
        near = guard_of(self._cache).near if self._cache is not None else None
        if near is None or any(name in self._defaults for name in _ENGINE_KEYWORDS):
            return lambda *_: MISSING
        return Recall(near, self._plans, self._memo, self._tally, self._hooks, self._namespace)

    @property
    def hooks(self) -> Hooks:
        """The handlers of this client's events. The set can be changed, and not be replaced."""
        return self._hooks

    @property
    def provider(self) -> str:
        """The vendor's name, such as ``"openai"``."""
        return self._port.provider

    @property
    def model(self) -> str | None:
        """The model that is asked unless a call names another."""
        return self._model

    @property
    def client(self) -> Any:
        """The SDK's own client, made on first use.

        Raises:
            ConfigurationError: The SDK is not installed, or a key is missing.
        """
        return self._port.client

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
        return self if self.mode is Mode.RESPONSES_TOOLS else sdk_attribute(self._port, "responses")

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
        return self._tally.stats()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        return sdk_attribute(self._port, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._port.provider}/{self._model} mode={self.mode.name}>"

    def _call(
        self,
        response_model: Any,
        messages: Any,
        max_retries: Any,
        context: Any,
        strict: Any,
        hooks: Any,
        cache: Any,
        cache_ttl: Any,
        cache_namespace: Any,
        token_budget: Any,
        arguments: Mapping[str, Any],
    ) -> Call:
        """Sort what the user said into a call."""
        said = {"max_retries": max_retries, "context": context, "strict": strict, "token_budget": token_budget}
        merged = {**self._defaults, **arguments}
        settings = {name: merged.pop(name, None) if value is None else value for name, value in said.items()}
        for name in _ENGINE_KEYWORDS:
            merged.pop(name, None)
        retries = settings["max_retries"]
        plan = self._plans.make(response_model)
        call = Call(
            plan=plan,
            port=self._port,
            model=check.check_model(merged.pop("model", None) or self._model, self._port.provider),
            messages=check.check_messages(messages, merged),
            arguments=check.check_arguments(merged),
            response_model=response_model,
            retries=make_retry_policy(DEFAULT_MAX_RETRIES if retries is None else retries),
            hooks=self.hooks if hooks is None else self.hooks + check.check_hooks(hooks),
            tally=self._tally,
            context=check.check_context(settings["context"]),
            strict=check.check_strict(settings["strict"]),
            token_budget=check.check_budget(settings["token_budget"]),
        )
        ttl = self._ttl if cache_ttl is None else check.check_seconds(cache_ttl)
        namespace = self._namespace if cache_namespace is None else check.check_namespace(cache_namespace)
        store = self._cache if isinstance(cache, NotGiven) else check.check_cache(cache)
        if store is None:
            return call
        encoding = encode(plan.number, messages, context, strict, namespace, arguments)
        return self._cached(call, store, ttl, namespace, encoding)

    def _cached(
        self, call: Call, store: BaseCache, ttl: float | None, namespace: str | None, encoding: bytes | None
    ) -> Call:
        """Give a call its store and its key, or the reason why it has no key."""
        guard = guard_of(store)
        key = self._memo.keys.get(encoding) if encoding is not None else None
        if key is None:
            try:
                key, plain = self._keyring.key(
                    call.plan, call.model, call.messages, call.context, call.strict, namespace, call.arguments
                )
            except NoCanonicalFormError as error:
                return replace(call, guard=guard, bypass=str(error))
            if encoding is not None and plain:
                self._memo.remember(encoding, key)
        if ttl and not store.honours_ttl:
            store.note_ttl()
            ttl = None
        return replace(call, guard=guard, key=key, ttl=ttl)

    def _completion(self, reply: Reply) -> Any:
        """The SDK's completion of a reply, built again from its text on a hit."""
        if reply.completion is not None or reply.entry is None:
            return reply.completion
        return self._port.load(reply.entry.completion)

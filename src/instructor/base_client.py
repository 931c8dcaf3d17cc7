"""What both clients share: all but sending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Self

from instructor import validation as check
from instructor.cache.handle import StoreHandle, handle_of
from instructor.cache.key import KeyBuilder, keyed_arguments
from instructor.cache.store import BaseCache, CacheStats
from instructor.engine.client_stats import ClientStats
from instructor.engine.effects import Call, Reply
from instructor.engine.fast_path import MISSING, KeyMemo, encode, make_memory_lookup
from instructor.engine.plan import Plan, Plans
from instructor.engine.retry import make_retry_policy
from instructor.exceptions import ModeError, NoCanonicalFormError
from instructor.hooks import HookName, Hooks
from instructor.mode import Mode
from instructor.providers.adapter import Adapter, sdk_attribute
from instructor.templating import render_messages
from instructor.wires.wire import Wire

_ENGINE_KEYWORDS = ("max_retries", "context", "strict", "token_budget")
"""Keywords of ``create`` that a factory may be given as defaults, beside the provider's own."""


_NOT_YET = {
    "create_iterable": "Use create(response_model=list[Model]), which returns them all at once.",
    "create_partial": "Use create(response_model=Model), which returns the answer when it is complete.",
}
"""Methods of 1.x that users look for here, and what to do meanwhile."""


class NotGiven:
    """Stands for a keyword that was left out, where None has a meaning of its own."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


class BaseClient:
    """The state of a client, its events and counters, and the way from a user's keywords to a `Call`."""

    def __init__(
        self,
        adapter: Adapter,
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
            raise ModeError(mode.name, adapter.provider, [known.name for known in wires])
        self.mode = mode
        self._hooks = Hooks() if hooks is None else check.check_hooks(hooks)
        self._adapter = adapter
        self._model = model
        given = check.check_defaults(defaults or {})
        self._settings = {name: given.pop(name) for name in _ENGINE_KEYWORDS if name in given}
        self._defaults = given
        self._handle = _handle_of(cache)
        self._ttl = check.check_seconds(cache_ttl)
        self._namespace = check.check_namespace(cache_namespace)
        self._wire = wires[mode]
        self._plans = Plans(wires[mode], mode)
        self._memo = KeyMemo()
        self._stats = ClientStats()
        self._memory_lookup = self._make_memory_lookup()

    @cached_property
    def _key_builder(self) -> KeyBuilder:
        # Made for the first key, because an adapter may have to make the SDK's client to know its endpoint.
        return KeyBuilder(
            {
                "provider": self._adapter.provider,
                "wire": self._wire.name,
                "endpoint": dict(self._adapter.endpoint) or None,
                "mode": self.mode.name,
            }
        )

    def _make_memory_lookup(self) -> Callable[..., Any]:
        local = self._handle.local if self._handle is not None else None
        if local is None or self._settings:
            return lambda *_: MISSING
        return make_memory_lookup(local, self._plans, self._memo, self._stats, self._hooks, self._namespace)

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
    def client(self) -> Any:
        """The SDK's own client, made on first use.

        Raises:
            ConfigurationError: The SDK is not installed, or a key is missing.
        """
        return self._adapter.client

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
        return self if self.mode is Mode.RESPONSES_TOOLS else sdk_attribute(self._adapter, "responses")

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
        settings = {name: value for name, value in self._settings.items() if name != "max_retries"}
        said = keyed_arguments(self._defaults) | settings
        return [self.provider, dict(self._adapter.endpoint), self._model, self.mode.name, self._namespace, said]

    def __getattr__(self, name: str) -> Any:
        if name in _NOT_YET:
            raise AttributeError(f"{name} is not part of this version yet. {_NOT_YET[name]}")
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        return sdk_attribute(self._adapter, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._adapter.provider}/{self._model} mode={self.mode.name}>"

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
        settings = self._settings
        said = {**self._defaults, **arguments}
        plan = self._plans.find(response_model) or self._plans.make(response_model)
        values = check.check_context(settings.get("context") if context is None else context)
        whole = check.check_strict(settings.get("strict") if strict is None else strict)
        model = check.check_model(said.pop("model", None), self._model, self._adapter.provider)
        conversation = render_messages(check.check_messages(messages, said), values)
        check.check_arguments(said)
        handle = self._handle if isinstance(cache, NotGiven) else _handle_of(cache)
        ttl = self._ttl if cache_ttl is None else check.check_seconds(cache_ttl)
        namespace = self._namespace if cache_namespace is None else check.check_namespace(cache_namespace)
        key = reason = None
        if handle is not None:
            ttl = _lifetime(ttl, handle.store)
            encoding = encode(plan.number, messages, context, strict, namespace, arguments)
            key = self._memo.keys.get(encoding) if encoding is not None else None
            if key is None:
                key, reason = self._make_key(encoding, plan, model, conversation, values, whole, namespace, said)
        return Call(
            plan=plan,
            adapter=self._adapter,
            model=model,
            messages=conversation,
            arguments=said,
            response_model=response_model,
            retries=make_retry_policy(_first(max_retries, settings.get("max_retries"), 3)),
            hooks=self._hooks if hooks is None else self._hooks + check.check_hooks(hooks),
            stats=self._stats,
            context=values,
            strict=whole,
            token_budget=check.check_budget(settings.get("token_budget") if token_budget is None else token_budget),
            handle=handle,
            key=key,
            bypass=reason,
            ttl=ttl,
        )

    def _make_key(self, encoding: bytes | None, plan: Plan, *said: Any) -> tuple[str | None, str | None]:
        """Make a key of what was said, and let the memo lead to it; or say why there is none."""
        try:
            key, plain = self._key_builder.key(plan.schema_text, plan.shape_text, *said)
        except NoCanonicalFormError as error:
            return None, str(error)
        if encoding is not None and plain:
            self._memo.remember(encoding, key)
        return key, None

    def _completion(self, reply: Reply) -> Any:
        """The SDK's completion of a reply, built again from its text on a hit."""
        if reply.completion is not None or reply.entry is None:
            return reply.completion
        return self._adapter.load(reply.entry.completion)


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _handle_of(cache: Any) -> StoreHandle | None:
    store = check.check_cache(cache)
    return handle_of(store) if store is not None else None


def _lifetime(ttl: float | None, store: BaseCache) -> float | None:
    """Seconds for which an answer is served; a store that ignores its ttl is told of it instead."""
    if not ttl or store.honours_ttl:
        return ttl
    store.note_ttl()
    return None

"""What both clients share: all but sending."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from instructor import checks as check
from instructor.cache.call_notes import Sketch
from instructor.cache.canonical import ignore
from instructor.cache.key import KeyBuilder, keyed_arguments
from instructor.cache.store import BaseCache
from instructor.cache_modes import active, cache_of_block
from instructor.describing import cannot_leave, warn_caller
from instructor.engine.background import Background
from instructor.engine.call import Call, Common, Keyed, Prompt, Settled, Terms
from instructor.engine.client_stats import ClientStats
from instructor.engine.completion_copies import CompletionCopies
from instructor.engine.fast_path import Asker, make_lookup
from instructor.engine.key_memo import NOT_KEYED, SEEN_LONG, Frozen, decode, encode, encode_frozen, make_memo, name_of
from instructor.engine.path import CachePath, Unserved
from instructor.engine.plan import Plan, Plans
from instructor.engine.retry import settle_retries
from instructor.exceptions import NoCanonicalFormError
from instructor.hooks import HookName, Hooks, typed_on
from instructor.limits.registry import Throttles
from instructor.messages import Conversation, ResponseModel, copy_values
from instructor.mode import Mode, resolve_mode
from instructor.old_attributes import OldAttributes
from instructor.options import NotGiven, Ttl, split_options
from instructor.paths import Paths, entries_of, find_namer
from instructor.policies import make_policy, plan_prompts, secrets_of, use_of_call, use_of_client
from instructor.providers.adapter import Adapter, sdk_attribute, sdk_client
from instructor.tables import as_table
from instructor.vendor_names import name_vendor
from instructor.wires.capabilities import Capabilities, adapt_arguments, refused_arguments
from instructor.wires.wire import Wire, choose_wires

if TYPE_CHECKING:
    from instructor.cache.ledger import Ledger
    from instructor.cache.stats import CacheStats
    from instructor.streams import Wanted


class BaseClient(OldAttributes):
    """The state of a client, its events and counters, and the way from a caller's keywords to a `Call`."""

    _asynchronous = False

    def __init__(
        self,
        client: Any = None,
        create: Callable[..., Any] | None = None,
        mode: Mode | str | None = None,
        provider: str | None = None,
        hooks: Hooks | None = None,
        *,
        wires: Mapping[Mode, Wire] | None = None,
        model: str | None = None,
        cache: BaseCache | Sequence[BaseCache] | None = None,
        cache_ttl: Ttl = None,
        cache_namespace: str | None = None,
        defaults: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        adapter: Adapter = client
        if wires is None:
            from instructor.providers.callables import adapt  # not for clients from our factories

            adapter, wires = adapt(client, create, provider or "", self._asynchronous)
        mode = None if mode is None else resolve_mode(mode)
        self._adapter = adapter
        self._wires = choose_wires(mode, wires, adapter.provider)
        self._mode, self._model = mode, model
        self._hooks = Hooks() if hooks is None else check.check_hooks(hooks)
        self._settings, self._defaults = split_options(check.check_defaults({**(defaults or {}), **keywords}))
        self._use = use_of_client(self._settings, cache_ttl, cache_namespace)
        self._key_builders: dict[Mode, KeyBuilder] = {}
        self._plans = Plans(parallel=mode is Mode.PARALLEL_TOOLS)
        self._stats = ClientStats()
        self._background, self._throttles = Background(), Throttles()
        self._paths = Paths(self._stats, adapter.asynchronous, self._use.freshness)
        weakref.finalize(self, self._paths.close).atexit = False
        store = check.check_cache(cache)
        check.check_cache_settings(store, cache_ttl, cache_namespace, self._settings.cache_tags)
        self._path = None if store is None else self._paths.make_own(store)
        self._memo = make_memo(entries_of(store))
        self._place = self._paths.find_place(store) if store is not None and self._use.looks_first else None
        if self._place is not None and self._place.check is None and self._use.tags:
            self._place = None  # only the flow can say what may be served
        self._lookup = make_lookup(self._make_asker(), self._place)

    def _make_asker(self) -> Asker:
        adapter = self._adapter
        return Asker(
            provider=adapter.provider,
            model=self._model,
            plans=self._plans,
            memo=self._memo,
            hooks=self._hooks,
            context=check.check_context(self._settings.context),
            strict=check.check_strict(self._settings.strict),
            find_place=self._paths.find_place if self._use.looks_first else _find_nothing,
            load=CompletionCopies(adapter.load).load,
            load_text=adapter.load,
            asynchronous=adapter.asynchronous,
        )

    @property
    def hooks(self) -> Hooks:
        """The handlers of this client's events. The set can be changed, and not be replaced."""
        return self._hooks

    @property
    def provider(self) -> str:
        """The vendor's name, such as ``"openai"``: a `Provider` where it is a built-in one."""
        return name_vendor(self._adapter.provider)

    @property
    def model(self) -> str | None:
        """The model that is asked unless a call names another."""
        return self._model

    @property
    def mode(self) -> Mode:
        """The mode that was chosen for this client, or the one that is best for its model."""
        return self._mode or self._choose_mode(self._adapter.published(self._model or ""))

    @property
    def cache(self) -> BaseCache | None:
        """The store of answers; None for a client without one."""
        return None if self._path is None else self._path.handle.store

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

    def ledger(self) -> Ledger:
        """What this client spent since it was made, and what was saved: in dollars, tokens and seconds.

        It counts every call, cached or not. ``cache.ledger()`` counts for all clients of a store.

        Example:
            >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
            >>> answers = [client.create(User, messages) for _ in range(4)]
            >>> print(client.ledger().saved)
            $0, 3x, 279 tokens, 0.0 s
        """
        from instructor.cache.ledger import Ledger

        return Ledger(self._stats.books.lines())

    def __cache_key__(self) -> Any:
        """What makes this client's answers its own, for keys that it becomes part of: no credential, no store.

        `instructor_cache` asks for it where a decorated function uses a client.
        """
        settings = self._settings
        own: dict[str, Any] = {"context": settings.context, "strict": settings.strict, "salt": self._use.salt}
        own["token_budget"] = settings.token_budget
        kept = keyed_arguments(self._defaults) | {name: value for name, value in own.items() if value is not None}
        modes = [mode.name for mode in (self._wires if self._mode is None else (self._mode,))]
        return [self._adapter.provider, dict(self._adapter.endpoint), self._model, modes, self._use.namespace, kept]

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

    def _repr_html_(self) -> str:
        """The same with what the cache has saved, for notebooks."""
        counters = () if self._path is None else self.cache_stats().__rich_repr__()
        return as_table((*self.__rich_repr__(), *counters), type(self).__name__)

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        raise cannot_leave(self, "deep-copied")

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        raise cannot_leave(self, "pickled")

    def _call(
        self,
        response_model: ResponseModel,
        messages: Conversation,
        keywords: Mapping[str, Any],
        *,
        with_completion: bool = False,
        unserved: Unserved | None = None,
        has_items: bool = False,
        takes_turn: bool = True,
        job: Common | None = None,
    ) -> Call[Any]:
        """Freeze the messages and keywords, and sort them into a call: key, request and entry derive from one copy.

        Where the key is remembered, the encoding that led to it is that copy, and a hit never unpacks it. `job` remembers
        what is settled for calls with the same keywords.
        """
        plan = self._plans.find(response_model) or self._plans.make(response_model)
        common = None if active else job or (None if keywords else plan.common)
        settled = None if common is None else common.settled
        if settled is None:
            settled = self._settle(plan, response_model, keywords, has_items, common is not None)
            if common is not None:
                common.keep(settled)
        terms, path, seconds = settled.terms, settled.path, settled.max_seconds
        if settled.detects:
            keyed = self._copy(terms, messages, settled.arguments, detect=True)
        else:
            keyed = self._freeze(terms, messages, keywords, settled.arguments, unserved and unserved.encoding)
        if settled.policy.tags is not None:
            keyed = self._bypass_untaggable(keyed, path)
        return Call(
            plan=plan,
            adapter=self._adapter,
            model=terms.model,
            load_prompt=keyed.load_prompt,
            response_model=response_model,
            with_completion=with_completion,
            retries=settled.retries,
            hooks=settled.hooks,
            stats=self._stats,
            context=terms.context,
            strict=terms.strict,
            token_budget=settled.token_budget,
            deadline=None if seconds is None else time.monotonic() + seconds,
            max_seconds=seconds,
            budgets=settled.budgets,
            path=path,
            key=keyed.key if path is None else path.choose_sample(keyed.key, settled.samples, takes_turn=takes_turn),
            bypass=settled.bypass or keyed.bypass,
            policy=settled.policy.owned_by(keyed.owners) if keyed.owners else settled.policy,
            unserved=unserved,
            background=self._background,
            throttle=settled.throttle,
            sketch=None if terms.name_call else partial(self._sketch, terms, keyed.load_prompt),
            prompt_plan=settled.prompt_plan,
            is_row=job is not None,
        )

    def _settle(
        self, plan: Plan, response_model: ResponseModel, keywords: Mapping[str, Any], has_items: bool, is_common: bool
    ) -> Settled:
        """Decide all about a call that its messages don't: by its keywords, the block around it, and its client's settings."""
        options, arguments = split_options(keywords)
        settings = self._settings
        context = check.check_context(settings.context if options.context is None else options.context)
        strict = check.check_strict(settings.strict if options.strict is None else options.strict)
        model = check.find_model(arguments, self._defaults, self._model, self._adapter.provider)
        path = self._find_path(options.cache)
        use = use_of_call(options, self._use, response_model, plan.ttl)
        retries = settings.max_retries if options.max_retries is None else options.max_retries
        budget = settings.token_budget if options.token_budget is None else options.token_budget
        check.check_timeout(arguments.get("timeout"))
        check.check_effects(options, has_cache=path is not None or options.cache is None, has_items=has_items)
        seconds = check.check_max_seconds(settings.max_seconds if options.max_seconds is None else options.max_seconds)
        throttle = self._throttles.find(options.limits or settings.limits, None if path is None else path.last_store)
        media_policy = check.check_media_policy(options.media_policy or settings.media_policy)
        is_cached = path is not None and use.mode.is_cached
        name_call = find_namer(path, response_model) if is_cached else None
        way = self._choose_way(model, {**self._defaults}) if is_common and not arguments else None
        terms = Terms(plan, model, context, strict, use.namespace, use.salt, is_cached, media_policy, name_call, way)
        limits, budgets = (retries, budget, seconds), check.check_budgets(settings.budget, options.budget)
        owner = (self._adapter, plan, *budgets)
        return Settled(
            terms=terms,
            path=path,
            policy=make_policy(use, path, limits, owner, secrets_of(arguments, self._defaults)),
            hooks=self._hooks if options.hooks is None else self._hooks + check.check_hooks(options.hooks),
            retries=settle_retries(retries, has_deadline=seconds is not None, throttle=throttle),
            token_budget=check.check_budget(budget),
            budgets=budgets,
            max_seconds=seconds,
            arguments=arguments,
            detects=check.check_flag("autodetect_images", options.autodetect_images),
            throttle=throttle,
            samples=use.samples,
            bypass=f"cache_mode is {use.mode.name}" if path is not None and not is_cached else None,
            prompt_plan=plan_prompts(options, settings, self._stats, self._plans),
        )

    def _find_path(self, cache: object) -> CachePath | None:
        """Where a call's answers are kept: in its own cache first, then in that of a block around it, then the client's."""
        if isinstance(cache, NotGiven):
            cache = cache_of_block() if active else None
            return self._path if cache is None else self._paths.find(cache)
        return self._paths.find(cache)

    def _bypass_untaggable(self, keyed: Keyed, path: CachePath | None) -> Keyed:
        """Leave the cache out for a call with tags whose store can't invalidate them. The first time it is a warning."""
        if path is None or path.can_tag:
            return keyed
        reason = f"{path.name} can't invalidate tags, and the call has cache_tags"
        if self._stats.is_news("tags", path.name):
            advice = "Use AutoCache, DiskCache or RedisCache, or give the store the ability 'tagging'."
            warn_caller(f"{reason}, so it isn't cached. {advice}")
        return keyed._replace(key=None, bypass=reason)

    def _stream_call(self, wanted: Wanted, messages: Conversation, keywords: dict[str, Any]) -> Call[Any]:
        """Freeze a call whose answer is handed out bit by bit. It shares its key with the plain call."""
        keywords.pop("stream", None)
        call = self._call(wanted.response_model, messages, keywords, has_items=wanted.has_items)
        showing = wanted.show(call.plan.type, call.strict, call.context)
        showing.pace = check.check_pace(self._setting(keywords, "cache_pace"))
        # Its errors hold for it alone: what was handed out keeps it from asking again, as others would.
        return call._replace(showing=showing, policy=call.policy.owned_by([showing]))

    def _setting(self, keywords: Mapping[str, object], name: str) -> object:
        """A keyword of ours, from the call or else from the client."""
        value = keywords.get(name)
        return getattr(self._settings, name) if value is None else value

    def _freeze(
        self,
        terms: Terms,
        messages: Conversation,
        keywords: Mapping[str, Any],
        arguments: dict[str, Any],
        frozen: bytes | Frozen | None,
    ) -> Keyed:
        """Make a call's key, and the means to make its prompt from a copy of its messages and keywords."""
        if terms.name_call is not None:
            return self._copy(terms, messages, arguments)
        keyed = {name: value for name, value in keywords.items() if name not in NOT_KEYED} if keywords else {}
        free = {name: value for name, value in arguments.items() if name in NOT_KEYED} if arguments else {}
        encoding = encode(terms.plan.number, messages, keyed) if frozen is None else encode_frozen(frozen)
        if encoding is None:
            return self._copy(terms, messages, arguments)
        if not terms.is_cached:
            return self._key(terms, self._load_prompt(terms, encoding, free), None)
        name = name_of(encoding)
        if name is not encoding:
            self._memo.sees_long = SEEN_LONG
        key = self._memo.find(name)
        if key is not None:
            return Keyed(partial(self._load_prompt, terms, encoding, free), key)
        prompt = self._load_prompt(terms, encoding, free)
        made = self._key(terms, prompt, name)
        if made.key is None or prompt.varies or self._memo.find(name) is not None:
            return made
        # A buffer (a bytearray, an array) is encoded as bytes; such a call is copied object by object.
        return self._copy(terms, messages, arguments)

    def _copy(
        self, terms: Terms, messages: Conversation, arguments: Mapping[str, Any], *, detect: bool = False
    ) -> Keyed:
        """Freeze a call object by object: it holds more than plain data, or its texts may stand for media."""
        from instructor.media.conversation import freeze_media

        copied = copy_values({"messages": messages, **arguments})
        prompt = self._make_prompt(terms.model, copied.pop("messages"), copied, terms.context)
        conversation, has_media = freeze_media(prompt.messages, detect=detect)
        policy = terms.media_policy if has_media else None
        return self._key(terms, prompt._replace(messages=conversation, media_policy=policy), None)

    def _load_prompt(self, terms: Terms, encoding: bytes, free: Mapping[str, Any]) -> Prompt:
        """Make the prompt from the encoding, as messages and keywords were when the key was made.

        The templates are filled from the encoding's context as well: the caller may have changed its own one since.
        """
        messages, keywords = decode(encoding)
        if terms.way is not None and not terms.context and messages is not None:
            return terms.way.fill(check.check_messages(messages, {}))
        options, arguments = split_options(keywords)
        context = terms.context if options.context is None else options.context
        return self._make_prompt(terms.model, messages, {**arguments, **free}, context)

    def _make_prompt(
        self, model: str, messages: Conversation, arguments: Mapping[str, Any], context: Mapping[str, Any] | None
    ) -> Prompt:
        """Decide what is asked, and in which way. The messages and arguments are copies."""
        merged = {**self._defaults, **arguments}
        rendered, varies = check.check_messages(messages, merged), []
        way = self._choose_way(model, merged)
        if context:
            from instructor.templating import render_messages, watch_chance

            with watch_chance() as varies:
                rendered = render_messages(rendered, context)
        return way.fill(rendered, varies=bool(varies))

    def _choose_way(self, model: str, arguments: dict[str, Any]) -> Prompt:
        """Decide in which way a call with such arguments is asked: its prompt, still without messages."""
        arguments.pop("model", None)
        arguments = check.check_arguments(arguments)
        capabilities = self._adapter.published(model)
        mode = self._choose_mode(capabilities)
        return Prompt(
            [],
            adapt_arguments(arguments, capabilities) if arguments else arguments,
            self._wires[mode],
            mode,
            capabilities,
            self._wires,
            left_out=refused_arguments(arguments, capabilities),
        )

    def _choose_mode(self, capabilities: Capabilities) -> Mode:
        for mode in capabilities.modes:
            if mode in self._wires:
                return mode
        return next(iter(self._wires))

    def _key(self, terms: Terms, prompt: Prompt, name: bytes | None) -> Keyed:
        """Make the key that follows from a prompt, or say why there is none."""

        def load_prompt() -> Prompt:
            return prompt

        if not terms.is_cached:
            return Keyed(load_prompt)
        builder = self._key_builders.get(prompt.mode) or self._make_key_builder(prompt)
        owners: list[object] = []
        members = terms.members(prompt, owners.append)
        try:
            if terms.name_call is not None:
                return Keyed(load_prompt, terms.name_call(builder.describe(*members)), owners=owners)
            key, plain = builder.key(*members)
        except NoCanonicalFormError as error:
            return Keyed(load_prompt, bypass=str(error))
        if name is not None and plain and not prompt.varies:
            self._memo.remember(name, key)
        return Keyed(load_prompt, key, owners=owners)

    def _sketch(self, terms: Terms, load_prompt: Callable[[], Prompt]) -> Sketch:
        """What a call is compared with others by. It is made for a miss, and for the first hit of a call."""
        prompt = load_prompt()
        builder = self._key_builders.get(prompt.mode) or self._make_key_builder(prompt)
        return builder.sketch(*terms.members(prompt, ignore), response_model=terms.plan.name)

    def _make_key_builder(self, prompt: Prompt) -> KeyBuilder:
        asked = {"provider": self._adapter.provider, "endpoint": dict(self._adapter.endpoint) or None}
        builder = KeyBuilder({"mode": prompt.mode.name, "wire": prompt.wire.name, **asked})
        self._key_builders[prompt.mode] = builder
        return builder


def _find_nothing(cache: object) -> None:
    """Where a client's calls don't look first, the fast path reads no store."""

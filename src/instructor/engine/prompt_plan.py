"""How one call's requests use the provider's own prompt cache. `instructor.prompt_caching` knows the vendors' rules."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from instructor.exceptions import ConfigurationError
from instructor.messages import Completion, Request
from instructor.mode import Mode
from instructor.prompt_caching.blocks import FORMS, Form, get_member
from instructor.prompt_caching.history import Foreseen
from instructor.prompt_caching.rules import find_rules
from instructor.prompt_caching.setting import PromptCache, check_prompt_cache
from instructor.prompt_caching.sharing import lower_instruction, narrow_choice, raise_document, share_tools
from instructor.usage import Usage
from instructor.wires.tools import instruct_call

if TYPE_CHECKING:
    from instructor.engine.call import Call, Prompt
    from instructor.engine.client_stats import ClientStats
    from instructor.engine.plan import Plan, Plans
    from instructor.prompt_caching.planner import Planner, Watch
    from instructor.wires.spec import Binding

_STEADY = (Mode.TOOLS, Mode.RESPONSES_TOOLS, Mode.JSON, Mode.MD_JSON)
"""Modes in which the response model needn't change the prefix; a schema that the API enforces does."""


class PromptPlan(NamedTuple):
    """What one call wants of the provider's prompt cache.

    Attributes:
        planner: What its client has learned.
        wish: What its caller wants.
        plans: The response models that share one prefix; empty where each has its own.
    """

    planner: Planner
    wish: PromptCache
    plans: tuple[Plan, ...] = ()

    def choose_way(self, prompt: Prompt) -> Prompt:
        """Ask in a mode in which the response models can share a prefix, if the caller leaves the mode open."""
        if not self.plans or prompt.mode in _STEADY:
            return prompt
        mode = next((mode for mode in _STEADY if mode in prompt.wires and mode in prompt.capabilities.modes), None)
        return prompt if mode is None else prompt._replace(mode=mode, wire=prompt.wires[mode])

    def share(self, call: Call[Any], prompt: Prompt, binding: Binding | None, request: Request) -> Request:
        """Copy a request with its prefix made one with that of the other response models."""
        form = FORMS.get(prompt.wire.name)
        if form is None or binding is None or call.plan not in self.plans:
            return request
        known = find_rules(call.adapter.provider, call.model)
        return request if known is None else self._share(call, prompt, binding, request, form)

    def mark(self, call: Call[Any], prompt: Prompt, request: Request) -> Request:
        """Copy a request with its prefix marked."""
        is_live = call.kind != "batched"
        return self.planner.plan(
            call.adapter.provider, prompt.wire.name, call.model, request, self.wish, is_live=is_live
        )

    def foresee(self, call: Call[Any], prompt: Prompt, request: Request) -> Foreseen:
        """Note that a request will be made, as one of many."""
        return self.planner.foresee(call.adapter.provider, prompt.wire.name, call.model, request, self.wish)

    def watch(self, call: Call[Any], prompt: Prompt, request: Request) -> Watch | None:
        """Note that a request is being sent."""
        return self.planner.watch(call.adapter.provider, prompt.wire.name, call.model, request)

    def settle(self, watch: Watch, usage: Usage, completion: Completion) -> None:
        """Learn from an answer, and warn of a prefix that isn't read any more."""
        collapse = watch.settle(usage, completion)
        if collapse is not None:
            logging.getLogger("instructor").warning("%s", collapse)

    def _share(self, call: Call[Any], prompt: Prompt, binding: Binding, request: Request, form: Form) -> Request:
        names = [] if call.plan.type is None else [spec.name for spec in call.plan.type.specs]
        own: list[Any] = get_member(binding.arguments, form.tools) or []
        if own:
            bindings = [plan.binding(prompt.wire, prompt.mode, call.strict, prompt.capabilities) for plan in self.plans]
            union = [tool for one in bindings if one for tool in get_member(one.arguments, form.tools)]
            request = share_tools(form, request, own, union)
            request = narrow_choice(prompt.wire.name, request, own, binding.repeats)
        asked = instruct_call(names, repeats=binding.repeats)
        return lower_instruction(form, raise_document(form, request), (binding.instruction, asked))


def make_prompt_plan(wanted: object, stats: ClientStats, plans: Plans) -> PromptPlan | None:
    """Make the plan of a call; None where its requests are left as they are."""
    wish = check_prompt_cache(wanted)
    if wish is None:
        return None
    shared = tuple(plans.find(model) or plans.make(model) for model in wish.response_models)
    names = [spec.name for plan in shared if plan.type for spec in plan.type.specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"Two response models of PromptCache(response_models=) are called {twice[0]}, and a request can't offer both. "
            "Rename one, or leave it out."
        )
    return PromptPlan(stats.planner, wish, shared if len(shared) > 1 else ())

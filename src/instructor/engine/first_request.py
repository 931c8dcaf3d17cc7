"""The first request of a call: in which way it asks, which media it needs, and how it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instructor.engine.effects import Fetch, Flow
from instructor.messages import Request
from instructor.wires.content import is_text_only

if TYPE_CHECKING:
    from instructor.engine.call import Call, Prompt
    from instructor.media.frozen import FrozenMedium
    from instructor.prompt_caching.history import Foreseen


def current(call: Call[Any], prompt: Prompt) -> Prompt:
    """The prompt in the way that serves by now. Its key was made of what the table says, which never changes."""
    capabilities = call.adapter.capabilities(call.model)
    if capabilities is not prompt.capabilities and capabilities != prompt.capabilities:
        prompt = prompt.adapt(capabilities)
    return prompt if call.prompt_plan is None else call.prompt_plan.choose_way(prompt)


def fetch_media(call: Call[Any], prompt: Prompt) -> Flow[Prompt]:
    """Fetch the media that can't be sent as URLs in the prompt's way."""
    if prompt.media_policy is None:
        return prompt
    missing = find_missing(call, prompt)
    if not missing:
        return prompt
    from instructor.media.conversation import replace_media

    loaded = yield from Fetch(missing, prompt.media_policy, call.deadline)
    return prompt._replace(messages=replace_media(prompt.messages, missing, loaded))


def find_missing(call: Call[Any], prompt: Prompt) -> list[FrozenMedium]:
    """The media in the prompt that can't be sent as URLs in its way."""
    from instructor.media.conversation import list_media_to_load

    return list_media_to_load(prompt.messages, prompt.wire.name, call.adapter.provider)


def write_request(call: Call[Any], prompt: Prompt) -> Request:
    """Write the first request in the prompt's way, with what the provider's prompt cache is to keep marked."""
    request = compose(call, prompt)
    return request if call.prompt_plan is None else call.prompt_plan.mark(call, prompt, request)


def compose(call: Call[Any], prompt: Prompt) -> Request:
    """Write the first request, without marks."""
    messages = prompt.messages
    if not is_text_only(messages):
        from instructor.media.conversation import write_media

        messages = write_media(messages, prompt.wire.name, call.adapter.provider)
    binding = call.plan.binding(prompt.wire, prompt.mode, call.strict, prompt.capabilities)
    request = prompt.wire.write(messages, binding, call.model, prompt.arguments, prompt.capabilities)
    return request if call.prompt_plan is None else call.prompt_plan.share(call, prompt, binding, request)


def foresee(call: Call[Any]) -> Foreseen | None:
    """Note what the first request of a call will be; None if media must be fetched for it."""
    prompt = current(call, call.load_prompt())
    plan = call.prompt_plan
    if plan is None or (prompt.media_policy is not None and find_missing(call, prompt)):
        return None
    return plan.foresee(call, prompt, compose(call, prompt))

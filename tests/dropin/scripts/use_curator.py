import asyncio

import litellm
from answers import ANNA, ASK, User, complete
from bespokelabs.curator.request_processor.batch import (
    anthropic_batch_request_processor,
    mistral_batch_request_processor,
)
from bespokelabs.curator.request_processor.online import litellm_online_request_processor

import instructor

MODULES = (anthropic_batch_request_processor, mistral_batch_request_processor, litellm_online_request_processor)
assert all(module.instructor is instructor for module in MODULES)
for mode in (instructor.Mode.JSON, instructor.Mode.ANTHROPIC_JSON):
    _, request = instructor.handle_response_model(User, mode=mode, messages=ASK)
    assert request["messages"], request


async def answer(**request):
    return litellm.ModelResponse(**complete(**request))


client = instructor.from_litellm(answer)
asked = asyncio.run(client.chat.completions.create_with_completion(model="m", messages=ASK, response_model=User))
assert asked[0] == ANNA, asked
assert asked[1].usage.total_tokens == 3, asked

import asyncio
from unittest.mock import MagicMock

import anthropic
import openai
from answers import ANNA, ASK, User, complete, serve
from google import genai
from ragas.llms import llm_factory
from ragas.llms.base import _get_instructor_client, _patch_client_for_provider

url, model = serve(), "claude-sonnet-5"
asked = [
    llm_factory("gpt-4o-mini", client=openai.OpenAI(api_key="k", base_url=f"{url}/v1")).generate("Hi", User),
    llm_factory(model, "anthropic", anthropic.Anthropic(api_key="k", base_url=url)).generate("Hi", User),
    llm_factory("gpt-4o-mini", "litellm", complete).generate("Hi", User),
    _get_instructor_client(complete, "litellm").create(User, ASK, model="m"),
]
sdk = MagicMock(spec=["messages"])
sdk.messages.create = complete
asked.append(_patch_client_for_provider(sdk, "groq").create(User, ASK, model="m"))


async def ask_async() -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{url}/v1")
    asked.append(await llm_factory("gpt-4o-mini", client=client).agenerate("Hi", User))
    other = anthropic.AsyncAnthropic(api_key="k", base_url=url)
    asked.append(await llm_factory(model, "anthropic", other).agenerate("Hi", User))


asyncio.run(ask_async())
assert asked == [ANNA] * 7, asked
assert llm_factory("gemini-2.5-flash", "google", genai.Client(api_key="k"))

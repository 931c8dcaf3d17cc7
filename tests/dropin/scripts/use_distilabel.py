import asyncio

from answers import ANNA, ASK, User, serve
from distilabel.models import AnthropicLLM, GroqLLM, OpenAILLM

url = serve()
for kind, model, base_url in (
    (OpenAILLM, "gpt-4o-mini", f"{url}/v1"),
    (GroqLLM, "llama-3.1-8b-instant", url),
    (AnthropicLLM, "claude-sonnet-5", url),
):
    llm = kind(model=model, base_url=base_url, api_key="k", structured_output={"schema": User})
    llm.load()
    output = asyncio.run(llm.agenerate(input=ASK))
    assert User.model_validate_json(output["generations"][0]) == ANNA, output
    assert output["statistics"]["output_tokens"][0] in (2, 4), output

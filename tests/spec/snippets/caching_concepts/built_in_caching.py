from instructor import from_provider
from instructor.cache import AutoCache, DiskCache

# Works with any provider - cache flows through **kwargs automatically
client = from_provider("openai/gpt-4.1-mini", cache=AutoCache(maxsize=1000))
client = from_provider("anthropic/claude-3-haiku", cache=AutoCache(maxsize=1000))
client = from_provider("google/gemini-2.5-flash", cache=DiskCache(directory=".cache"))

# Your normal calls are now cached automatically
from pydantic import BaseModel

class User(BaseModel):
    name: str

first = client.create(
    messages=[{"role": "user", "content": "Hi."}], response_model=User
)

second = client.create(
    messages=[{"role": "user", "content": "Hi."}], response_model=User
)

assert first.name == second.name # second call was served from cache

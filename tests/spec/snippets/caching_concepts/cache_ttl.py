from instructor import from_provider
from instructor.cache import DiskCache
from pydantic import BaseModel

class User(BaseModel):
    name: str

cache = DiskCache(directory=".cache")
client = from_provider("openai/gpt-4.1-mini")

client.create(
    messages=[{"role": "user", "content": "Hi"}],
    response_model=User,
    cache=cache,
    cache_ttl=3600, # 1 hour
)

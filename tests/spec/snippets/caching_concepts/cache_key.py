from instructor.cache import make_cache_key
from pydantic import BaseModel

class User(BaseModel):
    name: str

key = make_cache_key(
    messages=[{"role": "user", "content": "hello"}],
    model="gpt-4.1-mini",
    response_model=User,
    mode="TOOLS",
)
print(key) # ā 9b8f5e2c8c9eā¦
#> 2e2a9521bd269d62ee9a8559d7deacba0025c1f6da0ec1fc63d472788be096fe

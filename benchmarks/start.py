"""One new process, as a user's program that has been run before: import, client, answer from the disk. It is timed from outside.

Usage: ``python start.py BASE_URL DIRECTORY [NAMESPACE]``. Prints the answer, and whether the openai SDK was imported.
"""

from __future__ import annotations

import json
import sys

from pydantic import BaseModel

import instructor
from instructor.cache import DiskCache


class User(BaseModel):
    name: str


base_url, directory, *namespace = sys.argv[1:]
client = instructor.from_provider(
    "openai/gpt-4.1-mini",
    cache=DiskCache(directory=directory),
    base_url=base_url,
    api_key="none",
    **({"cache_namespace": namespace[0]} if namespace else {}),
)
user = client.create(messages=[{"role": "user", "content": "Hi."}], response_model=User)
print(json.dumps({"name": user.name, "imported": "openai" in sys.modules}))

"""One new process, like a user's program that has run before: import, client, answer from the disk; timed from outside.

Usage: ``python start.py BASE_URL DIRECTORY NAMESPACE``. Prints the answer, and whether the openai SDK was imported.
"""

from __future__ import annotations

import json
import sys

from pydantic import BaseModel

import instructor
from instructor.cache import DiskCache


class User(BaseModel):
    name: str


url, directory, name = sys.argv[1:]
options = {"cache": DiskCache(directory=directory), "cache_namespace": name, "base_url": url, "api_key": "none"}
client = instructor.from_provider("openai/gpt-4.1-mini", **options)
user = client.create(messages=[{"role": "user", "content": "Hi."}], response_model=User)
print(json.dumps({"name": user.name, "imported": "openai" in sys.modules}))

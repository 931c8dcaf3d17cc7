import groq
import together
from cerebras.cloud.sdk import Cerebras

import instructor

for kind, make, options in (
    (groq.Groq, instructor.from_groq, {}),
    (together.Together, instructor.from_together, {}),
    (Cerebras, instructor.from_cerebras, {"warm_tcp_connection": False}),
):
    client = make(kind(api_key="k", base_url="http://127.0.0.1:9", **options), model="m")
    assert isinstance(client, instructor.Instructor), client

"""Packages that are built on instructor 1.x, with this package in its place. `make test-dropin` runs them.

Each gets a virtual environment of its own, which takes minutes and the package index, so the suite leaves them out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not os.environ.get("INSTRUCTOR_DROPIN"), reason="make test-dropin")

COMMON = """
from pydantic import BaseModel
import instructor
from instructor.offline.adapter import answer_request
class User(BaseModel):
    name: str
    age: int
ASK = [{"role": "user", "content": "Anna is 25."}]
def complete(**request): return answer_request(request)
"""
PACKAGES = {
    "openinference-instrumentation-instructor": (
        ["openinference-instrumentation-instructor", "opentelemetry-sdk"],
        """
from openinference.instrumentation.instructor import InstructorInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
InstructorInstrumentor().instrument(tracer_provider=provider)
assert instructor.patch(create=complete)(response_model=User, messages=ASK, model="m").age == 25
assert [span.name for span in spans.get_finished_spans()] == ["instructor.patch"]
""",
    ),
    "groq, cerebras, together": (
        ["groq", "cerebras-cloud-sdk", "together"],
        """
import groq, together
from cerebras.cloud.sdk import Cerebras
for kind, make in ((groq.Groq, instructor.from_groq), (together.Together, instructor.from_together),
                   (lambda **k: Cerebras(warm_tcp_connection=False, **k), instructor.from_cerebras)):
    client = make(kind(api_key="k", base_url="http://127.0.0.1:9"), model="m")
    assert isinstance(client, instructor.Instructor), client
""",
    ),
    "ragas": (
        ["ragas==0.4.3", "langchain-community<0.4", "langchain-core<1", "langchain-openai<1"],
        """
from unittest.mock import MagicMock
from ragas.llms.base import _get_instructor_client, _patch_client_for_provider
assert _get_instructor_client(complete, "litellm").create(User, ASK, model="m").age == 25
sdk = MagicMock(spec=["messages"])
sdk.messages.create = complete
assert _patch_client_for_provider(sdk, "groq").create(User, ASK, model="m").age == 25
""",
    ),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_works_with_ours_in_place(name: str, tmp_path: Path):
    requirements, script = PACKAGES[name]
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
    # Over whatever they have brought along.
    subprocess.run([python, "-m", "pip", "install", "-q", "--force-reinstall", "--no-deps", ROOT], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", ROOT], check=True)
    subprocess.run([python, "-c", COMMON + script], check=True, cwd=tmp_path)

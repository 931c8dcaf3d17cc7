from answers import ANNA, ASK, User, complete
from openinference.instrumentation.instructor import InstructorInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import instructor

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
InstructorInstrumentor().instrument(tracer_provider=provider)
assert instructor.patch(create=complete)(response_model=User, messages=ASK, model="m") == ANNA
assert [span.name for span in spans.get_finished_spans()] == ["instructor.patch"]

"""One conversion by the handler, stage by stage: the spans that the product makes for traces, as they began and ended.

``python -m benchmarks.waterfall KEY SIZE ETAG`` prints them as JSON; the environment names the S3 server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from benchmarks import datasets, measure
from benchmarks.engines import Job, ours
from benchmarks.servers import INPUT_BUCKET, OUTPUT_BUCKET

if TYPE_CHECKING:
    from benchmarks.servers import Store

SCALE: Final = 0.1
NANOSECONDS: Final = 1e9


def measured(s3: Store) -> dict[str, Any]:
    """Return the spans of one conversion of lineitem, in seconds since it began."""
    source = datasets.lineitem(SCALE)
    s3.wipe()
    command = [sys.executable, "-m", "benchmarks.waterfall", source.name, str(source.stat().st_size)]
    command.append(s3.upload(source, source.name))
    environment = dict(s3.environment) | {"TRACES": "true"}
    done = subprocess.run(command, cwd=measure.ROOT, env=environment, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"data": f"lineitem, scale {SCALE:g}"} | told


def main(key: str, size: str, etag: str) -> None:
    """Convert, and print the spans."""
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    convert = ours(Job(INPUT_BUCKET, key, size, etag, OUTPUT_BUCKET, "ours/"))
    exporter.clear()
    convert()
    spans = exporter.get_finished_spans()
    whole = next(span for span in spans if span.name == "object")
    begun = whole.start_time or 0
    told = [
        {
            "stage": span.name,
            "thread": str((span.attributes or {}).get("thread.name", "")),
            "begin": ((span.start_time or 0) - begun) / NANOSECONDS,
            "end": ((span.end_time or 0) - begun) / NANOSECONDS,
        }
        for span in spans
        if span.parent is not None and span.name != "object"
    ]
    seconds = ((whole.end_time or 0) - begun) / NANOSECONDS
    print(json.dumps({"seconds": seconds, "spans": told}))


if __name__ == "__main__":
    os.environ.setdefault("TRACES", "true")
    main(*sys.argv[1:])

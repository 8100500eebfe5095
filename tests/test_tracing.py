"""Spans follow the work into every thread, and say whose they are and never what a cell holds. Off, there are none."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from csv_transcode.report import Outcome
from csv_transcode.runtime import Runtime
from csv_transcode.telemetry import configure_logging, get_logger
from csv_transcode.tracing import INDEXED, OFF, Tracer, make_tracer
from tests.standing import processor, put

if TYPE_CHECKING:
    from collections.abc import Generator

    from mypy_boto3_s3 import S3Client

ROOT: Final = Path(__file__).parent.parent
STAGES: Final = ("read", "decode", "parquet", "avro", "publish")
SECRET: Final = "s3cr3t-cell"
THREAD: Final = "thread"


class InThreads(SimpleSpanProcessor):
    """Notes which thread a span is of."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        super().on_start(span, parent_context)
        span.set_attribute(THREAD, threading.current_thread().name.partition("_")[0])


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Return where the process's spans go; as in the function, that is decided once, and not by the package."""
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(InThreads(made))
    trace.set_tracer_provider(provider)
    return made


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    exporter.clear()
    return Spans(exporter)


class Spans:
    """The spans that have ended since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def above(self, span: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans that this one is in, from the next to the root."""
        known = {one.context.span_id: one for one in self.all() if one.context}
        found = []
        while span.parent is not None and span.parent.span_id in known:
            span = known[span.parent.span_id]
            found.append(span)
        return found

    def of_objects(self) -> dict[Any, Counter[tuple[str, Any]]]:
        """Return how many spans of which name, in which kind of thread, each object has."""
        found: dict[Any, Counter[tuple[str, Any]]] = {}
        for span in self.all():
            for above in self.above(span):
                if above.name == "object":
                    key = attributes(above)["key"]
                    found.setdefault(key, Counter())[span.name, attributes(span)[THREAD]] += 1
        return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def long_csv(megabytes: int) -> str:
    line = "1234567,some text that is long enough to fill a line,17.25\n"
    return "id,text,amount\n" + line * (megabytes * 1_000_000 // len(line))


def runtime() -> Runtime:
    return Runtime(cores=2)


def test_every_stage_is_a_span_of_its_object_in_whatever_thread(s3: S3Client, spans: Spans) -> None:
    # Of different lengths, so that a span of one object that is told of another changes a count.
    sources = {f"in/{size}.csv": long_csv(size) for size in (0, 5, 9)}
    alone: dict[Any, Counter[tuple[str, Any]]] = {}
    with processor(s3, runtime(), traces=True) as made:
        for key, content in sources.items():
            put(s3, content, key)
            made.run([key])
            alone |= {key: spans.of_objects()[key]}
        spans._exporter.clear()
        report = made.run(force=True)
    assert [result.outcome for result in report.results] == [Outcome.CONVERTED] * 3
    found = spans.of_objects()
    assert found == alone
    for counts in found.values():
        assert {name for name, _ in counts} == {*STAGES}
    of_the_long_one = {name: {thread for one, thread in found["in/9.csv"] if one == name} for name in STAGES}
    assert of_the_long_one == {
        "read": {"object"},
        "decode": {"object", "decode"},
        "avro": {"object", "decode"},
        "parquet": {"object", "encode"},
        "publish": {"object"},
    }


def test_one_root_holds_the_listing_and_the_objects(s3: S3Client, spans: Spans) -> None:
    keys = [f"in/{number}.csv" for number in range(8)]
    for key in keys:
        put(s3, "id\n1\n", key)
    with processor(s3, runtime(), traces=True) as made:
        made.run()
    (root,) = spans.named("invocation")
    assert root.parent is None
    assert attributes(root)["kind"] == "direct"
    assert (attributes(root)["status_code"], attributes(root)["objects"]) == (200, 8)
    (listing,) = spans.named("list")
    assert spans.above(listing) == [root]
    assert attributes(listing)["prefix"] == "in/"
    objects = spans.named("object")
    assert [spans.above(span) for span in objects] == [[root]] * 8
    assert sorted(attributes(span)["key"] for span in objects) == keys
    assert {attributes(span)[THREAD] for span in objects} == {"object"}
    assert len({span.context.trace_id for span in spans.all() if span.context}) == 1


def test_the_root_is_a_child_of_the_span_that_it_is_called_in(s3: S3Client, spans: Spans) -> None:
    with processor(s3, runtime(), traces=True) as made, trace.get_tracer("lambda").start_as_current_span("handler"):
        made.run()
    (root,) = spans.named("invocation")
    assert [span.name for span in spans.above(root)] == ["handler"]


def test_what_x_ray_is_to_search_is_named_to_it(s3: S3Client, spans: Spans) -> None:
    put(s3, "id\n1\n")
    with processor(s3, runtime(), traces=True) as made:
        made.run()
    for name, searched in {
        "object": {"bucket", "key", "outcome", "bytes_read", "retryable"},
        "invocation": {"kind", "status_code", "objects"},
    }.items():
        (span,) = spans.named(name)
        told = attributes(span)
        assert set(told.pop(INDEXED)) == searched
        assert told.keys() == {*searched, THREAD}
        assert all(name.replace("_", "").isalpha() for name in searched)  # X-Ray has no other characters
        assert all(isinstance(told[name], str | int | float | bool) for name in searched)  # and no other values


def test_no_span_says_what_a_cell_holds(s3: S3Client, spans: Spans) -> None:
    good, bad = f"1,{SECRET}\n", f"2,{SECRET},{SECRET}\n"
    put(s3, f"id,{SECRET}\n" + 20 * good + bad, "in/rejected.csv")
    put(s3, f"id,{SECRET}\n" + 20 * good + 20 * bad, "in/failed.csv")
    put(s3, f"id,{SECRET}\n".encode() + 20 * good.encode() + b"\xff\n", "in/other.csv")
    with processor(s3, runtime(), traces=True) as made:
        report = made.run()
    assert {result.outcome for result in report.results} == {Outcome.CONVERTED, Outcome.FAILED}
    assert not [span.name for span in spans.all() if SECRET in span.to_json()]
    failed = [span for span in spans.named("object") if attributes(span)["outcome"] == "failed"]
    assert {(span.status.is_ok, span.status.description) for span in failed} == {(False, "RejectedError")}
    assert not [event for span in spans.all() for event in span.events]


def test_a_span_that_is_left_by_an_error_says_its_class_alone(spans: Spans) -> None:
    tracer = make_tracer(wanted=True)
    with pytest.raises(ValueError, match=SECRET), tracer.span("decode"):
        raise ValueError(SECRET)
    (span,) = spans.all()
    assert (span.status.is_ok, span.status.description, span.events) == (False, "ValueError", ())


def test_a_generator_s_span_is_nobody_s_parent_and_ends_with_it(spans: Spans) -> None:
    tracer = make_tracer(wanted=True)

    def listing() -> Generator[int, None, None]:
        with tracer.span_aside("list"):
            yield 1
            yield 2

    found = listing()
    next(found)
    with tracer.span("object"):
        pass
    found.close()
    assert [span.name for span in spans.all()] == ["object", "list"]
    assert [span.parent for span in spans.all()] == [None, None]
    assert [span.status.is_unset for span in spans.all()] == [True, True]


# --- off


def test_off_nothing_is_made_and_threads_are_what_they_were() -> None:
    tracer = make_tracer(wanted=False)
    assert tracer is OFF
    with ThreadPoolExecutor(1) as threads:
        assert tracer.following(threads) is threads
    assert tracer.span("object", key="k") is tracer.span_aside("list")
    with tracer.span("object") as span:
        span.tell(outcome="converted")
        span.fail(ValueError())


def test_off_no_span_is_made_even_where_there_is_somebody_to_tell(s3: S3Client, spans: Spans) -> None:
    put(s3, "id\n1\n")
    with processor(s3, runtime()) as made:
        assert made.run().status_code == 200
    assert spans.all() == ()


FUNCTION: Final = """
import os
os.environ["AWS_LAMBDA_FUNCTION_NAME"] = "csv-transcode"
import lambda_handler
lambda_handler.lambda_handler({'keys': []}, None)
"""
LIBRARY: Final = """
from s3_data_processor import S3DataProcessor
assert S3DataProcessor("source-bucket", "target-bucket", "in/").run([]).status_code == 200
"""
IMPORTED: Final = """
import sys
print("imported:", *(name for name in ("aws_lambda_powertools", "opentelemetry") if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("code", "traces", "imported"),
    [
        (FUNCTION, "", ["aws_lambda_powertools"]),
        (FUNCTION, "true", ["aws_lambda_powertools", "opentelemetry"]),
        (LIBRARY, "", []),
        ("import csv_transcode.cli.verbs", "", []),
    ],
    ids=["function", "function with traces", "library", "command line"],
)
def test_only_who_asks_for_traces_imports_them_and_only_the_function_its_tools(
    code: str, traces: str, imported: list[str]
) -> None:
    environment = {
        "INPUT_BUCKET": "source-bucket",
        "OUTPUT_BUCKET": "target-bucket",
        "PREFIX": "in/",
        "TRACES": traces,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    run = subprocess.run(
        [sys.executable, "-c", code + IMPORTED], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].split() == ["imported:", *imported]


def test_where_opentelemetry_is_not_installed_that_is_logged_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    stream = io.StringIO()
    configure_logging("INFO", stream)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)  # what importing it then finds
    try:
        assert make_tracer(wanted=True) is OFF
    finally:
        logger.handlers[:], logger.level, logger.propagate = before
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("traces.unavailable", logging.getLevelName(logging.WARNING))


def test_off_is_a_tracer_like_the_other() -> None:
    on = type(make_tracer(wanted=True))
    assert {name for name in vars(Tracer) if not name.startswith("_")} <= vars(on).keys()
